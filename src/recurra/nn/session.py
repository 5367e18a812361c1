"""Step sessions: run a layer one time step after the other, with weights packed once and states in the engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import EngineError, UsageError
from recurra.ops.registry import kernels, open_session
from recurra.ops.tensor_memory import check_readable, materialize

ONE_DIRECTION = "a bidirectional layer reads both ends of a sequence; it cannot run step by step"
INT8_FEATURES = 1 << 17
"""Most numbers of a vector whose products with 8-bit weights have sums of 32 bits."""


class Session:
    """A layer that runs step by step and keeps its states; made by `layer.session()`.

    The session copies the weights when it is made. Later training does not change it.

    Args:
        layer: an RNN, LSTM, GRU, or `Recurrent` with a cell that can be compiled, in one direction, in float32 on the
            CPU.
        batch: number of sequences that run in parallel.
        weights: `torch.bfloat16` or `torch.int8` rounds the weights of an RNN, LSTM or GRU. A step reads a half or a
            quarter of the bytes. With bfloat16, sums stay in float32. With int8, each row of a weight matrix has a
            scale, inputs and states are rounded to 16 bits with a scale for each vector, and sums are exact integers;
            biases, gates and a projection stay in float32. An infinite input then gives NaN.
        tuples: whether a single state is a tuple with one tensor, as in `Recurrent`.

    Raises:
        UsageError: the layer is bidirectional, not in float32 on the CPU, or its weights have no memory; or it has
            more than 131,072 features for int8.
        EngineError: the native engine does not serve the layer.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> session = nn.LSTM(5, 8).session()
        >>> for x in torch.randn(10, 1, 5):
        ...     y = session.step(x)
        >>> tuple(y.shape), [tuple(s.shape) for s in session.state]
        ((1, 8), [(1, 1, 8), (1, 1, 8)])
    """

    def __init__(
        self, layer: Any, batch: int = 1, weights: torch.dtype = torch.float32, *, tuples: bool = False
    ) -> None:
        if weights not in (torch.float32, torch.bfloat16, torch.int8):
            raise UsageError(f"the weights of a session are float32, bfloat16 or int8, not {weights}")
        stack, tensors = layer.stack, [w.detach() for w in layer.weights()]
        if stack.bidirectional:
            raise UsageError(ONE_DIRECTION)
        if batch < 1:
            raise UsageError(f"batch must be at least 1, got {batch}")
        if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors):
            raise UsageError("a session takes a layer in float32 on the CPU; use layer.float().cpu()")
        for (name, _), tensor in zip(stack.named_shapes(), tensors, strict=True):
            check_readable(name, tensor)
        self._stack, self._batch = stack, batch
        rounded: dict[str, bool] = {"bf16": weights == torch.bfloat16}
        if weights == torch.int8:
            if max(stack.input_size, stack.hidden_size) > INT8_FEATURES:
                raise UsageError(f"a session with int8 weights takes at most {INT8_FEATURES:,} features and units")
            rounded["int8"] = True
        self._engine: Any = open_session(stack, tensors, batch, engine=layer.engine, **rounded)
        self._single = len(stack.cell.states) == 1 and not tuples
        if self._engine is None and kernels.engine is None:
            raise EngineError("sessions need the native engine, which was not built; use layer.step")
        if self._engine is None:
            suffix = "" if weights == torch.float32 else f" with {str(weights).removeprefix('torch.')} weights"
            raise EngineError(f"no engine has sessions of the cell {stack.cell.name!r}{suffix}; use layer.step")

    def step(self, input: Tensor) -> Tensor:
        """Runs one step: `(batch, features)` to the output of the last layer `(batch, hidden)`, without gradients.

        Raises:
            UsageError: the shape does not fit, or the tensor holds no numbers.
        """
        output = self._engine.step(input)
        if output is None:
            output = self._engine.step(_plain("one step", input, (self._batch, self._stack.input_size)))
        return output

    def reset(self) -> None:
        """Sets all states to zeros, to begin new sequences."""
        self._engine.reset()

    @property
    def state(self) -> Any:
        """The states in the form of the layer: `h`, for an LSTM `(h, c)`. They may be set."""
        states = self._states()
        self._engine.read(states)
        return states[0] if self._single else states

    @state.setter
    def state(self, value: Any) -> None:
        given = tuple(value) if isinstance(value, tuple | list) else (value,)
        states = self._states()
        if len(given) != len(states):
            raise UsageError(f"the state of this session has {len(states)} tensors, got {len(given)}")
        for mine, new in zip(states, given, strict=True):
            mine.copy_(_plain("the state", new, tuple(mine.shape)))
        self._engine.write(states)

    def _states(self) -> tuple[Tensor, ...]:
        shapes = self._stack.state_shapes(self._batch)
        return tuple(torch.zeros(shape, dtype=torch.float32, device="cpu") for shape in shapes)


def _plain(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns the values of a tensor as contiguous float32 on the CPU."""
    check_readable(name, tensor)
    if tuple(tensor.shape) != shape:
        raise UsageError(f"{name} must have shape {shape}, got {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise UsageError(f"{name} must hold real numbers, got {tensor.dtype}")
    return materialize(tensor.detach().to("cpu", torch.float32)).contiguous()
