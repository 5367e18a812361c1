"""The search space: the parameters that a search changes, and their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recurra._util.messages import hint
from recurra.errors import UsageError
from recurra.tasks.params import hints_of, kinds_of, params_of

from .ranges import Range, Search

Space = dict[str, Search]
"""The values to try by the name of the parameter."""

FIXED = ("random_state", "max_minutes", "validation_fraction", "split", "horizon", "quantiles", "loss")
"""Parameters that change the data or the metric, so that results could not be compared."""
SHOWN_DIGITS = 3
"""Significant digits of the numbers that are tried."""


def declared(estimator: type) -> Space:
    """Returns the search space that the parameters of an estimator's class declare."""
    return {name: spec.search for name, spec in params_of(estimator).items() if spec.search}


def parse_search(estimator: Any, given: Iterable[str]) -> Space:
    """Parses options such as `hidden_size=64,128` and `learning-rate=1e-4..1e-2:log`.

    Args:
        estimator: an estimator of the task.
        given: the options.

    Raises:
        UsageError: an option cannot be parsed, or names no parameter, or a value that the parameter does not allow.
    """
    found: Space = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not values.strip():
            raise UsageError(f"--search takes NAME=A,B,C or NAME=LOW..HIGH[:log], not {text!r:.80}")
        found |= check_search(estimator, {name.strip(): values})
    return found


def check_search(estimator: Any, given: Mapping[str, Any]) -> Space:
    """Converts values to try to a search space.

    Args:
        estimator: an estimator of the task.
        given: for each parameter a `Range`, a list of values, or a text such as `"64,128"` or `"1e-4..1e-2:log"`.

    Raises:
        UsageError: there is no such parameter, or a value is not allowed.

    Example:
        >>> from recurra import SequenceClassifier
        >>> check_search(SequenceClassifier(), {"hidden_size": "64..256:log", "cell": ["lstm", "gru"]})
        {'hidden_size': Range(low=64, high=256, log=True), 'cell': ('lstm', 'gru')}
    """
    found: Space = {}
    for given_name, values in given.items():
        name = _parameter(estimator, given_name)
        if isinstance(values, str):
            values = _parsed(estimator, name, values)
        elif not isinstance(values, Range):
            values = _choices(name, values)
        elif int not in kinds_of(hints_of(type(estimator))[name]):
            values = Range(float(values.low), float(values.high), values.log)
        _check(estimator, name, values)
        found[name] = values
    return found


def _parameter(estimator: Any, given: str) -> str:
    """Returns the parameter of a name or option."""
    specs = params_of(type(estimator))
    options = {(spec.option or f"--{name}").partition("/")[0].lstrip("-"): name for name, spec in specs.items()}
    known = {key.replace("-", "_"): name for key, name in [*options.items(), *((name, name) for name in specs)]}
    plain = given.strip().lstrip("-").replace("-", "_")
    if plain not in known:
        raise UsageError(f"a search cannot change {given!r:.40}: there is no such parameter{hint(plain, list(known))}")
    name = known[plain]
    if not specs[name].fingerprint or name in FIXED:
        raise UsageError(f"a search cannot change {name}: results with different values cannot be compared")
    return name


def _parsed(estimator: Any, name: str, text: str) -> Search:
    kinds = kinds_of(hints_of(type(estimator))[name])
    low, dots, rest = text.partition("..")
    if not dots:
        return tuple(_value(name, part.strip(), kinds) for part in text.split(","))
    high, _, scale = rest.partition(":")
    if scale.strip() not in ("", "log"):
        raise UsageError(f"{name}: a range is LOW..HIGH or LOW..HIGH:log, not {text!r:.80}")
    ends = [_value(name, end.strip(), kinds) for end in (low, high)]
    if any(not isinstance(end, int | float) or isinstance(end, bool) for end in ends):
        raise UsageError(f"{name} has no range: give the values to try, separated by commas")
    return Range(*ends, log=bool(scale.strip()))


def _value(name: str, text: str, kinds: list[Any]) -> Any:
    """Converts a text to the type of a parameter."""
    if text.lower() == "none" and type(None) in kinds:
        return None
    if bool in kinds:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{name} is true or false, not {text!r:.40}")
        return text.lower() == "true"
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    if str in kinds:
        return text
    raise UsageError(f"{name} must be a number, got {text!r:.40}")


def _choices(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"the values to try of {name} are a list, a Range or a text, not {type(values).__name__}")
    found = tuple(values)
    if any(not isinstance(value, str | int | float | None) for value in found):
        raise UsageError(f"the values to try of {name} must be numbers, texts, True, False or None")
    return found


def _check(estimator: Any, name: str, search: Search) -> None:
    """Checks that a parameter allows the values to try."""
    if isinstance(search, Range):
        if not -math.inf < search.low < search.high < math.inf:
            raise UsageError(f"{name}: the first number of a range must be below the second, got {search}")
        if search.log and search.low <= 0:
            raise UsageError(f"{name}: a range with log must begin above 0, got {search}")
    elif not search:
        raise UsageError(f"{name} has no values to try")
    for value in (search.low, search.high) if isinstance(search, Range) else search:
        type(estimator)(**{name: value})._check_params()


def suggest(trial: Any, name: str, search: Search) -> Any:
    """Draws a value of a parameter by an `optuna.trial.Trial`."""
    if not isinstance(search, Range):
        return trial.suggest_categorical(name, list(search))
    if isinstance(search.low, int) and isinstance(search.high, int):
        return trial.suggest_int(name, search.low, search.high, log=search.log)
    value = trial.suggest_float(name, search.low, search.high, log=search.log)
    return min(max(float(f"{value:.{SHOWN_DIGITS}g}"), search.low), search.high)
