"""RNN, LSTM and GRU with the interface of torch plus `lengths`, and `Recurrent` for your own cells."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from recurra import cells
from recurra.cells.checks import check_declaration
from recurra.cells.registry import find
from recurra.errors import UsageError
from recurra.ops import Explanation, Stack, explain, recurrence
from recurra.ops.tensor_memory import check_input

from .noise import noise_of, noisy, set_noise
from .session import ONE_DIRECTION, Session
from .torch_layer import Lengths, TorchLayer, checked_share, engine_options, weights_of
from .torch_tools import in_graph
from .torch_tools.tooling import Tooling, changed_options


class RNN(TorchLayer[Tensor], torch.nn.RNN):
    """`torch.nn.RNN` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        input_size: features of the input.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        nonlinearity: `"tanh"` or `"relu"`.
        bias: whether the cells have biases.
        batch_first: whether input and output are `(batch, time, features)`.
        dropout: probability of dropping an output between layers, in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        device: device of the weights.
        dtype: number type of the weights.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it faster.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        recurrent_dropout: probability of a 0 in training; see `recurra.cells.Regularized`.
        recurrent_dropout_per: `"sequence"` for the same units of the state at all steps, in products with recurrent
            weights; `"step"` for the candidate, other units at each step.
        zoneout: probability that a unit keeps its state at a step in training; in evaluation, units get the mean. A
            pair gives that of the hidden state and that of the other states.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer = nn.RNN(5, 8, batch_first=True)
        >>> output, h_n = layer(torch.randn(2, 10, 5), lengths=[3, 10])
        >>> tuple(output.shape), output[0, 3:].any().item()
        ((2, 10, 8), False)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str = "auto",
        memory: str = "full",
        precision: str = "float32",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            nonlinearity=nonlinearity,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self._set_options(engine, memory, precision, weight_dropout)
        set_noise(self, recurrent_dropout, recurrent_dropout_per, zoneout)

    def _cell(self) -> cells.Cell:
        return cells.RNN(self.nonlinearity)


class GRU(TorchLayer[Tensor], torch.nn.GRU):
    """`torch.nn.GRU` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        input_size: features of the input.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bias: whether the cells have biases.
        batch_first: whether input and output are `(batch, time, features)`.
        dropout: probability of dropping an output between layers, in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        device: device of the weights.
        dtype: number type of the weights.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it faster.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        recurrent_dropout: probability of a 0 in training; see `recurra.cells.Regularized`.
        recurrent_dropout_per: `"sequence"` for the same units of the state at all steps, in products with recurrent
            weights; `"step"` for the candidate, other units at each step.
        zoneout: probability that a unit keeps its state at a step in training; in evaluation, units get the mean. A
            pair gives that of the hidden state and that of the other states.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> output, h_n = nn.GRU(5, 8, bidirectional=True)(torch.randn(10, 2, 5))
        >>> tuple(output.shape), tuple(h_n.shape)
        ((10, 2, 16), (2, 2, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str = "auto",
        memory: str = "full",
        precision: str = "float32",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self._set_options(engine, memory, precision, weight_dropout)
        set_noise(self, recurrent_dropout, recurrent_dropout_per, zoneout)

    def _cell(self) -> cells.Cell:
        return cells.GRU()


class LSTM(TorchLayer[tuple[Tensor, Tensor]], torch.nn.LSTM):
    """`torch.nn.LSTM` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        input_size: features of the input.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bias: whether the cells have biases.
        batch_first: whether input and output are `(batch, time, features)`.
        dropout: probability of dropping an output between layers, in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        proj_size: size to which the hidden state is projected; 0 for no projection.
        device: device of the weights.
        dtype: number type of the weights.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it faster.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        recurrent_dropout: probability of a 0 in training; see `recurra.cells.Regularized`.
        recurrent_dropout_per: `"sequence"` for the same units of the state at all steps, in products with recurrent
            weights; `"step"` for the candidate, other units at each step.
        zoneout: probability that a unit keeps its state at a step in training; in evaluation, units get the mean. A
            pair gives that of the hidden state and that of the other states.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer = nn.LSTM(5, 8, batch_first=True)
        >>> output, (h_n, c_n) = layer(torch.randn(2, 10, 5), lengths=[0, 7])
        >>> tuple(output.shape), h_n[0, 0].any().item()
        ((2, 10, 8), False)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str = "auto",
        memory: str = "full",
        precision: str = "float32",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
        )
        self._set_options(engine, memory, precision, weight_dropout)
        set_noise(self, recurrent_dropout, recurrent_dropout_per, zoneout)

    def _cell(self) -> cells.Cell:
        return cells.LSTM()

    def prepare(self, input: Tensor, hx: Any, lengths: Lengths) -> tuple[Tensor, Any, Lengths]:
        """See `RNN.prepare`."""
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise UsageError("the initial state of an LSTM is a pair (h_0, c_0)")
        return super().prepare(input, hx, lengths)

    def pack_state(self, last: tuple[Tensor, ...]) -> Any:
        """See `RNN.pack_state`."""
        return last


class Recurrent(Tooling, torch.nn.Module):
    """Stacked, bidirectional recurrence of any `Cell`, over ragged batches.

    Args:
        cell: a `Cell`, its class, or a name such as `"mgu"`. Your own cell is compiled if its operations allow it; see
            `explain`.
        input_size: features of the input.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bias: whether the cells have biases.
        batch_first: whether input and output are `(batch, time, features)`.
        dropout: probability of dropping an output between layers, in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it faster.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        recurrent_dropout: probability of a 0 in training; see `recurra.cells.Regularized`.
        recurrent_dropout_per: `"sequence"` for the same units of the state at all steps, in products with recurrent
            weights; `"step"` for the candidate, other units at each step.
        zoneout: probability that a unit keeps its state at a step in training; in evaluation, units get the mean. A
            pair gives that of the hidden state and that of the other states.
        device: device of the weights.
        dtype: number type of the weights.

    Example:
        >>> import torch
        >>> from recurra import cells, nn
        >>> output, (hidden,) = nn.Recurrent(cells.GRU(), 5, 8)(torch.randn(10, 2, 5), lengths=[4, 10])
        >>> tuple(output.shape)
        (10, 2, 8)
    """

    unscripted = "use recurra.to_torch(model) if torch has the cell, or torch.jit.trace, torch.compile or torch.export"

    def __init__(
        self,
        cell: cells.CellLike,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        engine: str = "auto",
        memory: str = "full",
        precision: str = "float32",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight_dropout = checked_share("weight_dropout", weight_dropout)
        cell = cell if isinstance(cell, cells.Cell) else find(cell)
        check_declaration(cell)
        self._stack = Stack(cell, input_size, hidden_size, num_layers, bidirectional, bias)
        set_noise(self, recurrent_dropout, recurrent_dropout_per, zoneout)
        self._number = in_graph.register(self)
        self.batch_first, self.dropout = batch_first, dropout
        self.engine, self.memory, self.precision = engine, memory, precision
        for name, shape in self.stack.named_shapes():
            self.register_parameter(name, torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._number = in_graph.register(self)  # a copy is another layer

    @property
    def stack(self) -> Stack:
        """Cell, sizes, layers and directions of this layer."""
        return self.stack_with(*noise_of(self))

    def stack_with(self, *noise: Any) -> Stack:
        """Returns the stack for some options of dropout within the recurrence, see `recurra.nn.noise.noisy`."""
        cell = noisy(self._stack.cell, *noise)
        return self._stack if cell is self._stack.cell else replace(self._stack, cell=cell)

    def reset_parameters(self) -> None:
        """Draws every weight from U(-1/√hidden, 1/√hidden), like torch, if the cell has no initial values for it."""
        bound = 1 / math.sqrt(self.stack.hidden_size)
        for name, weight in self.named_parameters():
            values = self.stack.initial(name)
            if values is None:
                torch.nn.init.uniform_(weight, -bound, bound)
            else:
                weight.detach().copy_(values)

    def forward(
        self, input: Tensor, states: Tensor | tuple[Tensor, ...] | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs the stack; shapes as in `recurra.ops.recurrence`. A single state may be given without its tuple."""
        states = (states,) if isinstance(states, Tensor) else states
        if is_dynamo_compiling() and not is_exporting():
            options = [part for option in engine_options(self).items() for part in option]
            arguments = input, states, lengths, self.weights()
            output, *last = in_graph.run(self._number, noise_of(self), options, *arguments)
            return output, tuple(last)
        found = None if is_dynamo_compiling() else self._traced(input, states, lengths=lengths)
        if found is not None:
            return found
        return recurrence(self.stack, input, self.weights(), lengths, states, **engine_options(self))

    def step(self, input: Tensor, states: Any = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs one time step of `(batch, features)`; returns the output `(batch, hidden)` and the new states.

        Raises:
            UsageError: the layer is bidirectional.
        """
        if self.stack.bidirectional:
            raise UsageError(ONE_DIRECTION)
        check_input("the input", input)
        time = 1 if self.batch_first else 0
        output, states = self(input.unsqueeze(time), states)
        return output.squeeze(time), states

    def session(self, batch: int = 1, weights: torch.dtype = torch.float32) -> Session:
        """Packs the weights for running step by step at the lowest latency; see `Session`."""
        return Session(self, batch, weights, tuples=True)

    def explain(self, input: Tensor, states: tuple[Tensor, ...] | None = None, lengths: Lengths = None) -> Explanation:
        """Returns which engine would serve this input, and why the others would not."""
        return explain(self.stack, input, self.weights(), lengths, states, **engine_options(self))

    def extra_repr(self) -> str:
        """Returns the cell and the sizes, for `print(model)`."""
        stack = self.stack
        sizes = f"{stack.cell.name}, {stack.input_size}, {stack.hidden_size}, num_layers={stack.num_layers}"
        return f"{sizes}, bidirectional={stack.bidirectional}, batch_first={self.batch_first}{changed_options(self)}"

    def weights(self) -> list[Tensor]:
        """Returns the weights in the order of `stack.named_shapes()`, in training with `weight_dropout`."""
        return weights_of(self)
