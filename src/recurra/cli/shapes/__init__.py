"""What the command line does differently for each shape of sequence: one module for each, named as its task.

Each module has

- `fit`: the command `recurra fit TASK`;
- `read(estimator, path, options)`: a labelled file as `Labelled`, for `recurra evaluate`;
- `predict(estimator, source, options)`: an iterator of dictionaries, one for each row of the answer, for
  `recurra predict`; `source` is a file name, or `-` for standard input;
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

SHAPES = ("classify", "regress", "tag", "forecast", "generate", "translate", "fill", "transcribe")
"""In the order of `recurra fit --help`."""


def shape_of(task: str) -> ModuleType:
    """The module of a task."""
    return import_module(f".{task}", __name__)
