"""Base classes of results: layers by name, rows as a table, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from recurra._util.html import html_note, html_table
from recurra.errors import UsageError

if TYPE_CHECKING:
    import xarray


class JsonResult:
    """A result that can be written as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The result as JSON; infinity and NaN become `null`."""
        return json.dumps(_json_value(self.to_dict()), ensure_ascii=False)


class Reportable(JsonResult):
    """A result with a verdict (one sentence) and rows."""

    verdict: str

    def rows(self) -> list[dict[str, Any]]:
        """The measured values, one row each."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The verdict and the rows."""
        return {"verdict": self.verdict, "rows": self.rows()}

    def _repr_html_(self) -> str:
        return html_note(f"{type(self).__name__}: {self.verdict}") + html_table(self.rows())

    def __repr__(self) -> str:
        """The verdict and the rows as a table."""
        return "\n".join([f"{type(self).__name__}: {self.verdict}", *table(self.rows())])


@dataclass(frozen=True, repr=False)
class LayerResults:
    """Results of each recurrent layer of a model.

    Attributes:
        parts: for each recurrent layer of the model by name, an `xarray.Dataset`.
    """

    parts: dict[str, xarray.Dataset]

    kind: ClassVar[str] = "result"

    def part(self, name: str) -> Self:
        """The result of one recurrent layer of a model with several.

        Raises:
            UsageError: there is no such layer.
        """
        if name not in self.parts:
            raise UsageError(f"there is no layer {name!r} in this {self.kind}; there are {listed(self.parts)}")
        return replace(self, parts={name: self.parts[name]})

    def to_xarray(self) -> xarray.Dataset:
        """The arrays of the only recurrent layer.

        Raises:
            UsageError: there are several; choose one by `part`.
        """
        if len(self.parts) != 1:
            raise UsageError(f"the model has several recurrent layers, {listed(self.parts)}; choose one with .part()")
        return next(iter(self.parts.values()))


@dataclass(frozen=True, repr=False)
class Result(LayerResults, Reportable):
    """A measure of each recurrent layer of a model.

    Attributes:
        verdict: summary in one sentence.
    """

    verdict: str


def measure_layers(
    parts: Mapping[str, xarray.Dataset], measure: Callable[[xarray.Dataset], Any]
) -> list[tuple[str, int, str, Any]]:
    """Applies a function to the data of each layer and direction; returns part, layer, direction and value."""
    return [
        (part, layer, direction, measure(data.sel(layer=layer, direction=direction)))
        for part, data in parts.items()
        for layer in data["layer"].values.tolist()
        for direction in data["direction"].values.tolist()
    ]


def layer_rows(
    parts: Mapping[str, xarray.Dataset], measure: Callable[[xarray.Dataset], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Creates a row for each part, layer and direction, with a function that measures one of them."""
    return [
        {"part": part, "layer": layer, "direction": direction, **values}
        for part, layer, direction, values in measure_layers(parts, measure)
    ]


def listed(names: Iterable[Any]) -> str:
    """Quoted names for a message."""
    return ", ".join(repr(str(name)) for name in names)


def table(rows: Iterable[Mapping[str, Any]], most: int = 20) -> list[str]:
    """Formats rows as lines of a table, at most `most` rows.

    Example:
        >>> table([{"unit": 3, "half-life": 6.579}])
        ['unit  half-life', '3     6.579']
    """
    rows = list(rows)
    if not rows:
        return []
    cells = [list(rows[0]), *([_short(v) for v in row.values()] for row in rows[:most])]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return lines if len(rows) <= most else [*lines, f"… {len(rows) - most:,} more rows"]


def place(part: str, layer: int, direction: str, data: xarray.Dataset) -> str:
    """Returns a readable name of a layer and direction. Parts of the name that are unique in the model are left out."""
    words = [part] if part else []
    words += [f"layer {layer}"] if data.sizes["layer"] > 1 else []
    words += [direction] if data.sizes["direction"] > 1 else []
    return ", ".join(words)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
