"""An observer of runs: it learns the metrics of each epoch and may end a run, for searches of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import pytorch_lightning as pl


class Observer(Protocol):
    """An object that is called during training. An exception that it raises ends the run and leaves `fit`."""

    def after_step(self) -> bool:
        """Returns True to end training now, after a last validation."""
        ...

    def after_epoch(self, row: Mapping[str, float], epochs: int) -> None:
        """Receives the metrics of an epoch, a row of the history, and the number of planned epochs."""
        ...


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Lets an observer see the runs that this thread starts inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def current_observer() -> Observer | None:
    """Returns the observer of the runs of this thread."""
    return _observer.get()


class CallObserver(pl.Callback):
    """Calls an observer. It comes after the callback that closes the metrics of an epoch."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Ends the epoch, with its validation, if the observer ends the run."""
        if self.observer.after_step():
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Passes on the metrics of the epoch."""
        self.observer.after_epoch(pl_module.history[-1], trainer.max_epochs or 1)
