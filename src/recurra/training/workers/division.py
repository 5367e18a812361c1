"""The training step of a process that trains on a part of every batch."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.data.batching.parts import bounds, part_of
from recurra.ops import batch_part

from .group import Group
from .sums import Sums

SLOW = 1.5
"""A process is slow if its parts take longer than this times the median."""


class Step(NamedTuple):
    """Numbers of a training step, summed over all processes.

    Attributes:
        total: sum of the losses of the batch.
        tokens: time steps of the part of each process.
        seconds: time that each process computed.
        agreed: numbers that process 0 gave.
    """

    total: float
    tokens: list[float]
    seconds: list[float]
    agreed: list[float]


@contextmanager
def own_part(batch: Any, group: Group) -> Iterator[Any]:
    """Yields the rows of a batch that this process trains on; None if there are none.

    Inside, dropout masks are those of the whole batch, so that the processes together compute what one process does.
    """
    begin, end = bounds(batch, group.size)[group.rank]
    if begin == end:
        yield None
        return
    with batch_part(begin, end - begin, len(batch.lengths)):
        yield part_of(batch, begin, end)


def add_gradients(
    network: torch.nn.Module,
    group: Group,
    sums: Sums,
    loss: Tensor,
    work: tuple[float, float],
    proposed: Sequence[float],
) -> Step:
    """Replaces the gradients of the processes by their sum.

    Args:
        network: with the gradients of the share of this process in the mean loss of the whole batch. This loss is
            divided by the weight of the whole batch, so that the average is over tokens, not over processes.
        group: the processes.
        sums: adds tensors over them.
        loss: sum of the losses of this process.
        work: time steps of this process, and the seconds that it computed.
        proposed: numbers whose values on process 0 all processes get.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    for p in weights:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    size = group.size
    numbers = torch.zeros(1 + 2 * size + len(proposed))
    numbers[0] = loss
    numbers[1 + group.rank], numbers[1 + size + group.rank] = work
    if group.rank == 0 and proposed:
        numbers[1 + 2 * size :] = torch.tensor(proposed)
    *gradients, added = sums([*(p.grad for p in weights if p.grad is not None), numbers], loss.device)
    for p, gradient in zip(weights, gradients, strict=True):
        p.grad = gradient
    total, *rest = added.tolist()
    return Step(total, rest[:size], rest[size : 2 * size], rest[2 * size :])


def observe_own(observed: list[Any], number: int, group: Group, observe: Callable[[], Any]) -> None:
    """Adds the observation of a validation batch, if it is a batch of this process."""
    if number % group.size == group.rank:
        observed.append((number, observe()))


def all_observed(observed: list[Any], group: Group) -> list[Any]:
    """Returns the observations of all processes in the order of the batches."""
    pairs = [pair for found in group.gather(observed) for pair in found]
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]


@dataclass
class Shares:
    """How much each process has computed since the beginning of an epoch.

    Attributes:
        group: the processes.
        tokens: time steps of each process.
        seconds: time that each process computed.
    """

    group: Group
    tokens: list[float] = field(init=False)
    seconds: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.seconds = [0.0] * self.group.size, [0.0] * self.group.size

    def add(self, step: Step) -> None:
        """Adds a training step."""
        for sums, new in ((self.tokens, step.tokens), (self.seconds, step.seconds)):
            sums[:] = map(operator.add, sums, new)

    def line(self) -> str:
        """Returns the speed of each process, `""` with one process.

        Example:
            >>> shares = Shares(Group(0, 2, ("a", "b")))
            >>> shares.add(Step(0.0, [1000.0, 1000.0], [1.0, 2.0], []))
            >>> shares.line()
            'workers 1,000 + 500 tokens/s'
        """
        if not self.group.several:
            return ""
        return f"workers {' + '.join(f'{speed:,.0f}' for speed in self.speeds())} tokens/s"

    def speeds(self) -> list[float]:
        """Returns the time steps per second of each process."""
        return [t / max(s, 1e-9) for t, s in zip(self.tokens, self.seconds, strict=True)]

    def slow(self) -> list[str]:
        """Returns a sentence for each process that delays the others."""
        usual = statistics.median_low(self.seconds)
        return [
            f"{self.group.name(rank)} is slow: it computes {own / usual:.1f} times as long as the median"
            for rank, own in enumerate(self.seconds)
            if own > SLOW * usual > 0
        ]
