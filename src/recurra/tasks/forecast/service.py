"""Service of forecasters: histories as columns, as rows, or as lists of numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from recurra._util.messages import hint, listed
from recurra.data.columns.panel import ISO, Columns, Panel, Series, panel_of_arrays
from recurra.tasks.serving.service import InputError, Options, Path, Service
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.serving.values import NumberError, described, number_rows
from recurra.tasks.subject import Subject

from .coerce import accept
from .result import Forecast, rows_of
from .stepper import ForecastStepper

MAX_HORIZON = 10_000
EXAMPLE_STEPS = 12
LONG = range(-(2**63), 2**63)

Place = Callable[[int, str], Path]
"""Returns the position in the request of a cell, from its row and the name of its column."""


class ForecastOptions(Options, frozen=True, kw_only=True):
    """Options of a forecast.

    Attributes:
        horizon: steps to forecast; None for the number that the model was trained with.
    """

    horizon: Annotated[int, msgspec.Meta(ge=1, le=MAX_HORIZON)] | None = None


class ForecastService(Service):
    """Service of a forecaster. An answer has a row for each step of each series under `forecast`."""

    Options = ForecastOptions

    @property
    def columns(self) -> Columns:
        """The columns of the training data."""
        return self.estimator.preparation_.columns

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return (*self.columns.target, *self.columns.features, *self.columns.known)

    @property
    def plain(self) -> bool:
        """True if a history is targets only, without times, so that it may be a list of numbers."""
        return not (self.columns.times or self.columns.features or self.columns.known)

    @property
    def needed(self) -> list[str]:
        """Names of the columns that a history must have."""
        names = self.columns.names
        # models of lists of arrays number their series
        return names if self.columns.times else [name for name in names if name != self.columns.id]

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        number, most = {"type": ["number", "null"]}, {"maxItems": self.max_steps}
        cells = {
            name: number if name in self.numbers else {"type": ["string", "number"]} for name in self.columns.names
        }
        columns = {name: {"type": "array", "items": cell, **most} for name, cell in cells.items()}
        closed = {"type": "object", "additionalProperties": False, "required": self.needed}
        row = {**closed, "properties": cells, "required": [n for n in self.needed if n not in self.numbers]}
        forms = [{**closed, "properties": columns}, {"type": "array", "items": row, "minItems": 1, **most}]
        if self.plain:
            size = len(self.columns.target)
            step = {"type": "array", "items": number, "minItems": size, "maxItems": size}
            forms.append({"type": "array", "items": step, "minItems": 1, **most})
            if size == 1:
                forms.append({"type": "array", "items": number, "minItems": 1, **most})
        return {"anyOf": forms}

    def example(self) -> Any:
        """Returns a short history, see `Service.example`."""
        learnt, columns = self.estimator.preparation_, self.columns
        mean = np.mean([scale[0] for scale in learnt.scales.values()], axis=0) if learnt.scales else [0.0]
        targets = [float(f"{value:.4g}") for value in np.broadcast_to(mean, len(columns.target)).tolist()]
        if self.plain:
            return targets * EXAMPLE_STEPS if len(targets) == 1 else [targets] * EXAMPLE_STEPS
        ahead = self.estimator.horizon if columns.known else 0
        steps = EXAMPLE_STEPS + ahead
        found: dict[str, Any] = dict(zip(columns.times, self._times(steps), strict=True))
        if columns.id and columns.times:
            found[columns.id] = [next(iter(learnt.scales), "1")] * steps
        side = [float(f"{value:.4g}") for value in learnt.side[0].tolist()]
        values = dict(zip(self.numbers, [*targets, *side], strict=True))
        for name, value in values.items():
            found[name] = [value] * (steps if name in columns.known else EXAMPLE_STEPS)
            found[name] += [None] * (steps - len(found[name]))
        return found

    def _times(self, steps: int) -> tuple[list[Any], ...]:
        """Returns times in the spelling of the training data, for each column of times."""
        learnt = self.estimator.preparation_
        if not self.columns.times:
            return ()
        day = "2024-01-31" if learnt.frequency.end else "2024-01-01"
        origin = np.datetime64(day, "us") if learnt.frequency.dated else np.int64(0)
        empty = np.zeros((0, 0))
        panel = Panel([], self.columns, learnt.frequency, learnt.spelling or ISO)
        return panel.parts(Series(None, origin, empty, empty, empty), np.arange(steps))

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        columns, model = self.columns, self.estimator
        return {
            "time": list(columns.times),
            "id": columns.id,
            "targets": list(columns.target),
            "features": list(columns.features),
            "known": list(columns.known),
            "step": str(model.preparation_.frequency),
            "horizon": model.horizon,
            "context": model.context_,
            "quantiles": [float(level) for level in model.quantiles or ()],
        }

    def item(self, value: Any, path: Path) -> Panel:
        """See `Service.item`."""
        if isinstance(value, dict):
            panel = self._of_columns(value, path)
        elif not isinstance(value, list):
            raise InputError(f"a history is an object of columns or a list of rows, not {described(value)}", path)
        elif len(value) > self.max_steps:
            raise self._too_long(len(value), path)
        elif value and isinstance(value[0], dict):
            panel = self._of_rows(value, path)
        elif self.plain:
            panel = self._of_numbers(value, path)
        else:
            names = ", ".join(self.needed)
            raise InputError(f"a history is an object of columns, or a list of objects, with {names}", path)
        for series in panel.series:
            if not len(series):
                of = "" if series.id is None else f" of the series {series.id}"
                raise InputError(f"the history{of} has no value of {', '.join(self.columns.target)}", path)
            # refuses values far outside the training data
            self.estimator.preparation_.frame(panel, series, len(series), len(series))
        return panel

    def _of_numbers(self, value: list[Any], path: Path) -> Panel:
        try:
            return panel_of_arrays(number_rows(value, len(self.columns.target)))
        except NumberError as error:
            raise InputError(str(error), (*path, *error.at)) from None

    def _of_columns(self, value: dict[str, Any], path: Path) -> Panel:
        """Converts columns of equal lengths."""
        self._check_names(value, self.needed, path)
        for name, cells in value.items():
            if not isinstance(cells, list):
                raise InputError(f"a column is a list of values, not {described(cells)}", (*path, name))
        first = next(iter(value))
        for name, cells in value.items():
            if len(cells) != len(value[first]):
                raise InputError(
                    f"the column {name} has {len(cells):,} values, but {first} has {len(value[first]):,}", (*path, name)
                )
        if len(value[first]) > self.max_steps:
            raise self._too_long(len(value[first]), path)
        return self._panel(value, path, lambda row, name: (*path, name, row))

    def _of_rows(self, value: list[Any], path: Path) -> Panel:
        """Converts rows. A number that a row lacks is missing."""
        needed = [name for name in self.needed if name not in self.numbers]
        for row, cells in enumerate(value):
            if not isinstance(cells, dict):
                raise InputError(f"a row is an object, like the first one, not {described(cells)}", (*path, row))
            self._check_names(cells, needed, (*path, row))
        names = [name for name in self.columns.names if name in self.needed or any(name in cells for cells in value)]
        columns = {name: [cells.get(name) for cells in value] for name in names}
        return self._panel(columns, path, lambda row, name: (*path, row, name))

    def _check_names(self, given: dict[str, Any], needed: Sequence[str], path: Path) -> None:
        known = self.columns.names
        for name in given:
            if name not in known:
                raise InputError(
                    f"there is no column {name!r:.80}{hint(name[:80], known)}; the columns are {listed(known, 20)}",
                    path,
                )
        missing = [name for name in needed if name not in given]
        if missing:
            raise InputError(f"the column {missing[0]} is missing; the columns are {listed(known, 20)}", path)

    def _panel(self, columns: dict[str, list[Any]], path: Path, place: Place) -> Panel:
        table = pa.table({name: self._column(name, cells, place) for name, cells in columns.items()})
        if not table.num_rows:
            raise InputError("the history has no rows", path)
        learnt = dataclasses.replace(self.estimator.preparation_, categories={})  # the columns of 0 and 1 are given
        if self.columns.id and self.columns.id not in columns:
            learnt = dataclasses.replace(learnt, columns=dataclasses.replace(self.columns, id=None))
        return accept(table, None, None, learnt, fill_gaps=self.estimator.fill_gaps)

    def _column(self, name: str, cells: list[Any], place: Place) -> pa.Array:
        if name in self.numbers:
            try:
                return pa.array(number_rows(cells, 1)[:, 0], from_pandas=True)
            except NumberError as error:
                raise InputError(str(error), place(error.at[0], name)) from None
        kind = str if any(isinstance(cell, str) for cell in cells) else int
        for row, cell in enumerate(cells):
            if type(cell) is not kind or (kind is int and cell not in LONG):
                what = "a text" if kind is str else "a whole number of 64 bits, or a text"
                raise InputError(f"a value of {name} is {what}, not {described(cell)}", place(row, name))
        try:
            return pa.array(cells, pa.string() if kind is str else pa.int64())
        except UnicodeEncodeError:
            raise InputError(f"a text of {name} is not valid Unicode", place(0, name)[:-1]) from None

    def subject(self, item: Panel) -> Subject:
        """See `Service.subject`."""
        return self.estimator.subject(item)

    def steps(self, item: Panel) -> int:
        """Returns the number of steps of all series, with those that only have known columns."""
        return sum(max(len(series), len(series.known)) for series in item.series)

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        return [self.answer(found) for found in self.estimator.forecast_panels(items, options.horizon)]

    def answer(self, found: Sequence[Forecast]) -> dict[str, Any]:
        """Returns the answer with the forecasts of all series of one history."""
        return {"forecast": [row for one in found for row in rows_of(one, self.columns)]}

    def rows(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns a row for each step, see `Service.rows`."""
        return answer["forecast"]

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        return ForecastStepper(self.estimator, self)
