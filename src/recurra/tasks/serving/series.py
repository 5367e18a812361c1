"""Numeric steps: from JSON or binary values to the input of a network, for many sequences at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from recurra.data.columns.scaling import FARTHEST, standardize
from recurra.data.encoders.series import SeriesEncoder
from recurra.errors import DataError

from .service import InputError, Path
from .stepper import StateSpec
from .values import NumberError, described, number_rows

LAST = "series.last"
"""Name of the state with the last scaled value of each feature; 0, the mean, before the first one."""


def series_schema(features: int, most: int) -> dict[str, Any]:
    """Returns the JSON Schema of a numeric sequence of at most `most` steps."""
    number = {"type": ["number", "null"]}
    row = {"type": "array", "items": number, "minItems": features, "maxItems": features}
    rows = {"type": "array", "items": row, "maxItems": most}
    return rows if features > 1 else {"anyOf": [rows, {"type": "array", "items": number, "maxItems": most}]}


def series_of(value: list[Any], encoder: SeriesEncoder, path: Path) -> np.ndarray:
    """Converts a JSON value to a numeric sequence, with NaN for null.

    Raises:
        InputError: the value is no list of steps, or a number cannot be used.
        DataError: a number is far outside the training data.
    """
    if not isinstance(value, list):
        raise InputError(f"a series is a list of steps, not {described(value)}", path)
    try:
        rows = number_rows(value, encoder.features)
    except NumberError as error:
        raise InputError(str(error), (*path, *error.at)) from None
    standardize(rows, encoder.mean, encoder.scale, "the series")
    return rows


def series_example(encoder: SeriesEncoder) -> list[float]:
    """Returns a step of the mean values."""
    return [float(f"{value:.4g}") for value in encoder.mean.tolist()]


class SeriesSteps:
    """Converts numeric steps; a missing value is replaced by the last value of the sequence, as in `SeriesEncoder`.

    Args:
        encoder: the encoder of the model.
    """

    def __init__(self, encoder: SeriesEncoder) -> None:
        self.encoder, self.features = encoder, encoder.features
        self.specs = {LAST: StateSpec((encoder.features,), torch.float32)}
        # values in this range need no further check; a constant feature has scale 0 and accepts any value
        limits = np.where(encoder.scale > 0, encoder.scale * FARTHEST / 2 - np.abs(encoder.mean), FARTHEST)
        self._safe = float(min(limits.min(initial=FARTHEST), FARTHEST))

    def parse(self, inputs: Any) -> np.ndarray:
        """Converts rows of numbers to an array `(steps, features)`; null is a missing value.

        A list of numbers is accepted where the model has one feature.
        """
        if not isinstance(inputs, list):
            raise InputError("inputs must be a list of steps", ("inputs",))
        if self.features == 1 and inputs and not isinstance(inputs[0], list):
            inputs = [[value] for value in self._converted(inputs, list[float | None])]
        rows = self._converted(inputs, list[list[float | None]])
        for i, row in enumerate(rows):
            if len(row) != self.features:
                raise InputError(f"a step has {len(row)} values; the model takes {self.features}", ("inputs", i))
        return self._checked(np.array(rows, np.float64).reshape(-1, self.features))

    def parse_binary(self, data: np.ndarray) -> np.ndarray:
        """Converts float32 values to an array `(steps, features)`; NaN is a missing value."""
        if len(data) % self.features:
            raise InputError(
                f"{len(data)} values are no whole number of steps; the model takes {self.features} values a step",
                ("inputs",),
            )
        return self._checked(data.reshape(-1, self.features))

    def encode(self, last: Tensor, items: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        """Converts new steps of several sequences.

        Args:
            last: the state `LAST` of the sequences, `(sequences, features)`.
            items: results of `parse` or `parse_binary`, one for each sequence.

        Returns:
            Values `(sequences, time, input size)`, their lengths `(sequences,)`, and the new state.
        """
        lengths = np.fromiter(map(len, items), np.int64, len(items))
        steps = int(lengths.max(initial=0))
        scaled = self.encoder.scaled(np.concatenate(items) if items else np.zeros((0, self.features)), "steps")
        if len(scaled) != steps * len(items):  # the sequences have different numbers of steps
            padded = np.full((len(items), steps, self.features), np.nan, scaled.dtype)
            padded[np.arange(steps) < lengths[:, None]] = scaled
            scaled = padded
        scaled = scaled.reshape(len(items), steps, self.features)
        missing = np.isnan(scaled)
        if missing.any():
            # steps beyond the end count as missing, so that the last row is the new state
            known = np.concatenate([last.numpy()[:, None], scaled], axis=1)
            latest = np.maximum.accumulate(np.where(missing, 0, np.arange(1, steps + 1)[:, None]), axis=1)
            scaled = np.take_along_axis(known, latest, axis=1)
        after = torch.from_numpy(scaled[:, -1].copy()) if steps else last
        if len(self.encoder.masked):
            scaled = np.concatenate([scaled, missing[..., self.encoder.masked].astype(scaled.dtype)], axis=2)
        return torch.from_numpy(scaled), torch.from_numpy(lengths), after

    def _converted(self, values: Any, kind: Any) -> Any:
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise InputError(*_explained(str(error))) from None

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        """Returns the rows. Refuses infinite values and values far from the training data."""
        if rows.size and not np.abs(rows).max() <= self._safe:  # also if one is NaN
            infinite = np.argwhere(np.isinf(rows))
            if len(infinite):
                step, feature = infinite[0].tolist()
                raise InputError(f"{rows[step, feature]} is not a finite number", ("inputs", step, feature))
            try:
                self.encoder.scaled(rows, "inputs")
            except DataError as error:
                raise InputError(str(error), ("inputs",)) from None
        return rows


def _explained(message: str) -> tuple[str, tuple[str | int, ...]]:
    """Turns a message of msgspec, such as "Expected `float`, got `str` - at `$[0][1]`", to a message and a path."""
    what, _, where = message.partition(" - at `$")
    positions = [int(number) for number in where.strip("`[]").split("][") if number.isdigit()]
    return what[:1].lower() + what[1:], ("inputs", *positions)
