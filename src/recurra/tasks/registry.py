"""The tasks: one line for each, in the order of the command line. Importing this module imports no task.

An installed package adds its tasks by entry points of the group `recurra.tasks`; other code calls `register`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

from recurra.errors import UsageError


class Task(NamedTuple):
    """A task and the class that carries it out.

    Attributes:
        name: name on the command line and in config.json.
        estimator: the class as `"module:class"`. A module that starts with a dot is relative to `recurra.tasks`.
        label: name for people, the title of the model card.
        commands: module with the commands of the task, see `recurra.cli.tasks`. By default it is the module of this
            name in `recurra.cli.tasks`.
        graph: function that returns the ONNX graph of a fitted estimator, as `"module:function"`; `""` if a model of
            the task cannot be exported to ONNX.
    """

    name: str
    estimator: str
    label: str
    commands: str = ""
    graph: str = ""

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
        Task(
            "classify",
            ".many_to_one.classify:SequenceClassifier",
            "Sequence classifier",
            graph=".many_to_one.graph:classify",
        ),
        Task(
            "regress",
            ".many_to_one.regress:SequenceRegressor",
            "Sequence regressor",
            graph=".many_to_one.graph:regress",
        ),
        Task("tag", ".tag.estimator:SequenceTagger", "Sequence tagger", graph=".tag.graph:tag"),
        Task("forecast", ".forecast.estimator:Forecaster", "Forecaster", graph=".forecast.onnx.graph:forecast"),
        Task("generate", ".generate.estimator:LanguageModel", "Language model", graph=".generate.graph:generate"),
        Task("translate", ".translate.estimator:Translator", "Translator", graph=".translate.graph:translate"),
        Task("fill", ".fill.estimator:BlankFiller", "Blank filler", graph=".fill.graph:fill"),
        Task("transcribe", ".transcribe.estimator:Transcriber", "Transcriber", graph=".transcribe.graph:transcribe"),
    )
}

BUILT_IN = tuple(_TASKS.values())
"""The tasks of this package."""


ENTRY_POINTS = "recurra.tasks"
"""Group of the entry points of installed packages. The value of an entry point names a `Task`, as `"module:TASK"`."""


def tasks() -> tuple[Task, ...]:
    """Returns all registered tasks in the order of the command line."""
    _register_installed()
    return tuple(_TASKS.values())


def find(name: str) -> Task:
    """Returns a registered task by its name.

    Raises:
        UsageError: no task has this name.
    """
    if name not in _TASKS:
        _register_installed(name)
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


def _register_installed(*names: str) -> None:
    """Registers the tasks of installed packages: all, or those with these names. Packages that fail are reported."""
    from importlib.metadata import entry_points

    found: Iterable[Any] = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name in _TASKS or (names and entry.name not in names):
            continue
        try:
            register(entry.load())
        except Exception as error:  # a package of the user must not stop the others
            warnings.warn(f"the task {entry.name!r} ({entry.value}) cannot be used: {error}", stacklevel=3)
