"""Base class of the services: they convert JSON values to sequences, and predictions to JSON values.

The command line and the server use the same service, so that both give the same answers. A task has its service in
`tasks/TASK/service.py` and names it in `Estimator.service`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from recurra.errors import DataError

if TYPE_CHECKING:
    from .stepper import Stepper


class InputError(DataError):
    """An input of a request that cannot be used.

    Args:
        message: what is wrong and what to do.
        path: position of the value in the request, such as `("inputs", 3, 0)`.
    """

    def __init__(self, message: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.path = tuple(path)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a request. Every field has a default; requests with equal options are computed in one batch."""


class Service:
    """Answers of one model.

    Args:
        estimator: the fitted model.
    """

    Options: ClassVar[type[Options]] = Options

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def input_schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of one element of `inputs`."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Returns what a client needs to know: classes, features, horizon and the like, as JSON values."""
        return {}

    def parse(self, inputs: Sequence[Any]) -> list[Any]:
        """Converts JSON values to sequences for `answers`.

        Raises:
            InputError: a value cannot be used; `path` begins with `"inputs"` and its position.
        """
        raise NotImplementedError

    def steps(self, item: Any) -> int:
        """Returns the number of time steps (or characters) of a parsed input; the server limits their sum."""
        return len(item)

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """Returns one answer for each parsed input, with the keys and values of `recurra predict`.

        An answer does not depend on the other inputs.

        Args:
            items: results of `parse`.
            options: an instance of `Options`.
        """
        raise NotImplementedError

    def stepper(self) -> Stepper:
        """Returns an object that runs many sequences of this model step by step.

        Raises:
            UsageError: the model cannot run step by step. The message gives the reason and what to train instead.
        """
        raise NotImplementedError
