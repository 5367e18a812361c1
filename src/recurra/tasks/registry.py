"""The tasks: one line for each, in the order of the command line. Importing this module imports no task."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from recurra.errors import UsageError


class Task(NamedTuple):
    """A task and the class that carries it out.

    Attributes:
        name: name on the command line and in config.json.
        estimator: the class as `"module:class"`. A module that starts with a dot is relative to `recurra.tasks`.
        label: name for people, the title of the model card.
    """

    name: str
    estimator: str
    label: str

    @property
    def class_name(self) -> str:
        """Name of the estimator's class."""
        return self.estimator.partition(":")[2]

    def load(self) -> type[Any]:
        """Imports the estimator's class."""
        module, _, name = self.estimator.partition(":")
        return getattr(import_module(module, "recurra.tasks"), name)


_TASKS = {
    task.name: task
    for task in (
        Task("classify", ".many_to_one.classify:SequenceClassifier", "Sequence classifier"),
        Task("regress", ".many_to_one.regress:SequenceRegressor", "Sequence regressor"),
        Task("tag", ".tag.estimator:SequenceTagger", "Sequence tagger"),
        Task("forecast", ".forecast.estimator:Forecaster", "Forecaster"),
        Task("generate", ".generate.estimator:LanguageModel", "Language model"),
        Task("translate", ".translate.estimator:Translator", "Translator"),
        Task("fill", ".fill.estimator:BlankFiller", "Blank filler"),
        Task("transcribe", ".transcribe.estimator:Transcriber", "Transcriber"),
    )
}

BUILT_IN = tuple(_TASKS.values())
"""The tasks of this package."""


def tasks() -> tuple[Task, ...]:
    """Returns all registered tasks in the order of the command line."""
    return tuple(_TASKS.values())


def find(name: str) -> Task:
    """Returns a registered task by its name.

    Raises:
        UsageError: no task has this name.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise UsageError(f"there is no task {name!r:.80}; the tasks are {', '.join(_TASKS)}") from None


def register(task: Task) -> None:
    """Adds a task, so that `recurra.load` and the command line support it.

    Args:
        task: the task; its estimator derives from `recurra.tasks.Estimator` and has the same name as `task`.

    Raises:
        UsageError: another task has this name.
    """
    if _TASKS.get(task.name, task) != task:
        raise UsageError(f"the name {task.name!r} is taken by {_TASKS[task.name].estimator}")
    _TASKS[task.name] = task
