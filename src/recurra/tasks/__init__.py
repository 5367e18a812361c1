"""The tasks: one folder for each, with its network, objective, baselines and estimator. `registry` lists them.

Everything is imported at first use, so that the command line can list the tasks quickly.
"""

from typing import TYPE_CHECKING, Any

from recurra._util.lazy_names import at_first_use

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

_PLACES = {
    **{task.class_name: task.estimator for task in BUILT_IN},
    "Estimator": ".base:Estimator",
    "load": ".restore:load",
}
_find = at_first_use(__name__, _PLACES)

__all__ = sorted(["ESTIMATORS", *_PLACES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "ESTIMATORS":
        return {task.name: task.load() for task in tasks()}
    return _find(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
