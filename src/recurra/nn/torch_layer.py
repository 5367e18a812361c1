"""Base of RNN, LSTM and GRU: the calls of torch's layers, served by the engines of `recurra.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import torch
from torch import Tensor, is_grad_enabled
from torch.compiler import is_dynamo_compiling
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra import cells
from recurra.errors import UsageError
from recurra.ops import PRECISIONS, Explanation, Stack, dropout, explain, recurrence
from recurra.ops.call import as_tensor
from recurra.ops.registry import FastLayers
from recurra.ops.tensor_memory import check_input, check_tensor

from .noise import checked_share, noise_of, noisy
from .session import ONE_DIRECTION, Session
from .torch_tools.dynamo import admit
from .torch_tools.tooling import Tooling, changed_options

Lengths = Tensor | Sequence[int] | None
State = TypeVar("State")


if TYPE_CHECKING:
    _Base = torch.nn.RNNBase
else:
    _Base = object


def engine_options(layer: Any) -> dict[str, Any]:
    """Returns the options of `recurrence` for a layer."""
    return {
        "batch_first": layer.batch_first,
        "dropout": layer.dropout,
        "training": layer.training,
        "memory": layer.memory,
        "precision": layer.precision,
        "engine": layer.engine,
    }


def weights_of(layer: Any) -> list[Tensor]:
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


class EngineModule(Tooling):
    """What the layers and cells with torch's interface have of the engine."""

    stack: Any
    unscripted = "call recurra.restore(model) first, or use torch.jit.trace, torch.compile or torch.export"

    @cached_property
    def _fast_layers(self) -> FastLayers:
        return FastLayers(self.stack)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[arg-type]
        state.pop("_fast_layers", None)  # made again at the next call
        return state


class TorchLayer(EngineModule, Generic[State], _Base):
    """Base of the three torch-compatible layers: torch's constructor and names with `recurrence`."""

    engine = "auto"
    memory = "full"
    precision = "float32"
    weight_dropout = 0
    recurrent_dropout = 0
    recurrent_dropout_per = "sequence"
    zoneout: Any = 0

    def _set_options(self, engine: str, memory: str, precision: str, weight_dropout: float) -> None:
        self.engine, self.memory, self.precision = engine, memory, precision
        self.weight_dropout = checked_share("weight_dropout", weight_dropout)

    if TYPE_CHECKING:  # torch declares calls of all modules as Callable[..., Any]

        @overload
        def __call__(self, input: Tensor, hx: State | None = None, lengths: Lengths = None) -> tuple[Tensor, State]: ...
        @overload
        def __call__(
            self, input: PackedSequence, hx: State | None = None, lengths: None = None
        ) -> tuple[PackedSequence, State]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...  # noqa: D102

    def _cell(self) -> cells.Cell:
        raise NotImplementedError

    @property
    def stack(self) -> Stack:
        """Cell, sizes, layers and directions of this layer."""
        return self._stack_with(noisy(self._cell(), *noise_of(self)))

    def _stack_with(self, cell: cells.Cell) -> Stack:
        return Stack(
            cell,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            self.proj_size,
        )

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, Tensor] | None = None,
        lengths: Lengths = None,
    ) -> tuple[Any, Any]:
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
            if found is None:
                found = self._traced(input, hx, lengths=lengths)
            if found is not None:
                return found
        if isinstance(input, PackedSequence):
            return self.forward_packed(input, hx, lengths)
        values, states, lengths = self.prepare(input, hx, lengths)
        output, last = recurrence(self.stack, values, self.weights(), lengths, states, **engine_options(self))
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
        if not is_dynamo_compiling() and not (self.training and self.recurrent_dropout):
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
        if fast is None or (self.training and self.recurrent_dropout):
            return None
        between = self.dropout if self.training and self.num_layers > 1 else 0.0
        if not is_grad_enabled():
            drops = between or (self.training and self.weight_dropout)
            return None if drops else fast.forward(self._parameters, input, hx, lengths, self.batch_first)
        if self.memory != "full" or self.precision not in PRECISIONS:
            return None
        if self.training and self.weight_dropout:
            weights = tuple(weights_of(self))
        else:
            parameters = self._parameters
            weights = tuple([parameters.get(name) for name in self._weight_names])
        bf16 = self.precision == "bfloat16"
        return fast.train(weights, input, hx, lengths, batch_first=self.batch_first, dropout=between, bf16=bf16)

    @cached_property
    def _fast_layers(self) -> FastLayers:
        return FastLayers(self._stack_with(noisy(self._cell(), *noise_of(self, training=False))))

    @cached_property
    def _weight_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.stack.named_shapes())

    def explain(self, input: Tensor, hx: Any = None, lengths: Lengths = None) -> Explanation:
        """Returns which engine would serve this input, and why the others would not."""
        if isinstance(input, PackedSequence):
            input, lengths = pad_packed_sequence(input, self.batch_first)
        values, states, lengths = self.prepare(input, hx, lengths)
        return explain(self.stack, values, self.weights(), lengths, states, **engine_options(self))

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
        return weights_of(self)

    def pack_state(self, last: tuple[Tensor, ...]) -> Any:
        """Returns final states in the form of torch's layer: a tensor, for an LSTM a pair."""
        return last[0]

    def extra_repr(self) -> str:
        """Returns sizes and options, for `print(model)`."""
        nonlinearity = getattr(self, "nonlinearity", "tanh")  # torch prints it for cells only
        shown = "" if nonlinearity == "tanh" else f", nonlinearity={nonlinearity!r}"
        return super().extra_repr() + shown + changed_options(self)


admit((TorchLayer,))
