"""Forecasting step by step: the forecast from the newest step on, for many series at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.columns.panel import ISO, Panel, Series
from recurra.errors import DataError, NonFiniteError, UsageError
from recurra.tasks.serving.layer import StepLayer, exact
from recurra.tasks.serving.service import InputError
from recurra.tasks.serving.stepper import Advanced, StateSpec, Stepper
from recurra.tasks.serving.values import NumberError, number_rows

from .result import Forecast, rows_of


class ForecastStepper(Stepper):
    """Steps of a forecaster.

    The state of a series is a window of its last steps, because the network reads a context of fixed length. The
    answer equals the forecast from the whole history so far. The scale of a series that is new to the model is that of
    the steps in the window, so the answer then equals the forecast from the last `context_` steps.

    Args:
        estimator: the fitted `Forecaster`.
        service: its service, which reads times.
    """

    def __init__(self, estimator: Any, service: Any) -> None:
        self.estimator, self.service, self.learnt = estimator, service, estimator.preparation_
        columns = self.columns = self.learnt.columns
        if columns.known:
            raise UsageError(
                f"the forecast needs the future values of {', '.join(columns.known)}, which no step contains; "
                "train without known columns (--known) to run step by step"
            )
        StepLayer(estimator.network_.recurrent, estimator.device)  # refuses engines whose steps are not exact
        self.names = (*columns.target, *columns.features)
        self.ids: list[str | None] = list(self.learnt.scales)
        self.shape = (estimator.horizon, len(columns.target), 1 + len(estimator._levels()))
        # the first row of the window holds the last value of each column before the window
        window = (1 + estimator.context_, len(self.names))
        self.specs = {
            "window": StateSpec(window, torch.float64, float("nan")),
            "steps": StateSpec((), torch.int64),
            "begin": StateSpec((), torch.int64),
            "series": StateSpec((), torch.int64, -1),
        }

    def start(self, count: int, **options: Any) -> dict[str, Tensor]:
        """Returns the states of new series.

        Args:
            count: number of series.
            **options: `begin`, the time of the first step, in the spelling of the training data (a list where several
                columns hold it); `id`, the name of a series of the training data.
        """
        begin, id = options.pop("begin", None), options.pop("id", None)
        states = super().start(count, **options)
        if self.columns.times:
            states["begin"][:] = self._origin(begin)
        elif begin is not None:
            raise InputError("the model was trained without times", ("begin",))
        if id is not None and id not in self.ids:
            raise InputError(f"the series {id!r:.40} was not in the training data", ("id",))
        if id in self.ids:  # the only series has no id
            states["series"][:] = self.ids.index(id)
        return states

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        levels = ["", *(f" q{level:g}" for level in self.estimator._levels())]
        outputs = [
            f"{name} {step}{level}"
            for step in range(1, self.shape[0] + 1)
            for name in self.columns.target
            for level in levels
        ]
        step = {"features": len(self.names), "names": list(self.names)}
        options: dict[str, Any] = {"begin": list(self.columns.times)} if self.columns.times else {}
        if self.ids != [None]:
            options["id"] = self.ids
        return {**super().about(), "outputs": outputs, "step": step, "options": options}

    def parse(self, inputs: Any) -> np.ndarray:
        """Converts rows of targets and features to an array `(steps, columns)`; null is a missing value."""
        if not isinstance(inputs, list):
            raise InputError("inputs must be a list of steps", ("inputs",))
        try:
            return number_rows(inputs, len(self.names)).reshape(-1, len(self.names))
        except NumberError as error:
            raise InputError(str(error), ("inputs", *error.at)) from None

    def parse_binary(self, data: np.ndarray) -> np.ndarray:
        """Converts float32 values to an array `(steps, columns)`; NaN is a missing value."""
        if len(data) % len(self.names) or np.isinf(data).any():
            raise InputError(
                f"the values are no whole number of steps of {len(self.names)} finite numbers each", ("inputs",)
            )
        return data.reshape(-1, len(self.names)).astype(np.float64)

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[np.ndarray]) -> Advanced:
        """See `Stepper.advance`."""
        rows = zip(states["window"].numpy(), states["steps"].tolist(), items, strict=True)
        windows = [_moved(window, steps, item) for window, steps, item in rows]
        after = {name: tensor.clone() for name, tensor in states.items()}
        if windows:
            after["window"] = torch.from_numpy(np.stack(windows))
        after["steps"] += torch.tensor([len(item) for item in items], dtype=torch.long)
        numbers = [after[name].tolist() for name in ("steps", "begin", "series")]
        panels = [
            self._panel(*state) if state[1] else None for state in zip(windows, *numbers, strict=True)
        ]  # None before the first step
        found = np.zeros((len(items), int(np.prod(self.shape))))
        errors: dict[int, str] = {}
        with exact():
            there = [i for i, panel in enumerate(panels) if panel is not None]
            for i, forecast in zip(there, self._forecasts([panels[i] for i in there]), strict=True):
                if isinstance(forecast, Forecast):
                    found[i] = np.concatenate([forecast.values[..., None], forecast.quantiles], 2).ravel()
                else:
                    found[i], errors[i] = np.nan, forecast
        return Advanced(after, list(rests), found, errors)

    def answer(self, output: np.ndarray, states: dict[str, Tensor]) -> dict[str, Any]:
        """See `Stepper.answer`."""
        steps, begin, number = (int(states[name]) for name in ("steps", "begin", "series"))
        if not steps:
            return {"forecast": []}
        panel = self._panel(states["window"].numpy(), steps, begin, number)
        series, values = panel.series[0], output.reshape(self.shape)
        coming = np.arange(len(series), len(series) + self.shape[0])
        forecast = Forecast(
            series.id,
            panel.spelt(series, coming),
            panel.parts(series, coming),
            panel.instants(series, coming),
            values[..., 0],
            values[..., 1:],
            self.estimator._levels(),
            series.values[:0],
            [],
        )
        return {"forecast": list(rows_of(forecast, self.columns))}

    def _forecasts(self, panels: Sequence[Any]) -> list[Forecast | str]:
        """Returns the forecast of each panel, or the message of its error."""
        try:
            return [found for (found,) in self.estimator.forecast_panels(panels)]
        except (DataError, NonFiniteError) as error:
            if len(panels) == 1:
                return [str(error)]
        return [found for panel in panels for found in self._forecasts([panel])]

    def _panel(self, window: np.ndarray, steps: int, begin: int, number: int) -> Panel:
        """Returns the end of a series as a panel."""
        context = len(window) - 1
        kept = min(steps, context + (number >= 0))
        rows, targets, frequency = window[len(window) - kept :], len(self.columns.target), self.learnt.frequency
        first = np.datetime64(begin, "us") if frequency.dated else np.int64(begin)
        origin = frequency.at(first, np.array([steps - kept]))[0]
        id = self.ids[number] if number >= 0 else None
        series = Series(id, origin, rows[:, :targets], rows[:, targets:], np.zeros((kept, 0)))
        return Panel([series], self.columns, frequency, self.learnt.spelling or ISO)

    def _origin(self, begin: Any) -> int:
        """Returns the time of the first step as a number."""
        times = self.columns.times
        parts = begin if isinstance(begin, list) else [begin]
        if begin is None or len(parts) != len(times):
            raise InputError(f"give the time of the first step ({', '.join(times)}) as begin", ("begin",))
        cells = {name: [column[0]] for name, column in self.service.example().items()}
        panel = self.service.item({**cells, **{name: [part] for name, part in zip(times, parts, strict=True)}}, ())
        if panel.zone is not None:
            raise InputError("give the time of the first step without a time zone", ("begin",))
        origin = panel.series[0].origin
        return int(origin.astype("datetime64[us]").astype(np.int64) if self.learnt.frequency.dated else origin)


def _moved(window: np.ndarray, steps: int, item: np.ndarray) -> np.ndarray:
    """Returns the window after new steps; see `ForecastStepper.specs`."""
    context = len(window) - 1
    rows = np.concatenate([window[len(window) - min(steps, context) :], item])
    found = np.full_like(window, np.nan)
    kept = rows[max(len(rows) - context, 0) :]
    found[len(found) - len(kept) :] = kept
    past = np.concatenate([window[:1], rows[: len(rows) - len(kept)]])
    known = ~np.isnan(past)
    last = len(past) - 1 - known[::-1].argmax(0)
    found[0] = np.take_along_axis(past, last[None], 0)[0]  # NaN where no value is known
    return found
