"""The tasks: one folder for each, with its network, objective, baselines and estimator. `registry` lists them.

Everything is imported at first use, so that the command line can list the tasks quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .registry import BUILT_IN, tasks

if TYPE_CHECKING:  # for type checkers; a test compares these names with the registry
    from .base import Estimator as Estimator
    from .fill.estimator import BlankFiller as BlankFiller
    from .forecast.estimator import Forecaster as Forecaster
    from .generate.estimator import LanguageModel as LanguageModel
    from .many_to_one.classify import SequenceClassifier as SequenceClassifier
    from .many_to_one.regress import SequenceRegressor as SequenceRegressor
    from .restore import load as load
    from .tag.estimator import SequenceTagger as SequenceTagger
    from .transcribe.estimator import Transcriber as Transcriber
    from .translate.estimator import Translator as Translator

    ESTIMATORS: dict[str, type[Estimator]]

_CLASSES = {task.class_name: task for task in BUILT_IN}
_MODULES = {"Estimator": ".base", "load": ".restore"}

__all__ = sorted(["ESTIMATORS", *_CLASSES, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "ESTIMATORS":
        return {task.name: task.load() for task in tasks()}
    if name in _CLASSES:
        return _CLASSES[name].load()
    if name in _MODULES:
        return getattr(import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
