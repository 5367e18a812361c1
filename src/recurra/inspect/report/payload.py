"""Data of the report page: arrays within its size limit, the prediction, and lines of Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recurra._util.language import translated_to
from recurra._util.plotting import GATES_AND_STATES
from recurra.errors import UsageError
from recurra.inspect.core.layers import recurrent_layers
from recurra.inspect.core.quantize import cut, json_bytes, pack, packed_size
from recurra.tasks.subject import Subject

from .gate_inputs import gate_inputs
from .sections import SectionChoice, compute_sections
from .unit_order import unit_orders

if TYPE_CHECKING:
    import xarray

    from recurra.inspect.core.trace import Trace

MANY_STEPS, FEW_UNITS = 2000, 16
"""Minimum numbers of steps and units. If a page is too large, steps are left out first, then units."""
INPUT_NUMBERS = 60_000
"""Maximum number of input values; larger inputs are not shown."""
TITLE, ANSWER, TOKEN, REMARK = 400, 4000, 80, 2000
"""Maximum numbers of characters of texts on a page."""
NAMES_BYTES = 200_000
"""Maximum size of the names of features in bytes; larger ones are left out."""
PARTS = 6
"""Maximum number of calls of recurrent layers on a page."""


@dataclass(frozen=True)
class Code:
    """Expressions at the beginning of the Python code on the page.

    Attributes:
        model: an expression for the model.
        x: an expression for its inputs.
    """

    model: str = "model"
    x: str = "x"


def page_payload(
    found: Trace, row: int, budget: int, code: Code, title: str | None = None, choice: SectionChoice | None = None
) -> dict[str, Any]:
    """Builds the data of the page about one sequence, for JSON.

    Args:
        found: the trace.
        row: number of the sequence.
        budget: maximum size as JSON, in bytes.
        code: beginning of the lines of Python.
        title: title of the page; None for the text of the sequence, or a description of the inputs.
        choice: sections of measures; None for all.

    Raises:
        UsageError: there is no such row, or it has no steps.
    """
    choice = choice or SectionChoice()
    subject = found.subject
    parts = {name: one_row(data, row) for name, data in list(found.parts.items())[:PARTS]}
    notes = []
    if len(found.parts) > PARTS:
        notes.append({"say": "parts", "shown": PARTS, "of": len(found.parts)})
    inputs = _inputs(subject, row, parts)
    measured = compute_sections(subject, parts, choice)
    whole = measured.to_json(parts, row)
    remarks = [cut(note, REMARK) for note in subject.notes]
    about = {
        "version": version("recurra"),
        "title": cut(_title(subject, row, parts) if title is None else title, TITLE),
        "task": subject.title,
        "answer": cut(subject.answers[row], ANSWER) if subject.answers else None,
        "score": subject.score_name,
        "seconds": subject.seconds,
        "inputs": None if inputs is None else {"names": _names(subject), "values": pack(inputs)},
        "deviation": found.deviation,
        "remarks": remarks,
        "translations": _korean([*remarks, *(found["text"] for found in whole.values() if found.get("why") == "said")]),
        "code": _code(code, row),
        "sections": choice.headings(),
        "colours": GATES_AND_STATES,
    }
    # the title is on the page twice
    fixed = json_bytes([about, about["title"], whole]) + sum(map(_part_bytes, parts.values()))
    fitted = _fit(parts, budget - fixed)
    inputs_of_gates = gate_inputs(subject, row) if fitted.gate_inputs else {}
    return {
        **about,
        "parts": [_part(found, name, data, fitted, inputs_of_gates.get(name)) for name, data in fitted.parts.items()],
        "notes": notes + fitted.notes,
        "measured": measured.to_json(fitted.parts, row),
    }


def _title(subject: Subject, row: int, parts: dict[str, xarray.Dataset]) -> str:
    if subject.steps is None:
        count = next(iter(parts.values())).attrs["sequences"]
        return subject.title if count == 1 else f"{subject.title}, {row + 1} / {count}"
    shown = subject.steps[row][: TITLE + 1]  # some steps may be empty strings
    return "".join(shown) if all(len(t) == 1 for t in shown) else " ".join(shown)


def _korean(texts: Iterable[str]) -> dict[str, str]:
    """Returns the Korean translations of messages; without those that have none."""
    found = {text: translated_to("ko", text) for text in texts}
    return {text: korean for text, korean in found.items() if korean != text}


def _names(subject: Subject) -> list[str] | None:
    names = None if subject.features is None else [cut(name, TOKEN) for name in subject.features]
    return None if names is None or json_bytes(names) > NAMES_BYTES else names


def _code(code: Code, row: int) -> dict[str, Any]:
    """Returns the Python code, with `...` instead of an expression that is too long."""
    return {
        "model": code.model if len(code.model) <= REMARK else "...",
        "x": code.x if len(code.x) <= REMARK else "...  # " + cut(code.x.replace("\n", " "), TOKEN),
        "row": row,
    }


def _part_bytes(data: xarray.Dataset) -> int:
    """Maximum number of bytes of a part without arrays and tokens: numbers of units, and two orders of units."""
    return 4096 + 8 * data.sizes["unit"] * (1 + 2 * data.sizes["layer"] * data.sizes["direction"])


def one_row(data: xarray.Dataset, row: int) -> xarray.Dataset:
    """Selects one sequence without its padding."""
    if not 0 <= row < data.sizes["batch"]:
        raise UsageError(f"there is no row {row}: the trace has {data.sizes['batch']} sequences, counted from 0")
    one = data.isel(batch=row).assign_attrs(sequences=data.sizes["batch"])
    one = one.isel(time=np.flatnonzero(one["time"].values < int(one["length"])))
    if not one.sizes["time"]:
        raise UsageError(f"row {row} has no step to show")
    return one


@dataclass
class _Fitted:
    """Parts that fit on the page, and their precision."""

    parts: dict[str, xarray.Dataset]
    exact: bool
    gate_inputs: bool
    notes: list[dict[str, Any]]


def _fit(parts: dict[str, xarray.Dataset], budget: int) -> _Fitted:
    """Chooses the precision, and drops steps and units if the lower precision is still too large."""
    own = sum(array.size for data in parts.values() for array in data.data_vars.values())
    both = own + sum(
        2 * array.size + 2 * array.size // data.sizes["time"]  # two products of each step, two biases
        for data in parts.values()
        for n, array in data.data_vars.items()
        if n not in STATES
    )
    long = max(int(data["length"]) for data in parts.values()) > 4 * MANY_STEPS
    text = _TokenBytes(parts)
    for exact, with_inputs in ((True, True), (False, True), (False, False)):
        size = packed_size(both if with_inputs else own, exact) + text.until(None)
        if size <= budget and not (with_inputs and long):
            notes = [] if exact else [{"say": "precision"}]
            return _Fitted(parts, exact, with_inputs, notes)
    steps = max(data.sizes["time"] for data in parts.values())
    units = max(data.sizes["unit"] for data in parts.values())
    kept_steps, kept_units, size = steps, units, own
    while packed_size(size, False) + text.until(kept_steps) > budget and max(kept_steps, kept_units) > 1:
        if kept_steps > MANY_STEPS or (kept_units <= FEW_UNITS and kept_steps > 1):
            kept_steps //= 2
        else:
            kept_units = max(1, kept_units // 2)
        size = sum(
            array.size // data.sizes["time"] * min(kept_steps, data.sizes["time"]) // array.shape[-1]
            * min(kept_units, array.shape[-1])
            for data in parts.values() for array in data.data_vars.values()
        )  # fmt: skip
    notes: list[dict[str, Any]] = [{"say": "precision"}]
    if kept_steps < steps:
        notes.append({"say": "steps", "shown": kept_steps, "of": steps})
    if kept_units < units:
        notes.append({"say": "units", "shown": kept_units, "of": units})
    thin = {name: _liveliest(data.isel(time=slice(kept_steps)), kept_units) for name, data in parts.items()}
    return _Fitted(thin, False, False, notes)


STATES = ("hidden", "cell")


class _TokenBytes:
    """Bytes of the tokens on a page."""

    def __init__(self, parts: dict[str, xarray.Dataset]) -> None:
        self._totals = [
            np.cumsum([json_bytes(t) + 1 for t in tokens]) for tokens in map(_tokens, parts.values()) if tokens
        ]

    def until(self, steps: int | None) -> int:
        """Returns the number of bytes of the first steps, or of all steps."""
        return sum(int(totals[:steps][-1]) for totals in self._totals)


def _tokens(data: xarray.Dataset) -> list[str] | None:
    return [cut(token, TOKEN) for token in data["token"].values.tolist()] if "token" in data.coords else None


def _liveliest(data: xarray.Dataset, count: int) -> xarray.Dataset:
    """Selects the units whose values change most over the steps."""
    array = next((data[n] for n in ("cell", "hidden") if n in data and data[n].dims[-1] == "unit"), None)
    if array is None or data.sizes["unit"] <= count:
        return data
    change = array.values.std(-2).mean((0, 1))
    return data.isel(unit=np.sort(np.argsort(-change)[:count]))


def _part(
    found: Trace, name: str, data: xarray.Dataset, fitted: _Fitted, inputs_of_gates: dict[str, Any] | None
) -> dict[str, Any]:
    """Returns the data of one recurrent layer; arrays are `(layer, direction, unit, time)`."""
    layer = recurrent_layers(found.subject.network).get(name.split(" (call ")[0])
    arrays = {}
    for array_name, array in data.data_vars.items():
        values = np.moveaxis(array.values, -1, -2)
        if not fitted.exact:
            values = np.nan_to_num(values)
        arrays[str(array_name)] = pack(values, fitted.exact)
    if inputs_of_gates is not None:
        time = data["time"].values
        units = data["unit"].values
        for gate, terms in inputs_of_gates.items():
            for term, values in terms.items() if gate in data else ():
                steps = time if values.shape[2] > 1 else [0]  # a bias has one step
                chosen = values.cpu().numpy()[:, :, steps][..., units]
                arrays[f"{term} of {gate}"] = pack(np.moveaxis(chosen, -1, -2), fitted.exact)
    time = data["time"].values
    return {
        "name": name,
        "cell": data.attrs["cell"],
        "relu": getattr(layer, "mode", getattr(layer, "nonlinearity", "")) in ("RNN_RELU", "relu"),
        "layers": data.sizes["layer"],
        "directions": data["direction"].values.tolist(),
        "units": data["unit"].values.tolist(),
        "first": int(time[0]),
        "stride": int(time[1] - time[0]) if len(time) > 1 else 1,
        "steps": len(time),
        "of": int(data["length"]),
        "tokens": _tokens(data),
        "arrays": arrays,
        "orders": unit_orders(data),
    }


def numbers_read(subject: Subject, row: int) -> np.ndarray | None:
    """Returns the numbers that the network reads of a sequence, `(time, features)`; None if it reads no numbers."""
    values = getattr(subject.batch, "values", None)
    if not isinstance(values, torch.Tensor) or values.dim() != 3 or not values.is_floating_point():
        return None
    first_batch = getattr(subject.network, "batch_first", True)
    one = (values[row] if first_batch else values[:, row]).detach().cpu().float().numpy()
    lengths = getattr(subject.batch, "lengths", None)
    return one[: len(one) if lengths is None else int(lengths[row])]


def _inputs(subject: Subject, row: int, parts: dict[str, xarray.Dataset]) -> np.ndarray | None:
    """Returns the same numbers for the page, `(features, time)`; None if there are too many."""
    one = numbers_read(subject, row)
    part = next(iter(parts.values()))
    if one is not None and len(one) == int(part["length"]):
        one = one[part["time"].values]
    elif part.sizes["time"] != int(part["length"]):
        return None
    return None if one is None or one.size > INPUT_NUMBERS else one.T
