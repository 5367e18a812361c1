"""A layer that runs from the end of each sequence to its beginning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from recurra.errors import UsageError
from recurra.nn.torch_layer import Lengths
from recurra.nn.torch_tools.tooling import Tooling
from recurra.ops.call import as_tensor


class Reversed(Tooling, torch.nn.Module):
    """Runs a recurrent layer from the end of each sequence to its beginning.

    Args:
        layer: a layer of `recurra.nn` in one direction.
        input_order: whether the outputs are in the order of the input (as in ONNX) or in that of the computation, the
            last step of the input first (as in Keras).

    Raises:
        UsageError: the layer is bidirectional.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer, x = nn.GRU(5, 8, batch_first=True), torch.randn(2, 10, 5)
        >>> output, h_n = nn.Reversed(layer)(x, lengths=[10, 4])
        >>> torch.allclose(output[1, :4].flip(0), layer(x[1, :4].flip(0))[0])
        True
    """

    def __init__(self, layer: Any, *, input_order: bool = True) -> None:
        super().__init__()
        if layer.stack.bidirectional:
            raise UsageError("a bidirectional layer runs in both directions already")
        self.layer, self.input_order = layer, input_order

    def forward(self, input: Tensor, hx: Any = None, lengths: Lengths = None) -> Any:
        """Runs the layer; arguments and results are those of the layer."""
        found = None if is_dynamo_compiling() else self._traced(input, hx, lengths=lengths)
        if found is not None:
            return found
        time = 1 if self.layer.batch_first else 0
        lengths = None if lengths is None else as_tensor(lengths)
        options = {} if lengths is None else {"lengths": lengths}  # a restored layer takes none
        output, state = self.layer(_flip(input, lengths, time), hx, **options)
        return (_flip(output, lengths, time) if self.input_order else output), state


def _flip(x: Tensor, lengths: Tensor | None, time: int) -> Tensor:
    """Reverses the steps of each sequence; padding stays at the end."""
    if lengths is None:
        return x.flip(time if x.dim() == 3 else 0)
    x = x.transpose(0, 1 - time)  # (batch, time, features)
    steps, lengths = torch.arange(x.shape[1], device=x.device), lengths.to(x.device)[:, None]
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(1, source[:, :, None].expand(-1, -1, x.shape[2])).transpose(0, 1 - time)
