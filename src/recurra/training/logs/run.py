"""The loggers of one run, from its start to its end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra._util.terminal import say

from .arguments import Named, loggers_of
from .channel import Channel, Journal
from .open import open_logger

FOLDER = "logs"
"""Folder for the files of loggers; also the folder of the journals, in the folder for checkpoints."""


class RunLogs:
    """The loggers of one run.

    Args:
        channels: the loggers.
        params: parameters of the run.
    """

    def __init__(self, channels: Sequence[Channel], params: Mapping[str, Any]) -> None:
        self.channels = list(channels)
        self.params = {_name(name): _plain(value) for name, value in params.items()}
        self.status = "failed"
        for channel in self.channels:
            channel.log_hyperparams(self.params)

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Logs metrics of a step."""
        for channel in self.channels:
            channel.log_metrics(metrics, step)

    def conclude(self, metrics: Mapping[str, Any]) -> None:
        """Logs the metrics of the finished run.

        Args:
            metrics: numbers, and dictionaries of numbers; other values are left out.
        """
        self.status = "success"
        found = dict(_numbers(metrics, "final"))
        for channel in self.channels:
            channel.conclude(self.params, found)


@contextmanager
def run_logs(
    value: Any, params: Mapping[str, Any], checkpoint: Path | None, *, continues: bool, verbose: bool
) -> Iterator[RunLogs]:
    """Starts the loggers of a run, and ends them with the block.

    Args:
        value: argument `logger` of an estimator.
        params: parameters of the run.
        checkpoint: folder for the state of the run; None for none.
        continues: whether the run continues from a checkpoint.
        verbose: whether to say where the metrics are.

    Raises:
        RecurraError: a logger cannot start.
    """
    folder = Path(FOLDER) if checkpoint is None else checkpoint.parent / FOLDER
    name = str(params["task"]) if checkpoint is None else checkpoint.name.removesuffix(".training")
    channels: list[Channel] = []
    found = RunLogs([], params)
    try:
        for item in loggers_of(value):
            channels.append(_channel(item, folder, name, checkpoint, continues))
            if verbose and channels[-1].opened.where:
                say(f"{channels[-1].opened.name}: {channels[-1].opened.where}")
        found = RunLogs(channels, params)
        yield found
    finally:
        for channel in channels:
            channel.close(found.status)


def _channel(item: Any, folder: Path, name: str, checkpoint: Path | None, continues: bool) -> Channel:
    kept = checkpoint / FOLDER / f"{item.name}.json" if checkpoint is not None and isinstance(item, Named) else None
    journal = Journal(kept)
    run, step = journal.read() if continues else (None, -1)
    return Channel(open_logger(item, folder, name, run), journal, step, say)


def _name(text: str) -> str:
    """Returns a name with the characters that all loggers accept."""
    return re.sub(r"[^\w/. -]+", "", text)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _numbers(metrics: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Yields the numbers in nested dictionaries, with the path of each as its name."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}/{key}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield _name(f"{prefix}/{key}"), float(value)
