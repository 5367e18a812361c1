"""States of many sessions of one model: one tensor per state, with a slot for each session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.serving.stepper import StateSpec

SMALLEST = 64


class Slab:
    """States of sessions in slots. Only the engine thread reads and writes tensors; the event loop hands out slots.

    Args:
        specs: tensors of the state of one session.

    Example:
        >>> slab = Slab({"hidden": StateSpec((2,), torch.float32)})
        >>> slot = slab.take()
        >>> slab.put([slot], {"hidden": torch.ones(1, 2)})
        >>> slab.get([slot])["hidden"].tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, specs: Mapping[str, StateSpec]) -> None:
        self.specs = dict(specs)
        self._tensors = {name: torch.zeros((0, *spec.shape), dtype=spec.dtype) for name, spec in self.specs.items()}
        self._free: list[int] = []
        self._count = 0

    def take(self) -> int:
        """Returns a free slot."""
        if self._free:
            return self._free.pop()
        self._count += 1
        return self._count - 1

    def free(self, slot: int) -> None:
        """Returns a slot."""
        self._free.append(slot)

    def get(self, slots: Sequence[int]) -> dict[str, Tensor]:
        """Returns copies of the states in some slots by name, `(sessions, …)`."""
        index = torch.tensor(slots, dtype=torch.long)
        return {name: tensor.index_select(0, index) for name, tensor in self._tensors.items()}

    def put(self, slots: Sequence[int], states: Mapping[str, Tensor]) -> None:
        """Writes states `(sessions, …)` to slots."""
        index = torch.tensor(slots, dtype=torch.long)
        self._grow(max(slots, default=-1) + 1)
        for name, tensor in self._tensors.items():
            tensor.index_copy_(0, index, states[name])

    @property
    def bytes_each(self) -> int:
        """Bytes of the state of one session."""
        return sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in self.specs.values())

    def to_bytes(self, states: Mapping[str, Tensor]) -> list[bytes]:
        """Returns the states `(sessions, …)` of each session as bytes, tensors in the order of `specs`."""
        if not self.specs:
            return [b""] * len(next(iter(states.values()), ()))
        parts = [t.contiguous().reshape(len(t), -1).numpy().view(np.uint8) for t in map(states.__getitem__, self.specs)]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
        return [row.tobytes() for row in whole]

    def from_bytes(self, data: bytes) -> dict[str, Tensor]:
        """Reads what `to_bytes` wrote for one session, `(1, …)`.

        Raises:
            ValueError: the number of bytes is wrong.
        """
        if len(data) != self.bytes_each:
            raise ValueError(f"the state has {len(data):,} bytes instead of {self.bytes_each:,}")
        states, begin = {}, 0
        for name, spec in self.specs.items():
            end = begin + math.prod(spec.shape) * spec.dtype.itemsize
            part = torch.empty(0, dtype=spec.dtype)
            if end > begin:
                part = torch.frombuffer(bytearray(data[begin:end]), dtype=spec.dtype)
            states[name] = part.reshape(1, *spec.shape)
            begin = end
        return states

    def _grow(self, count: int) -> None:
        """Makes the tensors large enough for `count` slots."""
        size = len(next(iter(self._tensors.values()), ()))
        if not self._tensors or count <= size:
            return
        size = max(SMALLEST, 2 * size, count)
        for name, old in self._tensors.items():
            new = old.new_zeros((size, *old.shape[1:]))
            new[: len(old)] = old
            self._tensors[name] = new
