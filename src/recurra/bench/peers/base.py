"""Interface of a peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recurra.bench.cases import Case

# blocks of rows of torch's gate matrices, in the order in which another library has them
ORDERS = {
    "iofc": {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)},  # ONNX
    "ifco": {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3)},  # Keras
}


@dataclass(frozen=True)
class Ready:
    """A case that is ready to be timed.

    Attributes:
        call: computes it once, completely; returns the argument of `results`.
        results: arrays by name: `output` `(time, batch, hidden)`, and in training the gradients that the peer can
            give in torch's layout.
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
        return None if case.mode in self.modes else f"nothing like {case.mode}"

    @abstractmethod
    def prepare(self, case: Case) -> Ready:
        """Builds layer and input; not timed."""


def reorder(rows: np.ndarray, cell: str, order: str) -> np.ndarray:
    """Puts the gates' blocks of rows into another library's order."""
    blocks = ORDERS[order][cell]
    return np.concatenate([np.split(rows, len(blocks))[i] for i in blocks])


def restore(rows: np.ndarray, cell: str, order: str) -> np.ndarray:
    """Inverse of `reorder`."""
    blocks = ORDERS[order][cell]
    parts = np.split(rows, len(blocks))
    return np.concatenate([parts[blocks.index(i)] for i in range(len(blocks))])
