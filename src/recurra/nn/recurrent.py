"""RNN, LSTM and GRU with the interface of torch plus `lengths`, and `Recurrent` for your own cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, is_grad_enabled
from torch.compiler import is_dynamo_compiling
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra import cells
from recurra.cells.checks import check_declaration
from recurra.cells.registry import find
from recurra.errors import EngineError, UsageError
from recurra.ops import PRECISIONS, Explanation, Stack, dropout, explain, recurrence
from recurra.ops.call import as_tensor
from recurra.ops.registry import FastLayers
from recurra.ops.tensor_memory import check_input, check_tensor

from .dynamo import admit
from .session import ONE_DIRECTION, Session

Lengths = Tensor | Sequence[int] | None


def checked_share(name: str, value: float) -> float:
    """Returns a probability of dropping something; for none an int, because torch.compile traces floats as inputs.

    Raises:
        UsageError: it is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise UsageError(f"{name} must lie in [0, 1), got {value}")
    return value or 0


if TYPE_CHECKING:
    _Base = torch.nn.RNNBase
else:
    _Base = object


def _options(layer: Any) -> dict[str, Any]:
    """Returns the options of `recurrence` for a layer."""
    return {
        "batch_first": layer.batch_first,
        "dropout": layer.dropout,
        "training": layer.training,
        "memory": layer.memory,
        "precision": layer.precision,
        "engine": layer.engine,
    }


def _weights(layer: Any) -> list[Tensor]:
    """Returns the weights in the order of `stack.named_shapes()`, in training with `weight_dropout`.

    Dropping recurrent weights: Merity and others, "Regularizing and optimizing LSTM language models", 2018. One mask
    serves all steps of a call.
    """
    # not torch's flat list: functional_call and parametrizations replace the tensors behind it
    names = [name for name, _ in layer.stack.named_shapes()]
    found = [getattr(layer, name) for name in names]
    if not (layer.training and layer.weight_dropout):
        return found
    share = layer.weight_dropout
    return [
        dropout(weight, share, per_sequence=False) if name.startswith("weight_hh") else weight
        for name, weight in zip(names, found, strict=True)
    ]


class EngineModule:
    """What the layers and cells with torch's interface have of the engine."""

    stack: Any

    @cached_property
    def _fast_layers(self) -> FastLayers:
        return FastLayers(self.stack)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[arg-type]
        state.pop("_fast_layers", None)  # made again at the next call
        return state

    def __prepare_scriptable__(self) -> Any:
        raise EngineError(
            "torch.jit.script cannot compile Recurra's layers; call recurra.restore(model) first, "
            "or use torch.compile, torch.export or torch.jit.trace"
        )


class _TorchRecurrent(EngineModule, _Base):
    """Base of the three torch-compatible layers: torch's constructor and names with `recurrence`."""

    engine = "auto"
    memory = "full"
    precision = "float32"
    weight_dropout = 0

    def __init__(
        self,
        *args: Any,
        engine: str = "auto",
        memory: str = "full",
        precision: str = "float32",
        weight_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.memory, self.precision = engine, memory, precision
        self.weight_dropout = checked_share("weight_dropout", weight_dropout)

    def _cell(self) -> cells.Cell:
        raise NotImplementedError

    @property
    def stack(self) -> Stack:
        """Cell, sizes, layers and directions of this layer."""
        return Stack(
            self._cell(),
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            self.proj_size,
        )

    def forward(self, input: Any, hx: Any = None, lengths: Lengths = None) -> Any:
        """Runs the layer like that of torch, with `lengths` for ragged batches.

        Args:
            input: `(time, batch, features)`, `(batch, time, features)` with `batch_first`, unbatched
                `(time, features)`, or a `PackedSequence`.
            hx: initial state as in torch: `h_0`, for an LSTM `(h_0, c_0)`; zeros when None.
            lengths: steps of each sequence `(batch,)`, in any order, zeros allowed.

        Returns:
            `output, h_n`, for an LSTM `output, (h_n, c_n)`, shaped as in torch. With `lengths` the output is
            0 beyond each sequence's end and the final states are those after its own last step.

        Raises:
            ValueError, RuntimeError: shapes, types or lengths do not fit.
        """
        if not is_dynamo_compiling():
            found = self._fast_path(input, hx, lengths)
            if found is None and not isinstance(lengths, Tensor | Proxy | None):
                found = self._fast_path(input, hx, as_tensor(lengths))
            if found is not None:
                return found
        if any(isinstance(argument, Proxy) for argument in (input, hx, lengths)):
            return self._traced(input, hx, lengths)
        if isinstance(input, PackedSequence):
            return self.forward_packed(input, hx, lengths)
        values, states, lengths = self.prepare(input, hx, lengths)
        output, last = recurrence(self.stack, values, self.weights(), lengths, states, **_options(self))
        if input.dim() == 2:
            output = output.squeeze(0 if self.batch_first else 1)
            last = tuple(s.squeeze(1) for s in last)
        return output, self.pack_state(last)

    def step(self, input: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Runs one time step, for sequences that arrive one step after the other.

        Args:
            input: `(batch, features)`, or `(features,)` for one sequence.
            state: the state that the previous step returned; None for the first step.

        Returns:
            `output, state`: the output of the last layer `(batch, hidden)`, and the state as `forward` returns it.

        Raises:
            ValueError: the layer is bidirectional, or shapes do not fit.

        Example:
            >>> import torch
            >>> from recurra import nn
            >>> layer, state = nn.GRU(5, 8), None
            >>> with torch.no_grad():
            ...     for x in torch.randn(10, 1, 5):
            ...         y, state = layer.step(x, state)
            >>> tuple(y.shape)
            (1, 8)
        """
        if not is_dynamo_compiling():
            fast = self._fast_layers[self.engine]
            if fast is not None:
                found = fast.step(self._parameters, input, state)
                if found is not None:
                    return found
        if self.bidirectional:
            raise UsageError(ONE_DIRECTION)
        check_input("the input", input)
        if input.dim() not in (1, 2):
            raise UsageError(f"one step must have shape (batch, features) or (features,), got {tuple(input.shape)}")
        time = 1 if self.batch_first and input.dim() == 2 else 0
        output, state = self(input.unsqueeze(time), state)
        return output.squeeze(time), state

    def session(self, batch: int = 1, weights: torch.dtype = torch.float32) -> Session:
        """Packs the weights for running step by step at the lowest latency; see `Session`."""
        return Session(self, batch, weights)

    def _fast_path(self, input: Any, hx: Any, lengths: Any) -> Any:
        """Returns the result of the engine's `FastLayer`; None for a call that needs `recurrence`."""
        fast = self._fast_layers[self.engine]
        if fast is None:
            return None
        between = self.dropout if self.training and self.num_layers > 1 else 0.0
        if not is_grad_enabled():
            drops = between or (self.training and self.weight_dropout)
            return None if drops else fast.forward(self._parameters, input, hx, lengths, self.batch_first)
        if self.memory != "full" or self.precision not in PRECISIONS:
            return None
        if self.training and self.weight_dropout:
            weights = tuple(_weights(self))
        else:
            parameters = self._parameters
            weights = tuple([parameters.get(name) for name in self._weight_names])
        bf16 = self.precision == "bfloat16"
        return fast.train(weights, input, hx, lengths, batch_first=self.batch_first, dropout=between, bf16=bf16)

    @cached_property
    def _weight_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.stack.named_shapes())

    def _traced(self, *arguments: Any) -> Any:
        """Adds one node to the graph of torch.fx, as for torch's own layers."""
        tracer: Any = next(a.tracer for a in arguments if isinstance(a, Proxy))
        input, hx, lengths = arguments
        keywords = {} if lengths is None else {"lengths": lengths}
        return tracer.create_proxy("call_module", tracer.path_of_module(self), (input, hx), keywords)

    def explain(self, input: Tensor, hx: Any = None, lengths: Lengths = None) -> Explanation:
        """Returns which engine would serve this input, and why the others would not."""
        if isinstance(input, PackedSequence):
            input, lengths = pad_packed_sequence(input, self.batch_first)
        values, states, lengths = self.prepare(input, hx, lengths)
        return explain(self.stack, values, self.weights(), lengths, states, **_options(self))

    def forward_packed(self, packed: PackedSequence, hx: Any, lengths: Lengths) -> Any:
        """Runs a packed batch as a padded one and packs the output in the same order."""
        if lengths is not None:
            raise UsageError("a PackedSequence brings its own lengths; leave `lengths` out")
        values, own = pad_packed_sequence(packed, self.batch_first)
        output, last = self.forward(values, hx, own)
        # lengths in the packed order, so that nothing is sorted again and the result is in the order of the input
        order = packed.sorted_indices
        if order is not None:
            output = output.index_select(0 if self.batch_first else 1, order)
            own = own[order.cpu()]
        repacked = pack_padded_sequence(output, own, self.batch_first)
        return PackedSequence(repacked.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), last

    def prepare(self, input: Tensor, hx: Any, lengths: Lengths) -> tuple[Tensor, Any, Lengths]:
        """Checks the arguments of a call as torch does; returns them with a batch axis, the states as a tuple."""
        check_tensor("the input", input)
        if input.dim() not in (2, 3):
            raise UsageError(
                f"{type(self).__name__}: expected input of 2 or 3 dimensions, got {input.dim()} dimensions"
            )
        states = None if hx is None else (tuple(hx) if isinstance(hx, tuple | list) else (hx,))
        for state in states or ():
            check_tensor("the initial state", state)
        if input.dim() == 2:
            if lengths is not None:
                raise UsageError("`lengths` goes with a batch; for one sequence cut the input instead")
            for tensor in (input, *(states or ())):
                check_input("the input or state", tensor)
            input = input.unsqueeze(0 if self.batch_first else 1)
            if states is not None and any(s.dim() != 2 for s in states):
                raise RuntimeError("for unbatched input the initial state must have 2 dimensions")
            states = None if states is None else tuple(s.unsqueeze(1) for s in states)
        elif states is not None and any(s.dim() != 3 for s in states):
            raise RuntimeError("for batched input the initial state must have 3 dimensions")
        return input, states, lengths

    def weights(self) -> list[Tensor]:
        """Returns the weights in the order of `stack.named_shapes()`, in training with `weight_dropout`."""
        return _weights(self)

    def pack_state(self, last: tuple[Tensor, ...]) -> Any:
        """Returns final states in the form of torch's layer: a tensor, for an LSTM a pair."""
        return last[0]


class RNN(_TorchRecurrent, torch.nn.RNN):
    """`torch.nn.RNN` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        *args: as in `torch.nn.RNN`.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it; likewise.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        **kwargs: as in `torch.nn.RNN`.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer = nn.RNN(5, 8, batch_first=True)
        >>> output, h_n = layer(torch.randn(2, 10, 5), lengths=[3, 10])
        >>> tuple(output.shape), output[0, 3:].any().item()
        ((2, 10, 8), False)
    """

    def _cell(self) -> cells.Cell:
        return cells.RNN(self.nonlinearity)


class GRU(_TorchRecurrent, torch.nn.GRU):
    """`torch.nn.GRU` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        *args: as in `torch.nn.GRU`.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it; likewise.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        **kwargs: as in `torch.nn.GRU`.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> output, h_n = nn.GRU(5, 8, bidirectional=True)(torch.randn(10, 2, 5))
        >>> tuple(output.shape), tuple(h_n.shape)
        ((10, 2, 16), (2, 2, 8))
    """

    def _cell(self) -> cells.Cell:
        return cells.GRU()


class LSTM(_TorchRecurrent, torch.nn.LSTM):
    """`torch.nn.LSTM` with `lengths`: same arguments, same `state_dict`, same results.

    Args:
        *args: as in `torch.nn.LSTM`.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory; see `recurra.ops.recurrence`.
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it; likewise.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        **kwargs: as in `torch.nn.LSTM`.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer = nn.LSTM(5, 8, batch_first=True)
        >>> output, (h_n, c_n) = layer(torch.randn(2, 10, 5), lengths=[0, 7])
        >>> tuple(output.shape), h_n[0, 0].any().item()
        ((2, 10, 8), False)
    """

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


class Recurrent(torch.nn.Module):
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
        precision: `"float32"`, or `"bfloat16"` for faster training if the processor multiplies it; likewise.
        weight_dropout: probability of dropping a recurrent weight in training. One mask serves all steps of a call
            (Merity and others, "Regularizing and optimizing LSTM language models", 2018).
        device: device of the weights.
        dtype: number type of the weights.

    Example:
        >>> import torch
        >>> from recurra import cells, nn
        >>> output, (hidden,) = nn.Recurrent(cells.GRU(), 5, 8)(torch.randn(10, 2, 5), lengths=[4, 10])
        >>> tuple(output.shape)
        (10, 2, 8)
    """

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight_dropout = checked_share("weight_dropout", weight_dropout)
        cell = cell if isinstance(cell, cells.Cell) else find(cell)
        check_declaration(cell)
        self.stack = Stack(cell, input_size, hidden_size, num_layers, bidirectional, bias)
        self.batch_first, self.dropout = batch_first, dropout
        self.engine, self.memory, self.precision = engine, memory, precision
        for name, shape in self.stack.named_shapes():
            self.register_parameter(name, torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

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
        return recurrence(self.stack, input, self.weights(), lengths, states, **_options(self))

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
        return explain(self.stack, input, self.weights(), lengths, states, **_options(self))

    def extra_repr(self) -> str:
        """Returns the cell and the sizes, for `print(model)`."""
        stack = self.stack
        sizes = f"{stack.cell.name}, {stack.input_size}, {stack.hidden_size}, num_layers={stack.num_layers}"
        return f"{sizes}, bidirectional={stack.bidirectional}, batch_first={self.batch_first}"

    def weights(self) -> list[Tensor]:
        """Returns the weights in the order of `stack.named_shapes()`, in training with `weight_dropout`."""
        return _weights(self)


admit((_TorchRecurrent,))
