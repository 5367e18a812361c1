"""Figures of the inspection measures for papers, by matplotlib: the same figures as on the page of `write_report`.

Each `plot_…` returns a `matplotlib.figure.Figure`, which a notebook shows; its `savefig` writes PNG, SVG or PDF by the
suffix of the file.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._util.plotting import GATES_AND_STATES
from recurra.errors import UsageError

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from .attribution.attribute import Attribution
    from .core.trace import Trace
    from .gradients.reach import Reach
    from .memory.half_lives import UnitMemory

COLOURS = GATES_AND_STATES["light"]
SHARES = ("forget", "input", "output", "reset", "update", "decay")
STATES = ("cell", "hidden")
MANY_TOKENS = 60
"""Labels of more steps than this would overlap."""


def plot_raster(
    trace: Trace,
    name: str,
    *,
    row: int = 0,
    layer: int = 0,
    direction: str = "forward",
    part: str | None = None,
) -> Figure:
    """Plots a gate or state as a heat map, with a row for each unit and a column for each step.

    Args:
        trace: result of `recurra.trace`.
        name: of the gate or state.
        row: number of the sequence.
        layer: layer of the stack.
        direction: `"forward"` or `"backward"`.
        part: name of the recurrent layer in a model with several.

    Raises:
        UsageError: the trace does not contain it.

    Example:
        >>> import torch, recurra
        >>> trace = recurra.trace(torch.nn.LSTM(5, 8, batch_first=True), torch.randn(1, 10, 5))
        >>> figure = plot_raster(trace, "forget")
        >>> figure.axes[0].images[0].get_array().shape
        (8, 10)
    """
    data = _one_direction(trace, row, layer, direction, part)
    if name not in data:
        raise UsageError(f"there is no {name!r} in this trace; there are {', '.join(map(str, data.data_vars))}")
    values = data[name].values.T
    figure, axes = _figure(7.0, 3.6)
    if name in SHARES:
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    else:
        most = float(np.nanmax(np.abs(values), initial=1e-9))
        image = axes.imshow(values, cmap="PuOr", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axes, pad=0.02).outline.set_visible(False)
    axes.set_ylabel("unit")
    units = data["unit"].values if data[name].dims[-1] == "unit" else np.arange(len(values))
    ticks = np.unique(np.linspace(0, len(units) - 1, 6).round().astype(int))
    axes.set_yticks(ticks, [str(units[i]) for i in ticks])
    axes.set_title(_titled(name), loc="left")
    _name_steps(axes, data)
    return figure


def plot_unit(
    trace: Trace,
    unit: int,
    *,
    row: int = 0,
    layer: int = 0,
    direction: str = "forward",
    part: str | None = None,
) -> Figure:
    """Plots the states and the gates of a unit over the steps.

    Args:
        trace: result of `recurra.trace`.
        unit: its number.
        row: number of the sequence.
        layer: layer of the stack.
        direction: `"forward"` or `"backward"`.
        part: name of the recurrent layer in a model with several.

    Raises:
        UsageError: the trace does not contain it.
    """
    data = _one_direction(trace, row, layer, direction, part)
    if unit not in data["unit"].values:
        raise UsageError(f"there is no unit {unit} in this trace")
    one = data.sel(unit=unit)
    names = [str(name) for name in one.data_vars if one[name].ndim == 1]
    states, gates = [n for n in STATES if n in names], [n for n in names if n not in STATES]
    rows = [3.0] * bool(states) + [1.0] * len(gates)
    figure, all_axes = _figure(7.0, 0.7 + 0.62 * sum(rows), len(rows), rows)
    axes, steps = list(np.atleast_1d(all_axes)), np.arange(one.sizes["time"])
    if states:
        for name in states:
            dash = "--" if name == "hidden" and len(states) > 1 else "-"
            axes[0].plot(steps, one[name].values, dash, color=COLOURS[name], linewidth=1.8, label=f"{name} state")
        axes[0].axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    for at, name in zip(axes[bool(states) :], gates, strict=True):
        at.bar(steps, one[name].values, width=0.9, color=COLOURS.get(name, "0.4"))
        most = float(np.nanmax(np.abs(one[name].values), initial=1.0))  # a candidate without tanh may be any number
        at.set_ylim((0, 1) if name in SHARES else (-most, most))
        at.set_yticks([0, 1] if name in SHARES else [-most, most])
        at.yaxis.set_major_formatter("{x:.3g}")
        at.set_ylabel(name, rotation=0, ha="right", va="center")
    for at in axes[:-1]:
        at.tick_params(labelbottom=False)
    for at in axes:
        at.set_xlim(-0.5, len(steps) - 0.5)
    _name_steps(axes[-1], data)
    return figure


def plot_input(trace: Trace, *, row: int = 0) -> Figure:
    """Plots the numbers that the network reads at each step, with one line per feature.

    Raises:
        UsageError: the model does not read numbers.
    """
    from .report.payload import numbers_read

    values = numbers_read(trace.subject, row)
    if values is None:
        raise UsageError("the model does not read numbers")
    figure, axes = _figure(7.0, 2.6)
    names = trace.subject.features or [str(i) for i in range(values.shape[1])]
    for i, (name, course) in enumerate(zip(names, values.T, strict=False)):
        axes.plot(course, color=_viridis(i / max(1, values.shape[1] - 1)), linewidth=1.3, label=name)
    if 1 < values.shape[1] <= 12:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    axes.set_xlabel("step")
    return figure


def plot_reach(reach: Reach, kept: Reach | None = None, *, part: str | None = None) -> Figure:
    """Plots the size of the gradient of an output at earlier states, by lag.

    Args:
        reach: result of `recurra.gradient_reach`.
        kept: result with `via="cell"`, drawn as a dashed line.
        part: name of the recurrent layer in a model with several.
    """
    figure, axes = _figure(5.4, 3.4)
    for found, dash, colour, words in ((reach, "-", "hidden", "all paths"), (kept, "--", "forget", "gate alone")):
        if found is None:
            continue
        data = _of_part(found.parts, part)["gradient"]
        for layer in data["layer"].values:
            for direction in data["direction"].values:
                curve = data.sel(layer=layer, direction=direction).values
                place = [words] + [f"layer {layer}"] * (data.sizes["layer"] > 1)
                place += [str(direction)] * (data.sizes["direction"] > 1)
                alpha = 0.4 + 0.6 * (layer + 1) / data.sizes["layer"]
                style = ":" if direction == "backward" else dash
                axes.plot(curve, style, color=COLOURS[colour], alpha=alpha, label=", ".join(place))
    axes.set_yscale("log")
    axes.set_xlabel("steps back")
    axes.set_ylabel("size of the gradient")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def plot_half_lives(*memories: UnitMemory, part: str | None = None) -> Figure:
    """Plots the half-lives of all units, sorted by the first measure. Infinite ones are at the top.

    Args:
        *memories: results of `half_lives` and `impulse_response`, one or both.
        part: name of the recurrent layer in a model with several.
    """
    if not memories:
        raise UsageError("give the result of half_lives or impulse_response")
    figure, axes = _figure(5.4, 3.4)
    found = [_of_part(m.parts, part) for m in memories]
    courses = [data["half_life"].values.ravel() for data in found]
    order = np.argsort(-np.nan_to_num(courses[0], nan=-1.0, posinf=math.inf), kind="stable")
    finite = np.concatenate([c[np.isfinite(c)] for c in courses])
    top = 2 * float(finite.max(initial=1.0))
    for data, course in zip(found, courses, strict=True):
        by_gate = "kept" in data
        words, colour = ("by the gate", "forget") if by_gate else ("by a perturbation", "hidden")
        values = np.where(np.isinf(course), top, course)[order]
        axes.plot(values, "o", markersize=3.5, color=COLOURS[colour], label=words)
    if any(np.isinf(c).any() for c in courses):
        axes.axhline(top, color="0.8", linewidth=0.8, zorder=0)
        axes.annotate("longer than measured", (0, top), fontsize=7, va="bottom", color="0.4")
    axes.set_yscale("log")
    _plain_numbers(axes)
    axes.set_xlabel("units, longest memory first")
    axes.set_ylabel("steps until half is left")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def plot_response(
    memory: UnitMemory, unit: int, *, layer: int = 0, direction: str = "forward", part: str | None = None
) -> Figure:
    """Plots the remaining share of a perturbation of a unit after each step.

    Args:
        memory: result of `impulse_response`.
        unit: its number.
        layer: layer of the stack.
        direction: `"forward"` or `"backward"`.
        part: name of the recurrent layer in a model with several.

    Raises:
        UsageError: there is no such unit, or the result is one of `half_lives`.
    """
    data = _of_part(memory.parts, part)
    if "response" not in data:
        raise UsageError("this memory was not measured by perturbations; give the result of impulse_response")
    if not 0 <= unit < data.sizes["unit"]:
        raise UsageError(f"there is no unit {unit}; there are {data.sizes['unit']}, counted from 0")
    figure, axes = _figure(5.4, 3.0)
    response = data["response"].sel(layer=layer, direction=direction).isel(unit=unit)
    axes.plot(response.values, color=COLOURS["hidden"])
    axes.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("steps after the perturbation")
    axes.set_ylabel("share left")
    axes.set_title(f"unit {unit}", loc="left")
    return figure


def plot_attribution(attribution: Attribution, *, row: int = 0) -> Figure:
    """Plots how much each step supports the prediction (up) or opposes it (down).

    Args:
        attribution: result of `attribute`.
        row: number of the sequence.
    """
    data = attribution.values.isel(batch=row)
    data = data.isel(time=slice(int(data["length"])))
    figure, axes = _figure(7.0, 2.8)
    values = data.values
    axes.bar(np.arange(len(values)), values, color=[COLOURS["hidden" if v < 0 else "forget"] for v in values])
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_ylabel(attribution.values.attrs["score"])
    axes.set_xlim(-0.5, len(values) - 0.5)
    _name_steps(axes, data)
    return figure


def _figure(width: float, height: float, rows: int = 1, heights: list[float] | None = None) -> tuple[Figure, Any]:
    from recurra._util.picture import Picture

    figure = Picture(figsize=(width, height), layout="constrained", dpi=150)
    axes = figure.subplots(rows, sharex=True, gridspec_kw={"height_ratios": heights} if heights else None)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _one_direction(trace: Trace, row: int, layer: int, direction: str, part: str | None) -> xarray.Dataset:
    """Selects one layer and direction of one sequence, without padding: arrays `(time, unit)`."""
    from .report.payload import one_row

    data = one_row(_of_part(trace.parts, part), row)
    for axis, value in (("layer", layer), ("direction", direction)):
        if value not in data[axis].values:
            raise UsageError(f"there is no {axis} {value!r}; there are {data[axis].values.tolist()}")
    return data.sel(layer=layer, direction=direction)


def _of_part(parts: dict[str, xarray.Dataset], part: str | None) -> xarray.Dataset:
    if part is None and len(parts) > 1:
        raise UsageError(f"the model has several recurrent layers; name one: part={next(iter(parts))!r}")
    name = next(iter(parts)) if part is None else part
    if name not in parts:
        raise UsageError(f"there is no layer {name!r}; there are {', '.join(map(repr, parts))}")
    return parts[name]


def _name_steps(axes: Any, data: Any) -> None:
    """Labels the steps with their tokens if there are any and they fit, else with numbers."""
    import matplotlib.ticker

    from recurra._util.plotting import font_for

    if "token" not in data.coords or data.sizes["time"] > MANY_TOKENS:
        first = int(data["time"].values[0])
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x + first:g}"))
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.set_xlabel("step")
        return
    tokens = [str(t) for t in data["token"].values]
    font, _ = font_for("".join(tokens))
    shown: dict[str, Any] = {} if font is None else {"fontproperties": font}
    turned = {} if len(tokens) <= 12 else {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    # matplotlib would read text between two dollar signs as a formula
    axes.set_xticks(range(len(tokens)), [t.replace("$", r"\$") for t in tokens], **turned, **shown)


def _plain_numbers(axes: Any) -> None:
    """Labels a logarithmic axis with 0.5, 1, 2 instead of powers of ten."""
    import matplotlib.ticker

    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def _titled(name: str) -> str:
    return f"{name} state" if name in STATES else name if name == "candidate" else f"{name} gate"


def _viridis(share: float) -> Any:
    import matplotlib

    return matplotlib.colormaps["viridis"](0.9 * share)
