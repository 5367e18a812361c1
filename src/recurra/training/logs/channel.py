"""A logger whose calls are made in a thread, so that training neither waits for it nor fails with it."""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from .open import Opened, said

CLOSE_SECONDS = 60.0
"""Longest time that the end of training waits for the last metrics to be delivered."""


class Journal:
    """A file with the id of a run of a logger and the last step that it has logged.

    Args:
        path: the file; None to remember nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def read(self) -> tuple[Any, int]:
        """Returns the id and the step; `(None, -1)` if there is no file that can be read."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
            return found["run"], int(found["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, -1

    def write(self, run: Any, step: int) -> None:
        """Replaces the content."""
        if self.path is not None:
            self.path.parent.mkdir(exist_ok=True)
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps({"run": run, "step": step}), encoding="utf-8")
            partial.replace(self.path)


class Channel(Logger):
    """Passes metrics on to a logger, in the order of the calls. After a failure, the logger gets nothing more.

    Args:
        opened: the logger.
        journal: remembers the run and the last step.
        step: the last step that the run has; metrics up to it are left out.
        tell: shows a message to the user.
    """

    def __init__(self, opened: Opened, journal: Journal, step: int, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.opened, self._journal, self._tell = opened, journal, tell
        self._skip = self._last = step
        self.delivered: float = step
        """The last step that the logger has; infinite after a failure."""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._put(lambda: journal.write(opened.run, step))
        self._thread = threading.Thread(target=self._work, name=f"recurra-{opened.name}", daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        if name == "opened":  # a copy that is not initialised
            raise AttributeError(name)
        return getattr(self.opened.logger, name)

    @property
    def name(self) -> Any:
        """See `Logger.name`."""
        return self.opened.logger.name

    @property
    def version(self) -> Any:
        """See `Logger.version`."""
        return self.opened.logger.version

    @property
    def save_dir(self) -> Any:
        """See `Logger.save_dir`."""
        return self.opened.logger.save_dir

    @property
    def log_dir(self) -> Any:
        """See `Logger.log_dir`."""
        return self.opened.logger.log_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Logs the metrics of a step; those that an earlier part of the run has logged are left out."""
        if step is None or step > self._skip:
            self._log(dict(metrics), self._last if step is None else step)

    def _log(self, metrics: dict[str, float], step: int) -> None:
        self._last = max(step, self._last)
        logger, last = self.opened.logger, self._last

        def job() -> None:
            logger.log_metrics(metrics, step)
            logger.save()
            self._journal.write(self.opened.run, last)
            self.delivered = last

        self._put(job)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Logs parameters of the run; a run that continues has them."""
        if self._skip < 0:
            self._put(lambda: self.opened.logger.log_hyperparams(params, *args, **kwargs))

    def conclude(self, params: dict[str, Any], metrics: dict[str, float]) -> None:
        """Logs the metrics of the finished run.

        Args:
            params: parameters of the run.
            metrics: the metrics.
        """
        logger, step = self.opened.logger, max(self._last, 0)
        if isinstance(logger, TensorBoardLogger):  # its table of runs shows parameters beside metrics
            self._put(lambda: logger.log_hyperparams(params, metrics, step))
        else:
            self._log(metrics, step)

    def finalize(self, status: str) -> None:
        """Does nothing: the run continues after Lightning's part of training; see `close`."""

    def close(self, status: str) -> None:
        """Ends the run.

        Args:
            status: `"success"` or `"failed"`.
        """
        self._put(lambda: self.opened.close(status))
        self._jobs.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._tell(f"the logger {self.opened.name} does not answer; the last metrics may be missing there")

    def _put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.delivered == math.inf:
                continue
            try:
                job()
            except Exception as error:  # the errors of these libraries have no common class
                self.delivered = math.inf
                self._tell(f"the logger {self.opened.name} failed, and gets no more metrics: {said(error)}")
