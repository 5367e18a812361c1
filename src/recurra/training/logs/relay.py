"""The logger of a worker: the process that started the run has the loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger


class BoardLogger(Logger):
    """Sends metrics to a board, see `recurra.training.workers.board`.

    Args:
        board: actor of Ray.
    """

    def __init__(self, board: Any) -> None:
        super().__init__()
        self.board = board

    @property
    def name(self) -> str:
        """See `Logger.name`."""
        return "recurra"

    @property
    def version(self) -> str:
        """See `Logger.version`."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """See `Logger.log_metrics`."""
        self.board.log.remote(dict(metrics), step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the process that started the run logs its parameters."""
