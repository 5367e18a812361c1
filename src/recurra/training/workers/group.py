"""The processes that train one network together, and what they tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.data.batching.parts import equal_bounds


@dataclass(frozen=True)
class Group:
    """The processes of a run. With one process nothing is sent.

    With several, `torch.distributed` connects them: gloo on CPUs, NCCL on GPUs.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        hosts: name of the machine of each process.
    """

    rank: int = 0
    size: int = 1
    hosts: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    def name(self, rank: int) -> str:
        """Returns the name of a process for people."""
        return f"worker {rank} on {self.hosts[rank]}" if self.hosts else f"worker {rank}"

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all processes, in the order of their ranks."""
        if not self.several:
            return [value]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def first(self, value: Any) -> Any:
        """Returns the value of process 0."""
        if not self.several:
            return value
        found = [value]
        torch.distributed.broadcast_object_list(found)
        return found[0]


ALONE = Group()


def join(states: Sequence[Any]) -> Any:
    """Joins the states that processes carry between batches: tensors `(layers, batch, units)`, tuples of them, or None.

    Example:
        >>> join([(torch.zeros(1, 2, 3),), (torch.zeros(1, 1, 3),)])[0].shape
        torch.Size([1, 3, 3])
    """
    known = [state for state in states if state is not None]
    if not known:
        return None
    if isinstance(known[0], Tensor):
        return torch.cat(known, 1)
    return tuple(join(column) for column in zip(*known, strict=True))


def own_share(state: Any, group: Group) -> Any:
    """Returns the part of a joined state that belongs to a process; the reverse of `join`."""
    if state is None or not group.several:
        return state
    first = state
    while not isinstance(first, Tensor):
        first = first[0]
    begin, end = equal_bounds(first.shape[1], group.size)[group.rank]
    return _columns(state, begin, end) if begin < end else None


def _columns(state: Any, begin: int, end: int) -> Any:
    if isinstance(state, Tensor):
        return state[:, begin:end].contiguous()
    return tuple(_columns(part, begin, end) for part in state)
