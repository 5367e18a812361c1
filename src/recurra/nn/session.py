"""One time step after the other at the lowest latency: weights packed once, states kept in the engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import EngineError
from recurra.ops import open_stream


class Session:
    """A layer that runs step by step and keeps its states; made by `layer.session()`.

    The weights are those of the moment when the session was made: later training does not reach it.

    Args:
        layer: an RNN, LSTM or GRU in one direction, in float32 on the CPU.
        batch: sequences that run side by side.
        weights: `torch.bfloat16` rounds the weights, which halves what every step reads; sums stay in float32.

    Raises:
        ValueError: the layer is bidirectional, or of another type than float32.
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

    def __init__(self, layer: Any, batch: int = 1, weights: torch.dtype = torch.float32) -> None:
        if weights not in (torch.float32, torch.bfloat16):
            raise ValueError(f"the weights of a session are float32 or bfloat16, not {weights}")
        stack, tensors = layer.stack, [w.detach() for w in layer._weights()]
        if stack.bidirectional:
            raise ValueError("a bidirectional layer reads both ends of a sequence; it cannot run step by step")
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}")
        if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors):
            raise ValueError("a session takes a layer in float32 on the CPU; use layer.float().cpu()")
        self._stack, self._batch = stack, batch
        self._stream = open_stream(stack, tensors, batch, half=weights == torch.bfloat16)
        if self._stream is None:
            raise EngineError("sessions need the native engine, which was not built; use layer.step")

    def step(self, input: Tensor) -> Tensor:
        """Runs one step: `(batch, features)` to the output of the last layer `(batch, hidden)`, without gradients.

        Raises:
            ValueError: the shape does not fit.
        """
        output = self._stream.step(input)
        if output is None:
            size = (self._batch, self._stack.input_size)
            if tuple(input.shape) != size:
                raise ValueError(f"one step must have shape {size}, got {tuple(input.shape)}")
            output = self._stream.step(
                input.detach().to("cpu", torch.float32).clone(memory_format=torch.contiguous_format)
            )
        return output

    def reset(self) -> None:
        """Begins new sequences: all states are zeros again."""
        self._stream.reset()

    @property
    def state(self) -> Any:
        """The states as the layer takes and returns them: `h`, for an LSTM `(h, c)`; it may be set."""
        states = self._states()
        self._stream.read(*(s.data_ptr() for s in states), *([0] * (2 - len(states))))
        return states if len(states) == 2 else states[0]

    @state.setter
    def state(self, value: Any) -> None:
        given = tuple(value) if isinstance(value, tuple | list) else (value,)
        states = self._states()
        if len(given) != len(states):
            raise ValueError(f"the state of this session has {len(states)} tensors, got {len(given)}")
        for mine, new in zip(states, given, strict=True):
            if new.shape != mine.shape:
                raise ValueError(f"the state must have shape {tuple(mine.shape)}, got {tuple(new.shape)}")
            mine.copy_(new.detach())
        self._stream.write(*(s.data_ptr() for s in states), *([0] * (2 - len(states))))

    def _states(self) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(self._stack.num_layers, self._batch, size) for size in self._stack.state_sizes)
