"""Collects the metrics of a run while it trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

INTERVAL = 2.0
"""Shortest time between two points of the training loss, in seconds."""


class LogMetrics(pl.Callback):
    """Gives the trainer's loggers the training metrics every few seconds, and all metrics after each epoch.

    The training metrics of a point are those of the steps since the last point.
    """

    def __init__(self) -> None:
        self._time = time.monotonic()
        self._before = (0.0, 0.0, 0.0, 0.0)
        self._point: dict[str, float] = {}
        self._recent: list[tuple[dict[str, float], int]] = []
        self._delivered: Callable[[], float] = lambda: math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Leaves out the steps before a checkpoint, and logs metrics that an earlier part of the run has not."""
        self._before = pl_module.sums
        loggers = trainer.loggers
        self._delivered = lambda: min(getattr(logger, "delivered", math.inf) for logger in loggers)
        for metrics, step in self._recent:
            for logger in loggers:
                logger.log_metrics(metrics, step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Logs a point, if the last one is old; that of the last step of an epoch is logged with the epoch."""
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop
        if not last and time.monotonic() - self._time < INTERVAL:
            return
        self._point = self._take_point(trainer, pl_module)
        if not last:
            self._log(trainer, self._point)

    def _take_point(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, float]:
        loss, weight, tokens, seconds = (new - old for new, old in zip(pl_module.sums, self._before, strict=True))
        self._before, self._time = pl_module.sums, time.monotonic()
        point = {"epoch": float(len(pl_module.history) + 1)}
        if weight:
            point["train/loss"] = loss / weight
        point["train/learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if seconds > 0:
            point["train/tokens_per_second"] = tokens / seconds
        for rank, speed in enumerate(pl_module.shares.speeds() if pl_module.group.several else ()):
            point[f"workers/{rank}/tokens_per_second"] = speed
        return point

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Logs the metrics of the epoch; `KeepBest` has closed it."""
        row = {}
        for name, value in pl_module.history[-1].items():
            group, _, rest = name.partition("_")
            row[f"valid/{rest}" if group == "valid" else f"epoch/{name}"] = float(value)
        row.pop("epoch/epoch")
        self._log(trainer, {**self._point, "epoch": float(len(pl_module.history)), **row})
        self._before, self._point = pl_module.sums, {}

    def _log(self, trainer: pl.Trainer, metrics: dict[str, float]) -> None:
        self._recent.append((metrics, trainer.global_step))
        self._forget()
        for logger in trainer.loggers:
            logger.log_metrics(metrics, trainer.global_step)

    def _forget(self) -> None:
        """Keeps the metrics that a logger does not have yet."""
        delivered = self._delivered()
        self._recent = [point for point in self._recent if point[1] > delivered]

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        self._forget()
        return {"recent": self._recent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self._recent = [(metrics, step) for metrics, step in state_dict["recent"]]
