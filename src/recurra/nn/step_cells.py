"""RNNCell, LSTMCell and GRUCell of torch, one time step for each call, with the step kernel of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor, is_grad_enabled
from torch.compiler import is_dynamo_compiling

from recurra import cells
from recurra.ops import Stack

from .torch_layer import EngineModule, State

if TYPE_CHECKING:
    _Base = torch.nn.RNNCellBase
else:
    _Base = object


class _OneStep(Stack):
    """A stack of one layer whose weights have the names of torch's cells, without `_l0`."""

    def named_shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return tuple(self.shapes(0).items())


class _TorchCell(EngineModule, Generic[State], _Base):
    """Base of the three cells: calls without gradients use the engine, all others torch."""

    if TYPE_CHECKING:  # torch declares calls of all modules as Callable[..., Any]

        def __call__(self, input: Tensor, hx: State | None = None) -> State: ...

    def _cell(self) -> cells.Cell:
        raise NotImplementedError

    @property
    def stack(self) -> Stack:
        """Cell and sizes."""
        return _OneStep(self._cell(), self.input_size, self.hidden_size, bias=self.bias)

    def forward(self, input: Tensor, hx: Tensor | tuple[Tensor, Tensor] | None = None) -> Any:
        """Runs one time step like the cell of torch.

        Args:
            input: `(batch, features)`, or `(features,)` for one sequence.
            hx: the state that the previous step returned; zeros when None.

        Returns:
            The new hidden state `(batch, hidden)`, of an LSTM the pair `(h, c)`.
        """
        if not is_dynamo_compiling():
            found = None if is_grad_enabled() else self._step(input, hx)
            if found is None:
                found = self._traced(input, hx)
            if found is not None:
                return found
        return super().forward(input, hx)

    def _step(self, input: Any, hx: Any) -> Any:
        """Returns the result of the engine; None for a call that torch computes, or explains the error of."""
        fast = self._fast_layers["auto"]
        return fast.cell(self._parameters, input, hx) if fast is not None and isinstance(input, Tensor) else None


class RNNCell(_TorchCell[Tensor], torch.nn.RNNCell):
    """`torch.nn.RNNCell`: same arguments, same `state_dict`, same results. Calls without gradients are faster.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> cell, h = nn.RNNCell(5, 8), None
        >>> with torch.no_grad():
        ...     for x in torch.randn(10, 3, 5):
        ...         h = cell(x, h)
        >>> tuple(h.shape)
        (3, 8)
    """

    def _cell(self) -> cells.Cell:
        return cells.RNN(self.nonlinearity)


class GRUCell(_TorchCell[Tensor], torch.nn.GRUCell):
    """`torch.nn.GRUCell`: same arguments, same `state_dict`, same results. Calls without gradients are faster.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> tuple(nn.GRUCell(5, 8)(torch.randn(3, 5)).shape)
        (3, 8)
    """

    def _cell(self) -> cells.Cell:
        return cells.GRU()


class LSTMCell(_TorchCell[tuple[Tensor, Tensor]], torch.nn.LSTMCell):
    """`torch.nn.LSTMCell`: same arguments, same `state_dict`, same results. Calls without gradients are faster.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> cell, state = nn.LSTMCell(5, 8), None
        >>> with torch.no_grad():
        ...     for x in torch.randn(10, 3, 5):
        ...         state = cell(x, state)
        >>> h, c = state
        >>> tuple(h.shape), tuple(c.shape)
        ((3, 8), (3, 8))
    """

    def _cell(self) -> cells.Cell:
        return cells.LSTM()
