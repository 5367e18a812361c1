"""The progress of a run: one line that is updated in place, in a terminal or a notebook, and nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from recurra._util.language import translated
from recurra._util.messages import counted, readable

from .health.monitor import HealthMonitor
from .settings import Run

INTERVAL = 0.2
"""Seconds between two updates of the line in a notebook."""


class Line(Protocol):
    """A line that is updated in place."""

    def show(self, done: int, total: int, text: str) -> None:
        """Shows how many of the steps are done, and a text."""
        ...

    def note(self, text: str) -> None:
        """Shows a remark beside the line."""
        ...

    def close(self, text: str) -> None:
        """Replaces the line by its last text; `""` removes it."""
        ...


class TerminalLine:
    """A bar with a text at the bottom of a terminal; remarks are printed above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    def show(self, done: int, total: int, text: str) -> None:
        """See `Line.show`."""
        if self.bar is None:
            column = Column(no_wrap=True, overflow="ellipsis", ratio=1)
            text_column = TextColumn("{task.description}", table_column=column, markup=False)
            columns = (BarColumn(bar_width=20), TimeRemainingColumn(), text_column)
            self.bar = Progress(*columns, console=self.console, transient=True, expand=True)
            self.task = self.bar.add_task("", total=total)
            self.bar.start()
        self.bar.update(self.task, completed=done, description=translated(text))

    def note(self, text: str) -> None:
        """See `Line.note`."""
        self.console.print(translated(text), highlight=False, markup=False, soft_wrap=True)

    def close(self, text: str) -> None:
        """See `Line.close`."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        if text:
            self.note(text)


class NotebookLine:
    """One output of a notebook's cell that is updated in place; the last remark is its second line."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._note, self._last = "", 0.0

    def show(self, done: int, total: int, text: str) -> None:
        """See `Line.show`."""
        if time.monotonic() - self._last >= INTERVAL:
            self._update(f"{100 * done // max(total, 1):3d} %  {text}")

    def note(self, text: str) -> None:
        """See `Line.note`."""
        self._note = text

    def close(self, text: str) -> None:
        """See `Line.close`."""
        self._update(text)

    def _update(self, text: str) -> None:
        from IPython.display import display  # type: ignore[import-not-found]  # there is one where there is a notebook

        content = {"text/plain": "\n".join(part for part in (text, self._note) if part)}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
        self._last = time.monotonic()


class NoLine:
    """Prints messages only; for output that is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def show(self, done: int, total: int, text: str) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Prints it."""
        self.console.print(translated(text), highlight=False, markup=False, soft_wrap=True)

    def close(self, text: str) -> None:
        """Shows nothing."""


def line_for(console: Console) -> Line:
    """The line that suits where the messages go."""
    if console.is_jupyter:
        return NotebookLine()
    return TerminalLine(console) if console.is_terminal else NoLine(console)


class ShowProgress(pl.Callback):
    """Epoch, loss, the metrics of the last epoch and tokens per second, while training runs.

    With `health`, a remark for each epoch in which something was not green.
    """

    def __init__(self, line: Line, health: HealthMonitor | None = None) -> None:
        self.line, self.health = line, health
        self._begin = time.monotonic()
        self._slow: list[str] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Updates the line."""
        epochs, batches = trainer.max_epochs or 1, int(trainer.num_training_batches)
        parts = [f"epoch {trainer.current_epoch + 1}/{epochs}", f"loss {readable(pl_module.running_loss)}"]
        if pl_module.history:
            parts += _metrics(pl_module.history[-1])
        parts.append(f"{pl_module.tokens_per_second:,.0f} tokens/s")
        parts.append(pl_module.shares.line())
        parts += [self.health.light()] if self.health else []
        self._slow = pl_module.shares.slow()
        done = trainer.current_epoch * batches + batch_idx + 1
        self.line.show(done, epochs * batches, "  ".join(part for part in parts if part))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Adds the remark."""
        epoch = len(pl_module.history)
        for slow in self._slow:
            self.line.note(f"epoch {epoch}: {slow}")
        remark = self.health.line(epoch) if self.health else ""
        if remark and not remark.startswith("green"):
            self.line.note(f"epoch {epoch}: {remark}")

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leaves the terminal as it was."""
        self.line.close("")

    def close(self, run: Run) -> None:
        """Replaces the line by a summary of the run."""
        seconds = time.monotonic() - self._begin
        text = f"{counted(len(run.history), 'epoch')} in {seconds:.1f} s"
        if run.best_epoch:
            row = run.history[run.best_epoch - 1]
            metrics = _metrics(row, "") or [f"training loss {readable(row['loss'])}"]
            text = f"best epoch {run.best_epoch} of {len(run.history)} in {seconds:.1f} s: {', '.join(metrics)}"
        self.line.close(text)


def _metrics(row: Mapping[str, float], prefix: str = "valid_") -> list[str]:
    """The validation metrics of an epoch."""
    names = {name: prefix + name.removeprefix("valid_") for name in row if name.startswith("valid_")}
    return [f"{shown} {readable(row[name])}" for name, shown in names.items()]
