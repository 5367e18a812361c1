"""Sums of gradients over the processes of a run: through shared memory on one machine, else through the network."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import torch
from torch import Tensor

from .group import Group

MOST_SHARING = 4
"""Each process reads the vectors of all others. With more processes, gloo's ring moves fewer bytes."""
FLOAT_BYTES = 4


class Sums:
    """Adds tensors over the processes of a group, with one message for all tensors.

    All processes get the same bits.

    Args:
        group: the processes; all of them call with tensors of the same sizes.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._opened = False
        self._shared: SharedVectors | None = None

    def __call__(self, tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        """Returns the sum of each tensor.

        Args:
            tensors: of float32, on any device.
            device: device of the message and of the sums; NCCL needs a GPU.
        """
        if not self._opened:
            self._opened = True
            if device.type == "cpu" and self._group.size <= MOST_SHARING:
                self._shared = SharedVectors.open(self._group, sum(t.numel() for t in tensors))
        flat = [t.reshape(-1).to(device, torch.float32) for t in tensors]
        total = self._sent(torch.cat(flat)) if self._shared is None else self._shared.add(flat)
        parts = total.split([t.numel() for t in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def _sent(self, vector: Tensor) -> Tensor:
        """Returns the sum of the vectors of all processes, through the network."""
        if self._group.size == 2 and vector.device.type == "cpu":  # gloo's ring takes about twice as long
            return vector + _exchanged(self._group, vector)[0]
        torch.distributed.all_reduce(vector)
        return vector


class SharedVectors:
    """Vectors of processes on one machine, which all of them can read.

    A process writes its vector, tells the others, and reads theirs when they have told it. Two vectors for each process
    take turns, so that none is overwritten before all have read it.

    Args:
        group: the processes.
        vectors: two vectors of each process.
    """

    def __init__(self, group: Group, vectors: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._group = group
        self._turns = cycle(zip(*vectors, strict=True))
        self._ready = torch.zeros(1)

    @classmethod
    def open(cls, group: Group, count: int) -> SharedVectors | None:
        """Opens shared memory for vectors of `count` numbers; returns None if the processes cannot share any."""
        memory = Path("/dev/shm")  # noqa: S108  (a folder of this process is made in it)
        folder = Path(group.first(_made_folder(memory) if group.rank == 0 and memory.is_dir() else None) or "/-")
        try:
            names = [[folder / f"{rank}-{turn}" for turn in range(2)] for rank in range(group.size)]
            if not all(group.gather(_reserved(names[group.rank], count * FLOAT_BYTES))):
                return None
            vectors = [tuple(torch.from_file(str(name), True, count) for name in pair) for pair in names]
            group.gather(None)  # all have opened the files
            return cls(group, vectors)  # type: ignore[arg-type]
        finally:
            if group.rank == 0:
                shutil.rmtree(folder, ignore_errors=True)  # the memory remains until its last process ends

    def add(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns the sum of the vectors of all processes, a new tensor.

        Args:
            parts: the vector of this process, in pieces.
        """
        vectors = next(self._turns)
        torch.cat(list(parts), out=vectors[self._group.rank])
        _exchanged(self._group, self._ready)
        total = vectors[0] + vectors[1]
        for vector in vectors[2:]:
            total += vector
        return total


def _made_folder(memory: Path) -> str | None:
    with suppress(OSError):
        return tempfile.mkdtemp(prefix="recurra-", dir=memory)
    return None


def _reserved(names: Sequence[Path], size: int) -> bool:
    """Makes files of a size; returns whether there was enough memory. Otherwise a write would end the process."""
    try:
        for name in names:
            with name.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        return False
    return True


def _exchanged(group: Group, vector: Tensor) -> list[Tensor]:
    """Sends a vector to all other processes; returns theirs."""
    others = [rank for rank in range(group.size) if rank != group.rank]
    received = [torch.empty_like(vector) for _ in others]
    waiting = [torch.distributed.isend(vector, rank) for rank in others]
    waiting += [torch.distributed.irecv(into, rank) for into, rank in zip(received, others, strict=True)]
    for work in waiting:
        assert work is not None  # noqa: S101  (this process is in the group)
        work.wait()
    return received
