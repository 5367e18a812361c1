"""One room per shape of sequence: network, loss, figures and estimator of each task."""

from pathlib import Path

from recurra.errors import ModelFolderError
from recurra.io import identity, read_folder

from .base import Estimator
from .fill.estimator import BlankFiller
from .forecast.estimator import Forecaster
from .generate.estimator import LanguageModel
from .many_to_one.classify import SequenceClassifier
from .many_to_one.regress import SequenceRegressor
from .restore import rebuild
from .tag.estimator import SequenceTagger
from .transcribe.estimator import Transcriber
from .translate import Translator

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.task: estimator
    for estimator in (
        SequenceClassifier,
        SequenceRegressor,
        SequenceTagger,
        Forecaster,
        LanguageModel,
        Translator,
        BlankFiller,
        Transcriber,
    )
}


REPLACED = 3
"""Times that a folder is read if another process replaces it in between, which could mix two models."""


def load(path: str | Path, *, allow_nonfinite: bool = False) -> Estimator:
    """Rebuilds a saved estimator. Every file is checked first, and nothing from the folder is executed.

    Args:
        path: model folder written by `save` or `recurra fit`.
        allow_nonfinite: whether weights that are NaN or infinite are accepted, to look inside such a model.

    Raises:
        ModelFolderError: the folder is missing, damaged or of a newer version, or holds weights that are not finite.

    Example:
        >>> import recurra
        >>> recurra.load("no/such/folder")
        Traceback (most recent call last):
        recurra.errors.ModelFolderError: there is no model folder no/such/folder
        train one with: recurra fit … --out no/such/folder
    """
    for _ in range(REPLACED - 1):
        before = identity(path)
        try:
            found = _load(path, allow_nonfinite)
        except ModelFolderError:
            if identity(path) == before:
                raise
            continue
        if identity(path) == before:
            return found
    return _load(path, allow_nonfinite)


def _load(path: str | Path, allow_nonfinite: bool) -> Estimator:
    stored = read_folder(path)
    task = stored.config.get("task")
    if not isinstance(task, str) or task not in ESTIMATORS:
        raise ModelFolderError(f"{path} holds a model for the task {task!r:.80}, which this version does not know")
    return rebuild(ESTIMATORS[task], stored, allow_nonfinite=allow_nonfinite)


__all__ = [
    "ESTIMATORS",
    "BlankFiller",
    "Estimator",
    "Forecaster",
    "LanguageModel",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "Transcriber",
    "Translator",
    "load",
]
