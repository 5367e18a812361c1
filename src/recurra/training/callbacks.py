"""Callbacks of the training loop: best weights, checkpoints, time limit, Ctrl-C."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from .averaging import AverageWeights
from .workers.group import ALONE, Group

FALL, FALLS = 0.25, 2
"""Factor of the learning rate at a plateau of the metric, and number of plateaus before the last one."""
LOSS_DELTA = 0.01
"""Share by which the training loss must fall to count, if nothing is held out."""
TINY_LOSS = 1e-3
"""Greatest validation loss with which a perfect metric ends training: 0.001 nats, or 0.001 of the targets' variance."""


class KeepBest(pl.Callback):
    """Keeps the weights of the best epoch. Ends training without an improvement, or at a perfect metric.

    An epoch is better even if the difference is very small. The patience counts from the last epoch that was clearly
    better: the metric improved by more than the share `min_delta`, or it is equal and the loss fell by more than this
    share.

    The checkpoint contains the state, so a resumed run stops at the same epoch as an uninterrupted one.

    Args:
        monitor: name of the metric in the history.
        greater: whether a larger value of the metric is better.
        patience: epochs without a clear improvement after which training stops; None for no limit.
        min_delta: relative improvement of the metric that counts as clear.
        perfect: best possible value of the metric. Training stops if it is reached and the validation loss is at most
            `TINY_LOSS`. None if there is no best value.
        average: has the weights to keep; None for those of the last step.
        follow: see `Settings.follow`.
    """

    def __init__(
        self,
        monitor: str,
        greater: bool,
        patience: int | None,
        min_delta: float = 0.0,
        perfect: float | None = None,
        average: AverageWeights | None = None,
        follow: int | None = None,
    ) -> None:
        self.monitor, self.sign, self.patience = monitor, 1.0 if greater else -1.0, patience
        self.min_delta, self.perfect, self.average = min_delta, perfect, average
        self.best, self.epoch = [-float("inf")] * 2, 0
        self.reference, self.gained = [-float("inf")] * 2, 0
        self.weights: dict[str, torch.Tensor] = {}
        self.follow, self.falls, self.fell, self.least = follow, 0, 0, float("inf")

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Ends a resumed run that had already stopped."""
        self._stop_if_done(trainer, pl_module.history)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Closes the epoch's metrics and compares them with the best so far."""
        pl_module.close_epoch()
        history = pl_module.history
        # without validation data the last epoch is the best one; if the metrics are equal, the lower loss decides
        metric = self.sign * history[-1].get(self.monitor, self.sign * len(history))
        score = [metric, -history[-1].get("valid_loss", 0.0)]
        if score > self.best:
            self.best, self.epoch = score, len(history)
            network = pl_module.network
            weights = network.state_dict() if self.average is None else self.average.weights(network)
            self.weights = {k: v.detach().cpu().clone() for k, v in weights.items()}
        by_metric = self.follow is None or self.monitor in history[-1]
        if self._clearly_better(score) if by_metric else self._learns(history):
            self.reference, self.gained = score, len(history)
        if self.follow is not None and self.falls < FALLS and self._waited(history) >= self.follow:
            self.falls, self.fell = self.falls + 1, len(history)
        self._stop_if_done(trainer, history)

    def _clearly_better(self, score: list[float]) -> bool:
        gains = [new - old - self.min_delta * abs(old) for new, old in zip(score, self.reference, strict=True)]
        if not all(map(math.isfinite, self.reference)):
            return score > self.reference
        return gains[0] > 0 or (score[0] >= self.reference[0] and gains[1] > 0)

    def _learns(self, history: list[dict[str, float]]) -> bool:
        """Whether the training loss is clearly lower than ever."""
        loss = history[-1]["loss"]
        learns = loss < self.least * (1 - LOSS_DELTA)
        self.least = loss if learns else self.least
        return learns

    def _waited(self, history: list[dict[str, float]]) -> int:
        """Epochs since the last clearly better one or the last fall of the learning rate."""
        return len(history) - max(self.gained, self.fell)

    def _stop_if_done(self, trainer: pl.Trainer, history: list[dict[str, float]]) -> None:
        if self.follow is None:
            spent = self.patience is not None and len(history) - self.gained >= self.patience
        else:
            spent = self.falls == FALLS and self._waited(history) >= self.follow
        if spent or (history and self._perfect(history[-1])):
            trainer.should_stop = True

    def _perfect(self, row: dict[str, float]) -> bool:
        if self.perfect is None or self.monitor not in row:
            return False
        return self.sign * row[self.monitor] >= self.sign * self.perfect and row.get("valid_loss", 0.0) <= TINY_LOSS

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for the checkpoint."""
        names = ("best", "epoch", "weights", "reference", "gained", "falls", "fell", "least")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state. Checkpoints of earlier versions measure the patience from the best epoch."""
        self.best, self.epoch, self.weights = (state_dict[k] for k in ("best", "epoch", "weights"))
        self.reference = state_dict.get("reference", self.best)
        self.gained = state_dict.get("gained", self.epoch)
        self.falls, self.fell = state_dict.get("falls", 0), state_dict.get("fell", 0)
        self.least = state_dict.get("least", float("inf"))


class SaveRun(pl.Callback):
    """Saves the state of the run after every epoch and at most `minutes` apart."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.seconds = path, 60 * minutes
        self._last = time.monotonic()
        self.agreed: float | None = None
        """Result of `measure` on process 0; None if there is one process."""

    def measure(self) -> float:
        """Returns 1 if it is time to save, else 0."""
        return float(time.monotonic() - self._last >= self.seconds)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Saves if the last checkpoint is too old."""
        if (self.measure() if self.agreed is None else self.agreed) and not _ends_epoch(trainer):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Saves after each epoch."""
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Replaces the checkpoint; see `CheckedFiles`."""
        trainer.save_checkpoint(self.path)
        self._last = time.monotonic()


def _ends_epoch(trainer: pl.Trainer) -> bool:
    """Returns whether the step was the last of its epoch. A run resumed from there would skip the validation."""
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


class Clock(pl.Callback):
    """Ends training at a time limit. The limit includes the last validation.

    Args:
        minutes: the limit. In a resumed run, the time before the interruption counts.
        group: the processes of the run; the clock of process 0 decides.
    """

    def __init__(self, minutes: float, group: Group = ALONE) -> None:
        self.seconds, self._validation, self.group = 60 * minutes, 0.0, group
        self._start = self._validating = time.monotonic()
        self.agreed: float | None = None
        """Result of `measure` on process 0; None if there is one process."""

    @property
    def share(self) -> float:
        """Share of the time that has passed, from 0 to 1, the same on all processes."""
        return self.measure() if self.agreed is None else self.agreed

    def measure(self) -> float:
        """Returns the share of the time that has passed."""
        return min((time.monotonic() - self._start) / max(self.seconds - self._validation, 1e-9), 1.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Starts the clock. A resumed run whose time is over ends."""
        if not trainer.global_step:
            self._start = time.monotonic()
        if self.group.several:
            self.agreed = self.group.first(self.measure())
        self._stop_if_over(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Ends the epoch at the time limit, and starts its validation."""
        self._stop_if_over(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remembers the start of the validation."""
        self._validating = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remembers the longest validation."""
        self._validation = max(self._validation, time.monotonic() - self._validating)

    def _stop_if_over(self, trainer: pl.Trainer) -> None:
        if self.share >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for the checkpoint."""
        return {"gone": time.monotonic() - self._start, "validation": self._validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of a checkpoint."""
        self._start = time.monotonic() - state_dict["gone"]
        self._validation = state_dict["validation"]


class RunInterruptedError(Exception):
    """Ends Lightning's loop after Ctrl-C, at a point from which the run can be resumed."""


class Interrupt(pl.Callback):
    """Ends the run at the end of a step, with a checkpoint, after the first Ctrl-C. The second one ends it at once."""

    def __init__(self, save: SaveRun | None) -> None:
        self.save, self.happened = save, False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handles the signal while the block runs."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
            yield
            return

        def stop(signum: int, frame: Any) -> None:
            if self.happened:
                raise KeyboardInterrupt
            self.happened = True

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        except RunInterruptedError:
            pass
        except SystemExit:  # Lightning's answer to the second Ctrl-C
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGINT, before)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Saves, and ends the loop between two steps."""
        if self.happened and not _ends_epoch(trainer):
            if self.save is not None:
                self.save.save(trainer)
            raise RunInterruptedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Ends the loop between two epochs. The checkpoint of the epoch has been written."""
        if self.happened:
            raise RunInterruptedError
