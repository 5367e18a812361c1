"""Interface of a peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recurra.bench.cases import Case

# for each library, the positions of its gates among the gates of torch
ORDERS = {
    "iofc": {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)},  # ONNX
    "ifco": {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3)},  # Keras
}


@dataclass(frozen=True)
class Ready:
    """A case that is ready to be timed.

    Attributes:
        call: computes the case once; returns the argument of `results`.
        results: converts it to arrays by name: `output` `(time, batch, hidden)`, and in training the gradients that
            the peer can return in torch's layout.
        context: context manager around all calls.
    """

    call: Callable[[], Any]
    results: Callable[[Any], dict[str, np.ndarray]]
    context: Callable[[], AbstractContextManager] = nullcontext


class Peer(ABC):
    """One library.

    Attributes:
        modes: supported modes.

    Args:
        threads: threads of its pool.
    """

    modes: ClassVar[tuple[str, ...]] = ("training", "inference", "float32 session")

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def refuses(self, case: Case) -> str | None:
        """Reason why a case cannot be timed, or None."""
        return None if case.mode in self.modes else f"it has no {case.mode}"

    @abstractmethod
    def prepare(self, case: Case) -> Ready:
        """Builds layer and input; not timed."""


def reorder(rows: np.ndarray, cell: str, order: str) -> np.ndarray:
    """Reorders the rows from torch's order of gates to that of another library."""
    blocks = ORDERS[order][cell]
    return np.concatenate([np.split(rows, len(blocks))[i] for i in blocks])


def restore(rows: np.ndarray, cell: str, order: str) -> np.ndarray:
    """Inverse of `reorder`."""
    blocks = ORDERS[order][cell]
    parts = np.split(rows, len(blocks))
    return np.concatenate([parts[blocks.index(i)] for i in range(len(blocks))])
