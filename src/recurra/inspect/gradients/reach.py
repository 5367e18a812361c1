"""Gradient reach: size of the gradient of an output at earlier states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import DataError, UsageError
from recurra.inspect.core.decay import LAG, Decay
from recurra.inspect.core.direction_runs import LayerRun, layer_runs
from recurra.inspect.core.layers import DIRECTIONS
from recurra.inspect.core.registry import (
    Measure,
    PageLayers,
    Section,
    Text,
    attempt,
    curve_points,
    json_numbers,
    register,
)
from recurra.inspect.core.results import Result, layer_rows, measure_layers, place
from recurra.inspect.core.subject import subject_of
from recurra.tasks.subject import Subject

from .backward import Sizes, along_cell, from_outputs, from_total, in_time, targets_in_own_order

if TYPE_CHECKING:
    import xarray

WORK = 3_000_000_000
"""Approximate limit of multiplications in a call. Above it, target steps and sequences are sampled."""

MIN_TARGETS, MAX_TARGETS, MIN_ROWS, MAX_ROWS = 8, 128, 4, 32
"""Minimum and maximum numbers of target steps and of sequences."""

PROBES = 4
"""Number of random unit vectors that the output of a target step is multiplied with."""

OF = ("each", "last", "score", "loss")


@dataclass(frozen=True, repr=False)
class Reach(Result):
    """Size of the gradient at all earlier steps.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `gradient` `(layer, direction, lag)`: ‖∂L_t/∂(states of step t - lag)‖, mean over target steps and
              sequences; NaN at lags that no sequence has. `hidden` and, for an LSTM, `cell` are the norms of the
              gradients at each state.
            - `count` `(layer, direction, lag)`: number of values in the mean.
            - `map` `(layer, direction, batch, target, time)`: the norm for every target step and earlier step, NaN if
              a step does not exist.

            Lags count steps in the order of the direction.
        verdict: one sentence about the layer and direction where the gradient changes most.
        of: meaning of L_t.
        via: `"all"` for all paths, `"cell"` for the path of the cell state only.
        sampled: description of what was sampled; empty if everything was used.

    Example:
        >>> import torch, recurra
        >>> reach = recurra.gradient_reach(torch.nn.LSTM(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> reach.to_xarray()["cell"].dims, reach.via
        (('layer', 'direction', 'lag'), 'all')
    """

    of: str
    via: str
    sampled: str

    @property
    def by_lag(self) -> xarray.DataArray:
        """`gradient` of the only recurrent layer: `(layer, direction, lag)`."""
        return self.to_xarray()["gradient"]

    @property
    def map(self) -> xarray.DataArray:
        """`map` of the only recurrent layer: `(layer, direction, batch, target, time)`."""
        return self.to_xarray()["map"]

    def decay(self, part: str | None = None, layer: int = -1, direction: str = "forward") -> Decay:
        """Returns the remaining share at each lag, and its rate of decay, for one layer and direction."""
        data = self.to_xarray() if part is None else self.part(part).to_xarray()
        return Decay.of(data["gradient"].isel(layer=layer).sel(direction=direction).values)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each part, layer and direction: the half-life, and the remaining shares at two lags."""

        def row(one: xarray.Dataset) -> dict[str, Any]:
            decay = Decay.of(one["gradient"].values)
            lag = min(LAG, decay.longest)
            return {
                "name": decay.name,
                "half_life": decay.half_life,
                "rate": decay.rate,
                "lag": lag,
                "left": float(decay.left[lag]),
                "longest": decay.longest,
                "left_at_longest": float(decay.left[decay.longest]),
            }

        return layer_rows(self.parts, row)


def gradient_reach(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    of: str | None = None,
    via: str = "all",
    whole_map: bool = False,
    targets: Sequence[int] | None = None,
    probes: int | None = PROBES,
    lengths: Any = None,
    score: Any = None,
    loss: Any = None,
) -> Reach:
    """Measures the size of the gradient of an output at earlier states, by lag.

    With `of="each"`, L_t is the output of the recurrent layer at step t, multiplied with a unit vector. The result is
    the root mean square over random unit vectors. For a linear RNN with the matrix W = ρ·Q, Q orthogonal, it is ρ^lag.
    Gradients go through the whole stack of the layer. With `"score"` and `"loss"` they go through the whole model, and
    lags count from the end of each sequence.

    The state of an LSTM consists of its hidden state and its cell state; `Reach.parts` also has each of them. The
    gradient is a product of Jacobians, which vanishes or explodes: Bengio, Simard and Frasconi, "Learning long-term
    dependencies with gradient descent is difficult", 1994; Pascanu, Mikolov and Bengio, "On the difficulty of training
    recurrent neural networks", 2013.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer, also of `torch.nn`.
        x: sequences or tensor, as for `recurra.trace`.
        y: for an estimator the targets, to measure the loss.
        of: `"each"` for the outputs of all steps (a sample of long sequences), `"last"` for the output of the last step
            of each direction, `"score"` for the score of the prediction, or `"loss"`. None for `"loss"` if `y` (or
            `loss`) is given, else for `"each"`.
        via: `"all"` for all paths; `"cell"` for the path on which the state is only multiplied with the gate that keeps
            it: ∏f for an LSTM, ∏z for a GRU, as root mean square over the units.
        whole_map: use every step as a target, without a limit of work.
        targets: target steps; None for a sample.
        probes: number of random unit vectors; None for one per unit, which makes the result exact.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        score: for a module: function from its output to one number per sequence.
        loss: for a module: function from its output to the losses of the sequences.

    Raises:
        UsageError: an argument is not supported, or the model has no recurrent layer or no such path.
        DataError: `x` or `y` cannot be used.

    Example:
        >>> import torch, recurra
        >>> reach = recurra.gradient_reach(torch.nn.GRU(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> reach.by_lag.dims, reach.by_lag.shape
        (('layer', 'direction', 'lag'), (1, 1, 30))
        >>> reach.verdict.split(":")[0]
        'vanishing'
    """
    if of is None:
        of = "each" if y is None and loss is None else "loss"
    _check(of, via, probes)
    subject = subject_of(model, x, y, lengths=lengths, score=score, loss=loss)
    if of in ("score", "loss"):
        parts = {found[0]: _of_total(*found) for found in from_total(subject, of)}
        return _reach(parts, of, via, "")
    parts, notes = {}, []
    for run in layer_runs(subject):
        data, note = _of_run(run, of, via, whole_map, targets, probes)
        parts[run.part] = data
        notes += [note] if note and note not in notes else []
    return _reach(parts, of, via, "; ".join(notes))


def _check(of: str, via: str, probes: int | None) -> None:
    if of not in OF:
        raise UsageError(f"of is one of {', '.join(OF)}, not {of!r}")
    if via not in ("all", "cell"):
        raise UsageError(f"via is 'all' or 'cell', not {via!r}")
    if via == "cell" and of in ("score", "loss"):
        raise UsageError("via='cell' needs of='each' or of='last': it is a path within the recurrent layer")
    if probes is not None and probes < 1:
        raise UsageError(f"probes must be at least 1 (or None for all), got {probes}")


def _of_run(
    run: LayerRun,
    of: str,
    via: str,
    whole_map: bool,
    targets: Sequence[int] | None,
    probes: int | None,
) -> tuple[xarray.Dataset, str]:
    """Returns the data set of one call of a recurrent layer, and a description of what was sampled."""
    stack = run.stack
    if via == "cell" and not stack.cell.keeps:
        raise UsageError(
            f"a {stack.cell.name} has no gate that keeps its state, so there is no such path; use via='all'"
        )
    probes = min(probes or stack.state_sizes[0], stack.state_sizes[0])
    all_rows, steps = len(run.rows), run.steps
    run, times = _plan(run, of, whole_map, targets, 1 if via == "cell" else probes)
    goal = targets_in_own_order(run, times)
    if via == "cell":
        gates = {
            (i, d): direction_run.kept
            for i, layer in enumerate(run.direction_runs)
            for d, direction_run in enumerate(layer)
        }
        norms = along_cell(run, {place: gate for place, gate in gates.items() if gate is not None}, goal)
        names = stack.cell.states[-1:]
    else:
        norms, names = from_outputs(run, goal, probes), stack.cell.states
    notes = []
    if times is not None and len(times) < steps:
        notes.append(f"{len(times)} of {steps:,} target steps")
    if len(run.rows) < all_rows:
        notes.append(f"{len(run.rows)} of {all_rows:,} sequences")
    if via == "all" and probes < stack.state_sizes[0]:
        notes.append(f"{probes} of {stack.state_sizes[0]} probes")
    return _labelled(run, norms, goal, times or [-1], names), ", ".join(notes)


def _plan(
    run: LayerRun, of: str, whole_map: bool, targets: Sequence[int] | None, probes: int
) -> tuple[LayerRun, list[int] | None]:
    """Selects as many sequences and target steps as the limit of work allows."""
    stack, steps = run.stack, run.steps
    size = stack.hidden_size
    products = size * len(stack.cell.gates) * (stack.output_size * (stack.num_layers - 1) + size * stack.num_layers)
    pairs = WORK // max(1, products * stack.directions * probes * steps // 2)
    if not whole_map and targets is None:
        run = run.some(min(max(pairs // MIN_TARGETS, MIN_ROWS), MAX_ROWS))
    if of == "last":
        return run, None
    if targets is not None:
        times = sorted({range(steps)[t] if -steps <= t < steps else -1 for t in targets})
        if not times or times[0] < 0:
            raise UsageError(f"targets must be steps between 0 and {steps - 1}, got {list(targets)[:10]}")
        return run, times
    most = min(steps, steps if whole_map else min(max(pairs // len(run.rows), MIN_TARGETS), MAX_TARGETS))
    return run, [steps * (i + 1) // most - 1 for i in range(most)]


def _labelled(run: LayerRun, norms: Sizes, goal: Tensor, times: list[int], names: Sequence[str]) -> xarray.Dataset:
    """Returns the data set with the means by lag and the map."""
    stack, grid = run.stack, [[None] * run.stack.directions for _ in range(run.stack.num_layers)]
    lags: list[Any] = [list(row) for row in grid]
    maps: list[Any] = [list(row) for row in grid]
    counts: list[Any] = [list(row) for row in grid]
    for (layer, direction), found in norms.items():
        direction_run, own = run.direction_runs[layer][direction], goal[direction].numpy()  # (targets, batch)
        whole = torch.cat([found.square().sum(0, keepdim=True).sqrt(), found])
        lag = own[:, None] - np.arange(run.steps)[:, None]  # (targets, time, batch)
        there = (own[:, None] >= 0) & (lag >= 0)
        lags[layer][direction], counts[layer][direction] = _by_lag(whole.cpu().numpy(), lag, there, run.steps)
        moved = in_time(whole[:1], direction_run)[0].permute(2, 0, 1).cpu().numpy()  # (batch, targets, time)
        beyond = np.arange(run.steps) >= run.lengths.numpy()[:, None, None]
        maps[layer][direction] = np.where(beyond | (own.T[:, :, None] < 0), np.nan, moved)
    return _dataset(stack.cell.name, run.part, np.array(lags), np.array(counts), np.array(maps), names, times, run.rows)


def _by_lag(values: np.ndarray, lag: np.ndarray, there: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means `(…, lags)` of the valid values `(…, *lag.shape)`, and their numbers `(lags,)`."""
    count = np.bincount(lag[there], minlength=lags)
    sums = [np.bincount(lag[there], weights=v[there], minlength=lags) for v in values]
    return np.array(sums) / np.where(count, count, np.nan), count


def _of_total(part: str, stack: Any, lengths: Tensor, norms: Tensor) -> xarray.Dataset:
    """Returns the data set of one call, from norms `(states, layers, directions, batch, time)`."""
    time, ends = np.arange(norms.shape[-1]), lengths.numpy()[:, None]
    there = time < ends  # (batch, time)
    if not there.any():
        raise DataError("there is no step to inspect: every sequence is empty")
    own = [np.where(there, ends - 1 - time, 0), np.where(there, time, 0)]  # lags from the end of each direction
    whole = torch.cat([norms.square().sum(0, keepdim=True).sqrt(), norms]).cpu().numpy()
    lags, counts = [], []
    for layer in range(stack.num_layers):
        found = [_by_lag(whole[:, layer, d], own[d], there, int(ends.max())) for d in range(stack.directions)]
        lags.append([means for means, _ in found])
        counts.append([count for _, count in found])
    maps = np.where(there, whole[0], np.nan)[..., None, :]  # (layers, directions, batch, 1, time)
    rows = list(range(len(lengths)))
    return _dataset(stack.cell.name, part, np.array(lags), np.array(counts), maps, stack.cell.states, [-1], rows)


def _dataset(
    cell: str,
    part: str,
    lags: np.ndarray,
    counts: np.ndarray,
    maps: np.ndarray,
    names: Sequence[str],
    times: list[int],
    rows: list[int],
) -> xarray.Dataset:
    """Builds the data set from lags `(layers, directions, 1 + states, lags)`, counts and a map."""
    import xarray

    lag = ("layer", "direction", "lag")
    arrays = {name: (lag, lags[:, :, i]) for i, name in enumerate(("gradient", *names))}
    coords = {
        "layer": range(lags.shape[0]),
        "direction": list(DIRECTIONS[: lags.shape[1]]),
        "lag": range(lags.shape[-1]),
        "batch": rows,
        "target": times,
        "time": range(maps.shape[-1]),
    }
    found = {**arrays, "count": (lag, counts), "map": (("layer", "direction", "batch", "target", "time"), maps)}
    return xarray.Dataset(found, coords, {"cell": cell, "part": part})


def _reach(parts: dict[str, xarray.Dataset], of: str, via: str, sampled: str) -> Reach:
    reach = Reach(parts, "", of, via, sampled)
    decays = measure_layers(parts, lambda one: Decay.of(one["gradient"].values))
    name, layer, direction, worst = max(decays, key=lambda found: _strayed(found[3]))
    what = {"loss": "the gradient of the loss", "score": "the gradient of the score"}.get(of, "the gradient")
    sentence = worst.sentence(what if via == "all" else "the part that the gate keeps")
    if len(decays) > 1:
        sentence = f"{place(name, layer, direction, parts[name])}: {sentence}"
    return replace(reach, verdict=sentence)


def _strayed(decay: Decay) -> float:
    """Absolute logarithm of the remaining share at the largest lag."""
    last = decay.left[decay.longest]
    return abs(math.log(last)) if last > 0 else math.inf


def _compute_section(subject: Subject) -> tuple[Reach, Reach | None]:
    """Computes the reach by all paths, and by the gate that keeps the state if the cell has one."""
    return gradient_reach(subject), attempt(lambda: gradient_reach(subject, via="cell"))


def _payload(found: tuple[Reach, Reach | None], parts: PageLayers, row: int) -> dict[str, Any]:
    reach, kept = found
    curves = {}
    for name in parts:
        if name in reach.parts:
            data = reach.parts[name]["gradient"].values
            lags = curve_points(data.shape[-1])
            curves[name] = {"lags": lags, "all": json_numbers(data[..., lags])}
            if kept is not None:
                curves[name]["kept"] = json_numbers(kept.parts[name]["gradient"].values[..., lags])
    return {"verdict": reach.verdict, "parts": curves}


register(
    Measure(
        gradient_reach,
        Text("How far back gradients reach", "기울기가 전달되는 거리"),
        Text(
            "Size of the gradient of an output with respect to earlier states. "
            "Where it falls quickly, the model cannot learn from earlier steps.",
            "출력을 앞선 상태로 미분한 기울기의 크기입니다. 빠르게 줄어들면 앞선 스텝에서 배우지 못합니다.",
        ),
        Section("reach", _compute_section, _payload, Path(__file__).with_name("reach.js")),
    )
)
