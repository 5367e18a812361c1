"""Service of estimators that define none: inputs as they are, and answers from `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.data.files.audio import is_audio_name

from .service import InputError, Path, Service, text_schema
from .values import NumberError, described, number_rows


class PredictionService(Service):
    """Passes texts, lists of numbers or lists of rows to `predict`. An answer is `{"prediction": …}`."""

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        text = text_schema(self.max_steps)
        numbers = {"type": "array", "items": {"type": ["number", "null"]}, "maxItems": self.max_steps}
        rows = {"type": "array", "items": numbers, "maxItems": self.max_steps}
        return text if self.estimator.accepts_text else {"anyOf": [text, numbers, rows]}

    def example(self) -> Any:
        """See `Service.example`."""
        return "a text" if self.estimator.accepts_text else [0.5, 1.0, 1.5]

    def item(self, value: Any, path: Path) -> Any:
        """See `Service.item`."""
        if isinstance(value, str):
            if is_audio_name(value):  # the estimator would read this file
                raise InputError("names of files are not accepted; send the content", path)
            return value
        if not isinstance(value, list):
            raise InputError(f"an input is a text or a list of numbers, not {described(value)}", path)
        try:
            if value and isinstance(value[0], list):
                return number_rows(value, len(value[0]))
            return number_rows(value, 1)[:, 0]
        except NumberError as error:
            raise InputError(str(error), (*path, *error.at)) from None

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        found = self.estimator.predict(items) if len(items) else []
        return [{"prediction": as_json(value)} for value in found]


def as_json(value: Any) -> Any:
    """Converts arrays, tuples and numbers of numpy in a value to JSON values.

    Example:
        >>> as_json((np.float32(0.5), [np.array([1, 2])]))
        [0.5, [[1, 2]]]
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, dict):
        return {str(key): as_json(part) for key, part in value.items()}
    return value
