"""What happens beside the training steps: best weights, checkpoints, Ctrl-C, progress."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recurra.data.wording import readable

from .watch import Watch


class KeepBest(pl.Callback):
    """Remembers the weights of the best epoch, and ends training when no better one comes.

    It lives in the checkpoint together with the rest of the run, so that a resumed run knows its best too.
    """

    def __init__(self, watch: str, greater: bool, patience: int | None) -> None:
        self.watch, self.sign, self.patience = watch, 1.0 if greater else -1.0, patience
        self.best, self.epoch = [-float("inf")] * 2, 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """A run that had ended for lack of patience is not gone on with."""
        self._stop_if_spent(trainer, len(pl_module.history))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Closes the epoch's figures and compares them with the best so far."""
        pl_module.close_epoch()
        history = pl_module.history
        # without validation data the last epoch counts as the best; of two equal figures the lower loss does
        figure = self.sign * history[-1].get(self.watch, self.sign * len(history))
        score = [figure, -history[-1].get("valid_loss", 0.0)]
        if score > self.best:
            self.best, self.epoch = score, len(history)
            self.weights = {k: v.detach().cpu().clone() for k, v in pl_module.network.state_dict().items()}
        self._stop_if_spent(trainer, len(history))

    def _stop_if_spent(self, trainer: pl.Trainer, epochs: int) -> None:
        if self.patience is not None and epochs - self.epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.best, self.epoch, self.weights = (state_dict[k] for k in ("best", "epoch", "weights"))


class SaveRun(pl.Callback):
    """Saves the state of the run after every epoch and at most `minutes` apart."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.seconds = path, 60 * minutes
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Saves if the last time is long ago."""
        if time.monotonic() - self._last >= self.seconds and not _ends_epoch(trainer):
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
    """

    def __init__(self, minutes: float) -> None:
        self.seconds, self._validation = 60 * minutes, 0.0
        self._start = self._validating = time.monotonic()

    @property
    def share(self) -> float:
        """How much of the time has gone, from 0 to 1."""
        return min((time.monotonic() - self._start) / max(self.seconds - self._validation, 1e-9), 1.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Counts from here; a run whose time was up is not gone on with."""
        if not trainer.global_step:
            self._start = time.monotonic()
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


class Warn(pl.Callback):
    """Where there is no terminal to show progress on: a line for each epoch in which something was not green."""

    def __init__(self, console: Console, watch: Watch) -> None:
        self.console, self.watch = console, watch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Says it."""
        line = self.watch.line(len(pl_module.history))
        if line and not line.startswith("green"):
            self.console.print(f"epoch {len(pl_module.history)}: {line}", highlight=False, markup=False, soft_wrap=True)


class ShowProgress(pl.Callback):
    """A bar with loss and tokens per second while an epoch runs, and a line of figures when it has ended."""

    def __init__(self, console: Console, watch: Watch | None = None) -> None:
        self.console, self.watch = console, watch
        self.bar: Progress | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Opens the bar at the first step of an epoch, or of a resumed part of one."""
        if self.bar is not None:
            return
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        text = "loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} tokens/s  {task.fields[light]}"
        self.bar = Progress(*columns, TextColumn(text), console=self.console, transient=True)
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        total = trainer.num_training_batches
        self.task = self.bar.add_task(name, total=total, completed=done, loss=0.0, speed=0.0, light="")
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the bar on."""
        if self.bar is not None:
            loss, speed = pl_module.running_loss, pl_module.tokens_per_second
            light = self.watch.light() if self.watch else ""
            self.bar.update(self.task, advance=1, loss=loss, speed=speed, light=light)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Replaces the bar by a line."""
        self._close()
        row = dict(pl_module.history[-1])
        epoch, speed = int(row.pop("epoch")), row.pop("tokens_per_second")
        row.pop("seconds")
        figures = "  ".join(f"{name} {readable(value)}" for name, value in row.items())
        self.console.print(f"epoch {epoch:>3}  {figures}  {speed:,.0f} tokens/s", highlight=False)
        line = self.watch.line(epoch) if self.watch else ""
        if line:
            self.console.print(f"  watch    {line}", highlight=False, markup=False)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leaves the terminal as it was."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
