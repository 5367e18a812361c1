"""Dropout whose mask the engine draws: torch draws its numbers one after the other, slower than a small LSTM runs."""

from __future__ import annotations

import torch
from torch import Tensor

from . import kernels


def dropout(values: Tensor, p: float, *, training: bool = True) -> Tensor:
    """`torch.nn.functional.dropout`: the mask follows from torch's seed, but is another one than torch's.

    Args:
        values: any shape.
        p: probability that a number becomes 0; the others are divided by `1 - p`.
        training: whether anything is dropped.

    Example:
        >>> import torch
        >>> sorted({round(x, 2) for x in dropout(torch.ones(1000), 0.2).tolist()})
        [0.0, 1.25]
    """
    if not training or p == 0:
        return values
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    plain = values.device.type == "cpu" and values.dtype == torch.float32 and type(values) is Tensor
    if kernels.engine is None or transformed or not plain:
        return torch.nn.functional.dropout(values, p)
    mask = torch.empty(values.shape)
    kernels.engine.draw_mask(mask.data_ptr(), mask.numel(), p, int(torch.randint(2**62, ())), torch.get_num_threads())
    return values * mask
