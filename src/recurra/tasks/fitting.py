"""Parts of `fit` that all tasks share: the checkpoint of a run, and the prepared data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from recurra._util.atomic import reason
from recurra.data.batching.batches import BatchSource
from recurra.errors import UsageError
from recurra.io.card import versions
from recurra.training.settings import Settings
from recurra.training.workers.options import Workers

CHECKPOINT = "last.ckpt"
"""File with the state of a run, in its folder."""

Validation = tuple[Any, Any] | None
"""Data `(X, y)` that choose the best epoch; None to hold out a part of the training data."""


class CheckpointConfig(NamedTuple):
    """Folder and frequency of checkpoints, and the processes of a run.

    Attributes:
        folder: for the prepared data and the checkpoint, or None for neither.
        minutes: greatest time between two checkpoints.
        resume: whether to continue from the checkpoint if there is one.
        workers: processes that train together; None for this process alone.
    """

    folder: Path | None = None
    minutes: float = 0.0
    resume: bool = False
    workers: Workers | None = None

    @classmethod
    def to(cls, folder: str | Path | None, minutes: float, resume: bool, workers: Any = None) -> CheckpointConfig:
        """Creates the folder.

        Raises:
            UsageError: the folder cannot be created, or `workers` is no number of processes.
        """
        path = None if folder is None else Path(folder)
        if path is not None:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"the folder {path} for checkpoints cannot be created: {reason(error)}") from None
        return cls(path, minutes, resume, None if workers is None else Workers.of(workers))

    @property
    def resumes(self) -> bool:
        """True if there is a checkpoint from which the run continues."""
        checkpoint = self.file(CHECKPOINT)
        return self.resume and checkpoint is not None and checkpoint.exists()

    def file(self, name: str) -> Path | None:
        """Returns the path of a file in the folder; None if there is no folder."""
        return None if self.folder is None else self.folder / name


class Prepared(NamedTuple):
    """Training data of a task, ready for the training loop.

    Attributes:
        train: batches to train on.
        valid: batches that choose the best epoch; None for none.
        summary: counts for the section on data in the model card.
        finish: called after training; None for nothing.
        close: called when training has ended in any way; None for nothing.
        minutes: of the time limit of the run, those that the preparation has used.
    """

    train: BatchSource
    valid: BatchSource | None
    summary: dict[str, Any]
    finish: Callable[[], None] | None = None
    close: Callable[[], None] | None = None
    minutes: float = 0.0


def logs_of(logger: Any, params: dict[str, Any], settings: Settings) -> AbstractContextManager[Any]:
    """Returns a block with the loggers of a run, see `recurra.training.logs.run.run_logs`.

    Args:
        logger: argument of the estimator.
        params: parameters of the estimator and facts about the data, for the loggers.
        settings: how to train.

    Raises:
        UsageError: the run cannot be resumed.
    """
    from recurra.training.logs.run import run_logs  # Lightning takes seconds to import
    from recurra.training.loop import checkpoint_to_resume

    folder = None if settings.checkpoint is None else settings.checkpoint.parent
    facts = {**params, "seed": settings.seed, "planned epochs": settings.epochs, **versions()}
    continues = checkpoint_to_resume(settings) is not None
    return run_logs(logger, facts, folder, continues=continues, verbose=bool(settings.verbose))
