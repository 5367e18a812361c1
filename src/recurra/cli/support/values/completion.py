"""The values of options that a shell completes, for `typer.Option(autocompletion=…)`."""

from __future__ import annotations

from collections.abc import Callable

from recurra.cells.registry import NO_MEMORY, names
from recurra.cli.support.help.defaults import CHOICES

_VALUES = {
    **CHOICES,
    "cell": (*names(memoryless=False), NO_MEMORY),
    "device": ("auto", "cpu", "cuda"),
    "loss": ("l1", "l2", "huber"),
    "optimizer": ("adamw", "adam", "nadam", "radam", "adagrad", "rmsprop", "sgd"),
    "schedule": ("cosine", "linear", "constant"),
}


def completing(*values: str) -> Callable[[str], list[str]]:
    """Returns a function that completes the beginning of one of some values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def completing_parameter(name: str) -> Callable[[str], list[str]] | None:
    """Returns the function for a parameter of the estimators; None if its values are not names."""
    return completing(*_VALUES[name]) if name in _VALUES else None
