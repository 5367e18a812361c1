"""What happens beside the training steps: best weights, checkpoints, the clock, Ctrl-C."""

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

TINY_LOSS = 1e-3
"""Greatest validation loss with which a perfect metric ends training: 0.001 nats, or 0.001 of the targets' variance."""


class KeepBest(pl.Callback):
    """Remembers the weights of the best epoch, and ends training when no better one comes or nothing is left to gain.

    Every better epoch is kept, however little better it is. The patience is measured from the last epoch that was
    clearly better: by more than `min_delta` of the metric, or as good with a loss lower by more than `min_delta` of it.

    All of it lives in the checkpoint, so that a resumed run stops where an uninterrupted one does.

    Args:
        monitor: name of the metric in the history.
        greater: whether more of it is better.
        patience: epochs without a clearly better one after which training stops; None for never.
        min_delta: share by which a metric must improve to count as clearly better.
        perfect: value of the metric that cannot be improved on; training stops once the validation loss is at
            most `TINY_LOSS` too. None for never.
        average: has the weights to keep; None for those of the last step.
    """

    def __init__(
        self,
        monitor: str,
        greater: bool,
        patience: int | None,
        min_delta: float = 0.0,
        perfect: float | None = None,
        average: AverageWeights | None = None,
    ) -> None:
        self.monitor, self.sign, self.patience = monitor, 1.0 if greater else -1.0, patience
        self.min_delta, self.perfect, self.average = min_delta, perfect, average
        self.best, self.epoch = [-float("inf")] * 2, 0
        self.reference, self.gained = [-float("inf")] * 2, 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Ends a resumed run that had stopped."""
        self._stop_if_done(trainer, pl_module.history)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Closes the epoch's metrics and compares them with the best so far."""
        pl_module.close_epoch()
        history = pl_module.history
        # without validation data the last epoch counts as the best; of two equal metrics the lower loss does
        metric = self.sign * history[-1].get(self.monitor, self.sign * len(history))
        score = [metric, -history[-1].get("valid_loss", 0.0)]
        if score > self.best:
            self.best, self.epoch = score, len(history)
            network = pl_module.network
            weights = network.state_dict() if self.average is None else self.average.weights(network)
            self.weights = {k: v.detach().cpu().clone() for k, v in weights.items()}
        if self._clearly_better(score):
            self.reference, self.gained = score, len(history)
        self._stop_if_done(trainer, history)

    def _clearly_better(self, score: list[float]) -> bool:
        gains = [new - old - self.min_delta * abs(old) for new, old in zip(score, self.reference, strict=True)]
        if not all(map(math.isfinite, self.reference)):
            return score > self.reference
        return gains[0] > 0 or (score[0] >= self.reference[0] and gains[1] > 0)

    def _stop_if_done(self, trainer: pl.Trainer, history: list[dict[str, float]]) -> None:
        spent = self.patience is not None and len(history) - self.gained >= self.patience
        if spent or (history and self._perfect(history[-1])):
            trainer.should_stop = True

    def _perfect(self, row: dict[str, float]) -> bool:
        if self.perfect is None or self.monitor not in row:
            return False
        return self.sign * row[self.monitor] >= self.sign * self.perfect and row.get("valid_loss", 0.0) <= TINY_LOSS

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {name: getattr(self, name) for name in ("best", "epoch", "weights", "reference", "gained")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint; those of earlier versions measure the patience from the best epoch."""
        self.best, self.epoch, self.weights = (state_dict[k] for k in ("best", "epoch", "weights"))
        self.reference = state_dict.get("reference", self.best)
        self.gained = state_dict.get("gained", self.epoch)


class SaveRun(pl.Callback):
    """Saves the state of the run after every epoch and at most `minutes` apart."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.seconds = path, 60 * minutes
        self._last = time.monotonic()
        self.agreed: float | None = None
        """What `measure` gave on process 0; None if there is one process."""

    def measure(self) -> float:
        """Returns 1 if it is time to save, else 0."""
        return float(time.monotonic() - self._last >= self.seconds)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Saves if the last time is long ago."""
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
    """Whether the step was the last of its epoch: a run resumed from there would miss the validation."""
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


class Clock(pl.Callback):
    """Ends training when its time is up; validation counts, and the last one must still fit in.

    Args:
        minutes: how long training may take; a resumed run goes on counting.
        group: the processes of the run; the clock of process 0 decides.
    """

    def __init__(self, minutes: float, group: Group = ALONE) -> None:
        self.seconds, self._validation, self.group = 60 * minutes, 0.0, group
        self._start = self._validating = time.monotonic()
        self.agreed: float | None = None
        """What `measure` gave on process 0; None if there is one process."""

    @property
    def share(self) -> float:
        """Share of the time that has passed, from 0 to 1, the same on all processes."""
        return self.measure() if self.agreed is None else self.agreed

    def measure(self) -> float:
        """Returns the share of the time that has passed."""
        return min((time.monotonic() - self._start) / max(self.seconds - self._validation, 1e-9), 1.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Starts the clock; a run whose time was up does not continue."""
        if not trainer.global_step:
            self._start = time.monotonic()
        if self.group.several:
            self.agreed = self.group.first(self.measure())
        self._stop_if_over(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Ends the epoch, with its validation, in the middle."""
        self._stop_if_over(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begins to measure."""
        self._validating = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remembers the longest."""
        self._validation = max(self._validation, time.monotonic() - self._validating)

    def _stop_if_over(self, trainer: pl.Trainer) -> None:
        if self.share >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"gone": time.monotonic() - self._start, "validation": self._validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self._start = time.monotonic() - state_dict["gone"]
        self._validation = state_dict["validation"]


class RunInterruptedError(Exception):
    """Leaves Lightning's loop after Ctrl-C, at a point from which the run can go on."""


class Interrupt(pl.Callback):
    """Turns the first Ctrl-C into a stop at the end of the step, with a checkpoint; a second one is immediate."""

    def __init__(self, save: SaveRun | None) -> None:
        self.save, self.happened = save, False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Catches the signal while the block runs."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread may
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
        """Saves and leaves between two steps."""
        if self.happened and not _ends_epoch(trainer):
            if self.save is not None:
                self.save.save(trainer)
            raise RunInterruptedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Leaves between two epochs; the epoch's own checkpoint has been written."""
        if self.happened:
            raise RunInterruptedError
