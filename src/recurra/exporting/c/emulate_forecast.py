"""Runs the C file of a forecaster in NumPy."""

from __future__ import annotations

import numpy as np

from recurra.data.columns.frequency import calendar
from recurra.data.columns.scaling import FARTHEST
from recurra.tasks.forecast.network import QUIET

from .emulate import Memory, apply, new_memory, run_step
from .plan import Forecasting, Plan


def emulate_forecast(plan: Plan, x: np.ndarray, steps: list[int], begin: int = 0) -> np.ndarray:
    """Returns the forecasts after some numbers of steps of one series, `(forecasts, outputs)`.

    Args:
        plan: contents of the file.
        x: `(steps, inputs)`; NaN is a missing value.
        steps: how many steps are known to each forecast.
        begin: time of the first step in microseconds since 1970-01-01.
    """
    own = plan.forecasting
    assert own is not None  # noqa: S101  (the caller checks it)
    with np.errstate(invalid="ignore"):
        scaled = (x - own.means) / np.where(own.deviations > 0, own.deviations, np.inf)
    scaled[~(np.abs(scaled) <= FARTHEST)] = np.nan
    return np.array([_forecast(plan, own, scaled[:count], begin) for count in steps])


def _forecast(plan: Plan, own: Forecasting, past: np.ndarray, begin: int) -> np.ndarray:
    """Returns the forecast from all scaled steps so far, `(outputs,)`."""
    front = np.full((max(own.context - len(past), 0), past.shape[1]), np.nan)
    window = np.concatenate([front, past])[-own.context :]
    known = ~np.isnan(window)
    values = _filled(past, window).astype(np.float32)
    values, known = (np.concatenate([part[:1].repeat(own.filling, 0), part]) for part in (values, known))
    found = np.zeros((own.horizon, own.targets, 1 + len(own.levels)))
    for k in range(own.targets):
        last = values[-1, k]
        size = np.float32(values[own.filling :, k].std(dtype=np.float64)) + np.float32(QUIET)
        away = values[own.filling :, k] - last
        base = np.zeros(own.horizon, np.float32) if own.base is None else apply(own.base, away)
        memory = _remembered(plan, own, values, known, k, (values[:, k] - last) / size)
        for segment, position in enumerate(own.positions):
            again = [(h.copy(), c.copy()) for h, c in memory]
            query = np.append(position, own.places[k]) + _ahead(own, segment, begin, len(past))
            output = run_step(plan, again, query)
            rows = slice(segment * own.written, min((segment + 1) * own.written, own.horizon))
            count = rows.stop - rows.start
            point = apply(own.write, output)[:count] * size + last + base[rows]
            found[rows, k, 0] = point
            if own.quantiles is not None:
                distances = apply(own.quantiles, output).reshape(len(own.levels), -1)[:, :count].T
                found[rows, k, 1:] = _nested(own, point[:, None] + distances * size + own.shifts[rows, k], point)
    means, deviations = (part[: own.targets, None] for part in (own.means, own.deviations))
    return (found * deviations + means).ravel()


def _ahead(own: Forecasting, segment: int, begin: int, steps: int) -> np.ndarray | float:
    """Returns the share of the calendar in the query of a segment."""
    if own.calendar is None:
        return 0.0
    later = np.minimum(segment * own.written + np.arange(own.written), own.horizon - 1)
    times = (begin + (steps + later) * own.calendar.interval).astype("datetime64[us]")
    return own.calendar.ahead.values @ calendar(times, own.calendar.cycles).ravel()


def _remembered(
    plan: Plan, own: Forecasting, values: np.ndarray, known: np.ndarray, k: int, steps: np.ndarray
) -> Memory:
    """Returns the states of the layers after the context of target `k`."""
    memory = new_memory(plan)
    for begin in range(0, len(values), own.segment):
        rows = slice(begin, begin + own.segment)
        above = apply(own.read, np.append(steps[rows], known[rows, k] if own.masked else []).astype(np.float32))
        if own.beside is not None:
            side = [values[rows, own.targets :], *([known[rows, own.targets :]] if own.masked else [])]
            above = above + own.beside.values @ np.concatenate(side, 1).ravel().astype(np.float32)
        run_step(plan, memory, np.maximum(above, 0))
    return memory


def _filled(past: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Returns the window; a missing value is the last one before it, at first the first one in the window, or 0."""
    found = window.copy()
    for column, values in zip(found.T, past.T, strict=True):
        before = values[: max(len(values) - len(window), 0)]
        candidates = [*before[~np.isnan(before)][-1:], *column[~np.isnan(column)], 0.0]
        latest = candidates[0]
        for t, value in enumerate(column):
            latest = latest if np.isnan(value) else value
            column[t] = latest
    return found


def _nested(own: Forecasting, quantiles: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Returns the quantiles of each step, sorted, on their sides of the point forecast."""
    found, point = np.sort(quantiles, 1), point[:, None]
    found = np.where(own.sides < 0, np.minimum(found, point), found)
    return np.where(own.sides > 0, np.maximum(found, point), found)
