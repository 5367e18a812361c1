"""Base class of the services: they convert JSON values to sequences, and predictions to JSON values.

The command line and the server use the same service, so that both give the same answers. A task has its service in
`tasks/TASK/service.py`, and its estimator names it as `service_class`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from recurra.errors import DataError, RecurraError, UsageError

from .values import described

if TYPE_CHECKING:
    from recurra.tasks.subject import Subject

    from .stepper import Stepper

Path = tuple[str | int, ...]
"""Position of a value in a request, such as `("inputs", 3, 0)`."""

MAX_STEPS = 1 << 18
"""Default of the largest number of time steps, or characters, of one input of a request."""


class InputError(DataError):
    """An input of a request that cannot be used.

    Args:
        message: what is wrong and what to do.
        path: position of the value in the request, such as `("inputs", 3, 0)`.
    """

    def __init__(self, message: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.path = tuple(path)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of a request. Every field has a default; requests with equal options are computed in one batch.

    Attributes:
        proba: whether probabilities are added to the answers, where the task has some to add.
    """

    proba: bool = False


def _rounded(value: Any, form: str | None, service: Service) -> Any:
    if isinstance(value, float) and form:
        return float(format(value, form))
    if isinstance(value, list):
        return [_rounded(one, form, service) for one in value]
    if isinstance(value, dict):
        return {key: _rounded(one, form, service) for key, one in value.items()} if form else service.rounded(value)
    return value


class Service:
    """Answers of one model.

    A task defines `item`, `answers`, `input_schema` and `example`.

    Args:
        estimator: the fitted model.
        max_steps: largest number of time steps, or characters, of one input.
    """

    Options: ClassVar[type[Options]] = Options
    formats: ClassVar[dict[str, str]] = dict.fromkeys(("probability", "probabilities", "confidence", "score"), ".6f")
    """Format of the numbers below a key in the files of `recurra predict`. The server sends all digits."""
    unit: str = "steps"
    """Name of what `steps` counts."""

    def __init__(self, estimator: Any, max_steps: int = MAX_STEPS) -> None:
        self.estimator, self.max_steps = estimator, max_steps

    def input_schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of one element of `inputs`."""
        raise NotImplementedError

    def example(self) -> Any:
        """Returns a valid element of `inputs`, for documentation and for the web page."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Returns what a client needs to know: classes, features, horizon and the like, as JSON values."""
        return {}

    def parse(self, inputs: Any) -> list[Any]:
        """Converts JSON values to sequences for `answers`.

        Args:
            inputs: the value of `inputs` in a request, a list.

        Raises:
            InputError: a value cannot be used; `path` begins with `"inputs"` and its position.
        """
        if not isinstance(inputs, list):
            raise InputError(f"inputs is {described(inputs)}; send a list with one element per sequence", ("inputs",))
        return [self._checked(value, ("inputs", place)) for place, value in enumerate(inputs)]

    def _checked(self, value: Any, path: Path) -> Any:
        try:
            item = self.item(value, path)
        except InputError:
            raise
        except RecurraError as error:
            raise InputError(str(error), path) from None
        if self.steps(item) > self.max_steps:
            raise self._too_long(self.steps(item), path)
        return item

    def _too_long(self, steps: int, path: Path) -> InputError:
        """Returns the error for an input with too many steps."""
        return InputError(f"the input has {steps:,} {self.unit}; at most {self.max_steps:,} are accepted", path)

    def item(self, value: Any, path: Path) -> Any:
        """Converts one JSON value to a sequence for `answers`.

        Args:
            value: an element of `inputs`.
            path: its position in the request.

        Raises:
            InputError: the value cannot be used.
            RecurraError: the same, without a position inside the value.
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

        Raises:
            RecurraError: an input cannot be used with these options, or the network gives an output that is not finite.
                The error does not name the input; a caller with several inputs repeats them one by one.
        """
        raise NotImplementedError

    def rows(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the rows that `recurra predict` writes for an answer; most tasks write one."""
        return [answer]

    def subject(self, item: Any) -> Subject:
        """Returns the network and one parsed input, for the inspection tools.

        Args:
            item: an element of the result of `parse`.

        Raises:
            RecurraError: the input has no steps, or cannot be used.
        """
        return self.estimator.subject([item])

    def rounded(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns a row with its numbers rounded for people, see `formats`."""
        return {key: _rounded(value, self.formats.get(key.partition(" ")[0]), self) for key, value in row.items()}

    def stepper(self) -> Stepper:
        """Returns an object that runs many sequences of this model step by step.

        Raises:
            UsageError: the model cannot run step by step. The message gives the reason and what to train instead.
        """
        raise UsageError(f"a {self.estimator.title.lower()} does not run step by step; send its inputs to predict")


class TextService(Service):
    """Service of a model whose inputs are texts."""

    unit = "characters"

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        return text_schema(self.max_steps)

    def example(self) -> Any:
        """See `Service.example`."""
        return "a text"

    def item(self, value: Any, path: Path) -> Any:
        """See `Service.item`."""
        return text_of(value, path, self.max_steps)


def text_schema(max_characters: int) -> dict[str, Any]:
    """Returns the JSON Schema of a text."""
    return {"type": "string", "maxLength": max_characters}


def text_of(value: Any, path: Path, max_characters: int) -> str:
    """Returns a JSON value that is a text.

    Raises:
        InputError: the value is not a text, or too long.
    """
    if not isinstance(value, str):
        raise InputError(f"an input is a text, not {described(value)}", path)
    if len(value) > max_characters:
        raise InputError(f"the text has {len(value):,} characters; at most {max_characters:,} are accepted", path)
    return value
