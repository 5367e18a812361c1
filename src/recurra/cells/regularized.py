"""Recurrent dropout and zoneout for any cell."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recurra.errors import UsageError

from .base import Alter, Cell, Mask, State, Step, as_is

if TYPE_CHECKING:
    from torch import Tensor

PER = ("sequence", "step")
"""Values of `recurrent_dropout_per`: one mask for all steps of a sequence, or a new one at each step."""

_OF_HIDDEN, _OF_CANDIDATE = "mask_of_hidden", "mask_of_candidate"
_KEPT = ("mask_of_new_hidden", "mask_of_new_memory")


class Regularized(Cell):
    """A cell with recurrent dropout and zoneout. In evaluation, the first has no effect and the second is a mean.

    Recurrent dropout per sequence (Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent
    neural networks", 2016): products with a recurrent matrix, a weight whose name begins with `weight_hh`, see some
    units of the state as 0, the same ones at all steps. What the cell keeps of its state is not changed.

    Recurrent dropout per step (Semeniuta and others, "Recurrent dropout without memory loss", 2016): some units of the
    candidate are 0, other ones at each step. They write nothing into the state.

    Zoneout (Krueger and others, "Zoneout: regularizing RNNs by randomly preserving hidden activations", 2017): some
    units keep their previous state at a step. In evaluation each unit gets the mean of both.

    Args:
        cell: the cell.
        recurrent_dropout: probability of a 0.
        per: one of `PER`.
        zoneout: probability that a unit keeps its hidden state, and its other states.

    Raises:
        UsageError: a value is out of range, the cell has no candidate, or a mean of its states is not a state.

    Example:
        >>> from recurra.cells import LSTM
        >>> Regularized(LSTM(), zoneout=(0.05, 0.5)).masks(4)["mask_of_new_memory"]
        Mask(width=4, dropped=0.5, per_step=True)
    """

    def __init__(
        self,
        cell: Cell,
        recurrent_dropout: float = 0.0,
        per: str = PER[0],
        zoneout: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        if per not in PER:
            raise UsageError(f"recurrent_dropout_per is one of {', '.join(PER)}, not {per!r}")
        self.cell, self.recurrent_dropout, self.per, self.zoneout = cell, recurrent_dropout, per, zoneout
        if recurrent_dropout and per == "step":
            if "candidate" not in cell.gates:
                raise UsageError(
                    f"recurrent dropout per step drops the gate 'candidate', which {cell.name} does not have"
                )
            if "alter" not in inspect.signature(cell.step).parameters:
                raise _not_altered(cell)
        if any(zoneout) and not cell.mean_is_state:
            raise UsageError(f"zoneout needs the mean of two states, which is not a state of {cell.name}")

    def __getattr__(self, name: str) -> Any:
        if name == "cell":  # a copy under construction
            raise AttributeError(name)
        return getattr(self.cell, name)

    @property
    def keeps(self) -> str:  # type: ignore[override]
        """See `Cell.keeps`."""
        return self.cell.keeps

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step, with the masks that are among the weights."""
        of_hidden, of_candidate = weights.get(_OF_HIDDEN), weights.get(_OF_CANDIDATE)
        if of_hidden is not None:
            recurrent = _recurrent_matrices(weights)
            weights = {**weights, **{name: _Masked(weights[name], of_hidden) for name in recurrent}}  # type: ignore[dict-item]
        found = self._inner_step(x, state, weights, alter, of_candidate)
        if not any(self.zoneout):
            return found
        new = [self._zoned(i, one, old, weights) for i, (one, old) in enumerate(zip(found.state, state, strict=True))]
        return Step(tuple(new), found.gates)

    def _inner_step(
        self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter, mask: Tensor | None
    ) -> Step:
        if mask is None:
            return self.cell.step(x, state, weights, *(() if alter is as_is else (alter,)))
        met = []

        def masked(name: str, gate: Tensor) -> Tensor:
            if name != "candidate":
                return alter(name, gate)
            met.append(name)
            return alter(name, gate * mask)

        found = self.cell.step(x, state, weights, masked)
        if not met:
            raise _not_altered(self.cell)
        return found

    def _zoned(self, number: int, new: Tensor, old: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        import torch

        kept, mask = self.zoneout[number > 0], weights.get(_KEPT[number > 0])
        if not kept:
            return new
        if mask is None:
            return kept * old + (1 - kept) * new
        return torch.where(mask > 0, new, old)

    def masks(self, hidden_size: int, *, proj_size: int = 0) -> dict[str, Mask]:
        """See `Cell.masks`.

        Raises:
            UsageError: recurrent dropout per sequence of a cell without a recurrent matrix.
        """
        found, sizes = {}, self.cell.state_sizes(hidden_size, proj_size=proj_size)
        if self.recurrent_dropout and self.per == "sequence":
            if not _recurrent_matrices(self.shapes(1, hidden_size, proj_size=proj_size)):
                raise UsageError(
                    f"recurrent dropout per sequence needs a weight whose name begins with weight_hh, which the cell "
                    f"{self.name} does not have; choose dropout per step"
                )
            found[_OF_HIDDEN] = Mask(sizes[0], self.recurrent_dropout)
        elif self.recurrent_dropout:
            found[_OF_CANDIDATE] = Mask(hidden_size, self.recurrent_dropout, per_step=True)
        for name, dropped, size in zip(_KEPT, self.zoneout, sizes, strict=False):
            if dropped:
                found[name] = Mask(size, dropped, per_step=True)
        return found | dict(self.cell.masks(hidden_size, proj_size=proj_size))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        return self.cell.shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """See `Cell.initial`."""
        return self.cell.initial(name, shape)

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return self.cell.activation(gate)

    def state_sizes(self, hidden_size: int, *, proj_size: int = 0) -> tuple[int, ...]:
        """See `Cell.state_sizes`."""
        return self.cell.state_sizes(hidden_size, proj_size=proj_size)


def _not_altered(cell: Cell) -> UsageError:
    return UsageError(
        f"recurrent dropout per step needs a step that calls alter('candidate', gate), "
        f"which that of {cell.name} does not"
    )


def _recurrent_matrices(weights: Mapping[str, Any]) -> list[str]:
    return [name for name in weights if name.startswith("weight_hh")]


_PRODUCTS = ("matmul", "mm", "linear", "block_linear")


class _Masked:
    """A recurrent matrix, or a part of it, whose products see the other factor times a mask."""

    takes_over = True  # the values of a compiled cell leave operations with this matrix to it

    def __init__(self, weight: Any, mask: Any) -> None:
        self._weight, self._mask = weight, mask

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(function, "__name__", str(function)), kwargs or {}
        if name in _PRODUCTS and not kwargs and len(args) > 1 and isinstance(args[1], cls):
            value, matrix, *others = args
            return function(value * matrix._mask, matrix._weight, *others)
        if len(args) and isinstance(args[0], cls) and not any(isinstance(a, cls) for a in args[1:]):
            return args[0]._part(function(args[0]._weight, *args[1:], **kwargs))
        raise UsageError(f"recurrent dropout per sequence does not know the operation {name} of a recurrent matrix")

    def _part(self, found: Any) -> Any:
        return tuple(map(self._part, found)) if isinstance(found, tuple | list) else _Masked(found, self._mask)

    def __rmatmul__(self, value: Any) -> Any:
        return (value * self._mask) @ self._weight

    def __getitem__(self, index: Any) -> Any:
        return self._part(self._weight[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._weight, name)
        if name in ("T", "mT"):
            return self._part(found)
        if not callable(found) or name in ("size", "dim"):
            return found
        return lambda *args, **kwargs: self._part(found(*args, **kwargs))
