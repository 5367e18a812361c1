"""The protocol of a recurrent cell: its gates, its states, its weights and one step.

Your own cell is a subclass of `Cell` with `gates`, `states` and `step`. It then runs on the reference
engine, stacked and bidirectional, over ragged batches, with gradients, without further code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["Tensor", ...]

Alter = Callable[[str, "Tensor"], "Tensor"]
"""Function of the name and the values of a gate, `(batch, hidden)`, that returns the values that the step uses.

Example:
    >>> import torch
    >>> from recurra.cells import GRU
    >>> def closed(name: str, gate: torch.Tensor) -> torch.Tensor:
    ...     return torch.zeros_like(gate) if name == "reset" else gate
    >>> weights = {name: torch.ones(shape) for name, shape in GRU().shapes(2, 3).items()}
    >>> GRU().step(torch.ones(1, 2), (torch.zeros(1, 3),), weights, closed).gates[0].tolist()
    [[0.0, 0.0, 0.0]]
"""


def as_is(name: str, gate: Tensor) -> Tensor:
    """Returns a gate without a change.

    Example:
        >>> change: Alter = as_is
        >>> change("forget", 0.5)
        0.5
    """
    return gate


class Step(NamedTuple):
    """Result of one time step: the new states and the activated gates.

    Attributes:
        state: one tensor `(batch, size)` per name in `Cell.states`.
        gates: one activated tensor `(batch, hidden)` per name in `Cell.gates`.

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> weights = {name: torch.ones(shape) for name, shape in LSTM().shapes(2, 3).items()}
        >>> state: State = (torch.zeros(1, 3), torch.zeros(1, 3))
        >>> step = LSTM().step(torch.ones(1, 2), state, weights)
        >>> len(step.state), len(step.gates)
        (2, 4)
    """

    state: State
    gates: tuple[Tensor, ...]


class Mask(NamedTuple):
    """Random numbers of a step in training: 0, or `1 / (1 - dropped)`.

    Attributes:
        width: numbers per sequence.
        dropped: probability of a 0.
        per_step: whether each step has its own numbers; otherwise all steps of a sequence have the same ones.

    Example:
        >>> Mask(8, 0.5)
        Mask(width=8, dropped=0.5, per_step=False)
    """

    width: int
    dropped: float
    per_step: bool = False


class Cell(ABC):
    """Equations of one recurrent cell, with the names of its gates and states.

    Attributes:
        name: short name, such as `"lstm"`.
        gates: gate names in the order of their rows in `weight_ih` and `weight_hh`.
        states: state names; the first is the hidden state, which is also the output of a step. The last is the memory,
            which `keeps` acts on.
        keeps: the gate that determines how much of the last state is kept; `""` if there is none.
        mean_is_state: whether a mean of two values of each state is a state, which zoneout needs.

    Example:
        One gate fewer than a GRU:

        >>> import torch
        >>> from recurra import nn
        >>> from recurra.cells import Cell, Step, linear
        >>> class OneGate(Cell):
        ...     name, gates, states = "one_gate", ("forget", "candidate"), ("hidden",)
        ...     def step(self, x, state, weights):
        ...         (h,) = state
        ...         f_x, n_x = linear(x, weights, "ih").chunk(2, -1)
        ...         f_h, n_h = linear(h, weights, "hh").chunk(2, -1)
        ...         f = torch.sigmoid(f_x + f_h)
        ...         n = torch.tanh(n_x + f * n_h)
        ...         return Step(((1 - f) * h + f * n,), (f, n))
        >>> layer = nn.Recurrent(OneGate(), 5, 8, num_layers=2, bidirectional=True, batch_first=True)
        >>> output, (hidden,) = layer(torch.randn(3, 10, 5), lengths=[10, 0, 4])
        >>> tuple(output.shape), tuple(hidden.shape)
        ((3, 10, 16), (4, 3, 8))
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]]
    keeps: ClassVar[str] = ""
    mean_is_state: ClassVar[bool] = True

    def __repr__(self) -> str:
        """The class and its settings; equal for equal cells, because a checkpoint is identified by it."""
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    @abstractmethod
    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """Advances the state by one time step.

        Args:
            x: input of the step, `(batch, features)`.
            state: one tensor `(batch, size)` per name in `states`.
            weights: tensors named as in `shapes`; in training also the masks, `(batch, width)`, named as in `masks`.
            alter: function that every gate passes through as soon as it is computed; for interventions. Your own cell
                may omit the argument. Then its states can be altered, but not its gates.

        Returns:
            The new state and the activated gates.
        """

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights of one layer in one direction, in torch's order."""
        rows = len(self.gates) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, proj_size or hidden_size),
        }
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if proj_size:
            shapes["weight_hr"] = (proj_size, hidden_size)
        return shapes

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Returns the values of a weight at the start; None for those of the layer, U(-1/√hidden, 1/√hidden).

        Args:
            name: name of the weight, as in `shapes`.
            shape: its shape.
        """
        return None

    def activation(self, gate: str) -> str:
        """Returns the function of a gate: `"sigmoid"`, `"tanh"`, or another one, which does not saturate."""
        return "tanh" if gate == "candidate" else "sigmoid"

    def masks(self, hidden_size: int, *, proj_size: int = 0) -> Mapping[str, Mask]:
        """Returns the masks that the engine draws in training, by name; none unless a cell has its own dropout."""
        return {}

    def state_sizes(self, hidden_size: int, *, proj_size: int = 0) -> tuple[int, ...]:
        """Size of each state; a projection narrows the hidden state only."""
        return (proj_size or hidden_size, *[hidden_size] * (len(self.states) - 1))


def linear(x: Tensor, weights: Mapping[str, Tensor], side: str) -> Tensor:
    """`W x + b` for side `"ih"` (from the input) or `"hh"` (from the hidden state), all gates at once.

    Example:
        >>> import torch
        >>> linear(torch.ones(1, 2), {"weight_ih": torch.ones(3, 2), "bias_ih": torch.ones(3)}, "ih").tolist()
        [[3.0, 3.0, 3.0]]
    """
    product = x @ weights[f"weight_{side}"].T
    bias = weights.get(f"bias_{side}")
    return product if bias is None else product + bias


def block_linear(h: Tensor, weight: Tensor, heads: int) -> Tensor:
    """`W h` for a block-diagonal matrix: each head of the state is multiplied with its own block.

    Args:
        h: state `(batch, hidden)`; its units are divided evenly among the heads.
        weight: `(gates * hidden, hidden // heads)`, for each gate the rows of its units, each with the columns of the
            head of its unit.
        heads: number of heads.

    Returns:
        `(batch, gates * hidden)`.

    Example:
        >>> import torch
        >>> block_linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), heads=2).tolist()
        [[3.0, 8.0]]
    """
    import torch
    from torch.overrides import handle_torch_function, has_torch_function

    if has_torch_function((h, weight)):  # an engine that compiles the cell has its own product
        return handle_torch_function(block_linear, (h, weight), h, weight, heads)
    size = h.shape[-1] // heads
    parts = h.split(size, dim=-1)
    return torch.cat([parts[i % heads] @ block.T for i, block in enumerate(weight.split(size))], dim=-1)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """Normalizes the units of a step to mean 0 and variance 1, multiplies by the gain and adds the bias.

    Example:
        >>> import torch
        >>> layer_norm(torch.tensor([[0.0, 2.0]]), torch.ones(2)).round().tolist()
        [[-1.0, 1.0]]
    """
    from torch.nn import functional

    return functional.layer_norm(x, gain.shape, gain, bias)


def softplus(x: Tensor) -> Tensor:
    """`log(1 + exp(x))`; `-softplus(-x)` is the logarithm of the sigmoid.

    Example:
        >>> import torch
        >>> softplus(torch.tensor(0.0)).exp().item()
        2.0
    """
    from torch.nn import functional

    return functional.softplus(x)
