"""Checks the types of an estimator's parameters against the hints of its dataclass."""

from __future__ import annotations

import math
import numbers
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from recurra.errors import UsageError

_WORDS = {
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    str: "a text",
    types.NoneType: "None",
    np.random.RandomState: "a numpy.random.RandomState",
}
_FLAGS = ("verbose",)
"""Whole numbers that may also be True or False."""


def check_types(estimator: Any) -> None:
    """Raises `UsageError` for the first parameter whose type is not the one that its hint names."""
    hints = get_type_hints(type(estimator))
    for name, value in estimator.get_params(deep=False).items():
        kinds = _kinds(hints[name])
        if not any(_fits(value, kind) for kind in kinds) and not (name in _FLAGS and isinstance(value, bool)):
            wanted = " or ".join(dict.fromkeys(_WORDS.get(kind, "a list or a dictionary") for kind in kinds))
            raise UsageError(f"{name} must be {wanted}, got {value!r:.60}")


def _kinds(hint: Any) -> list[Any]:
    union = get_origin(hint) in (types.UnionType, Union)
    return list(get_args(hint)) if union else [hint]


def _fits(value: Any, kind: Any) -> bool:
    truth = isinstance(value, bool | np.bool_)
    if kind is int:
        return isinstance(value, int | np.integer) and not truth
    if kind is float:
        return isinstance(value, numbers.Real) and not truth and math.isfinite(value)
    if kind is bool:
        return truth or (isinstance(value, int) and value in (0, 1))
    if kind in _WORDS:
        return isinstance(value, kind)
    # sequences, dictionaries and objects are checked where they are used
    return kind is Any or not (value is None or isinstance(value, str | numbers.Number))
