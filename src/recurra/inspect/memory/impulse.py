"""Memory of each unit, measured by a perturbation of its state."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra.cells import State
from recurra.errors import UsageError
from recurra.inspect.core.direction_runs import DirectionRun, LayerRun, layer_runs, spread
from recurra.inspect.core.quantize import pack
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
from recurra.inspect.core.subject import subject_of
from recurra.ops import Stack, record
from recurra.tasks.subject import Subject

from .half_lives import UnitMemory, half_lives, verdict_of

if TYPE_CHECKING:
    import xarray

WORK = 5_000_000_000
"""Approximate limit of multiplications in a call of `impulse_response`."""

MIN_LAGS, MAX_LAGS = 20, 200
"""Default maximum number of steps that are measured after a perturbation."""

PERTURBATIONS = 8
"""Maximum number of perturbations for each unit."""

SIZE = 1e-3
"""Size of a perturbation. It is small, so that the response is nearly linear."""


def impulse_response(
    model: Any,
    x: Any = None,
    *,
    into: str | None = None,
    at: int | None = None,
    size: float = SIZE,
    lags: int | None = None,
    lengths: Any = None,
) -> UnitMemory:
    """Measures how long a perturbation of each unit lasts.

    The layer runs over the same inputs twice: with and without the perturbation. The response is the difference of the
    state of the perturbed unit, as a share of the perturbation: the mean absolute value over several steps and
    sequences. It includes feedback through other units and gates. Each layer and direction is measured separately, in
    double precision.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: sequences or tensor, as for `recurra.trace`.
        into: state to perturb, such as `"hidden"` or `"cell"`. With `"input"`, all features of one step are perturbed
            together in a random direction, and the response of a unit is a share of its largest response. None for the
            cell state if there is one, else the hidden state.
        at: step after which the state is perturbed, in the order of the direction; None for several steps.
        size: size of the perturbation.
        lags: number of steps that are measured after it; None for half of the steps, at most 200, fewer for many units.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.

    Raises:
        UsageError: the model has no recurrent layer, or an argument is out of its range.
        DataError: `x` cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import impulse_response
        >>> memory = impulse_response(torch.nn.GRU(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> memory.to_xarray()["response"].dims, memory.half_life.shape
        (('layer', 'direction', 'lag', 'unit'), (1, 1, 8))
    """
    if not 0 < size < math.inf:
        raise UsageError(f"size must be positive, got {size}")
    if lags is not None and lags < 1:
        raise UsageError(f"lags must be at least 1, got {lags}")
    parts, notes = {}, []
    runs = layer_runs(subject_of(model, x, lengths=lengths))
    if all(run.steps < 2 for run in runs):
        raise UsageError("every sequence has only one step: no step follows a perturbation")
    for run in runs:
        if run.steps < 2:  # one of several layers, such as the decoder of a forecaster
            continue
        states = run.stack.cell.states
        state = into or states[-1]
        if state not in (*states, "input"):
            raise UsageError(f"into is one of {', '.join((*states, 'input'))}, not {into!r}")
        most = min(run.steps - 1, _most_lags(run) if lags is None else lags)
        perturbations = _perturbations(run, state, most, at)
        found = [
            [_responses(direction_run, perturbations, state, size, most) for direction_run in layer]
            for layer in run.direction_runs
        ]
        parts[run.part] = _response_dataset(run, np.array(found), state == "input")
        notes.append(f"perturbations for each unit: {len(perturbations)}, steps after each: {most}")
    how = f"after a perturbation of the {into or 'state'}"
    return UnitMemory(parts, verdict_of(parts, how), "; ".join(dict.fromkeys(notes)))


def _perturbations(run: LayerRun, state: str, lags: int, at: int | None) -> list[tuple[int, int]]:
    """Returns pairs of a sequence and a step; a perturbation follows the step."""
    stack = run.stack
    longest = int(run.lengths.max())
    if at is not None:
        rows = [b for b, n in enumerate(run.lengths.tolist()) if 0 <= at < n - 1]
        if not rows:
            raise UsageError(f"at must be between 0 and {longest - 2}, got {at}: a step must follow it")
        pairs = [(b, at) for b in rows]
    else:
        # so early that as many steps as possible follow
        pairs = [
            (b, k)
            for b, n in enumerate(run.lengths.tolist())
            for k in spread(range(max(1, min(n - 1, n - lags))), max(1, PERTURBATIONS // len(run.rows)))
            if n > 1
        ]
    work = 2 * lags * _work(stack) // (stack.hidden_size if state == "input" else 1)
    return spread(pairs, int(min(PERTURBATIONS, max(1, WORK // work))))


def _most_lags(run: LayerRun) -> int:
    """Returns half of the steps, so that the perturbation can be in the other half; fewer if it would take too long."""
    return max(1, min(run.steps // 2, MAX_LAGS, max(MIN_LAGS, WORK // _work(run.stack))))


def _work(stack: Stack) -> int:
    """Number of multiplications of one step with perturbations of all units."""
    rows = stack.num_layers * stack.directions * (stack.hidden_size + 1)
    return rows * 2 * stack.hidden_size**2 * len(stack.cell.gates)


def _responses(
    run: DirectionRun, perturbations: list[tuple[int, int]], state: str, size: float, lags: int
) -> np.ndarray:
    """Returns the mean absolute response `(1 + lags, units)`; NaN at lags after the end of the sequences."""
    run = run.double()
    found = [_response(run, b, k, state, size, lags) for b, k in perturbations]
    stacked = torch.stack(found)
    count = stacked.isfinite().sum(0)
    return (stacked.nan_to_num(0).sum(0) / torch.where(count > 0, count, torch.nan)).cpu().numpy()


def _response(run: DirectionRun, row: int, step: int, state: str, size: float, lags: int) -> Tensor:
    """Returns the absolute response `(1 + lags, units)` to one perturbation after a step of one sequence."""
    names, end = run.cell.states, int(run.lengths[row])
    perturbed_input = state == "input"
    begin = step if perturbed_input else step + 1
    inputs = run.inputs[begin : min(end, step + 1 + lags), row]
    first = [s[begin, row] for s in run.states]
    watched = len(names) - 1 if perturbed_input else names.index(state)
    units = first[watched].shape[-1]
    copies = 2 if perturbed_input else units + 1  # the first without a perturbation
    values = inputs.expand(copies, -1, -1).clone()
    states: list[Tensor] = [s.expand(copies, -1).clone() for s in first]
    if perturbed_input:
        random = torch.Generator().manual_seed(0)
        direction = torch.randn(values.shape[-1], generator=random, dtype=torch.float64).to(values)
        values[1, 0] += size * direction / direction.norm()
    else:
        states[watched][1:].diagonal().add_(size)
    seen = _run(run, values, tuple(states))[watched]  # (copies, time, units)
    response = inputs.new_full((lags + 1, units), math.nan)
    if perturbed_input:
        found = (seen[1] - seen[0]).abs()
        response[: len(found)] = found
        return response
    moved = (seen[1:] - seen[:1]).diagonal(dim1=0, dim2=2).abs() / size  # (time, units)
    response[0], response[1 : 1 + len(moved)] = 1.0, moved
    return response


def _run(run: DirectionRun, values: Tensor, states: State) -> State:
    """Runs one direction; returns all states `(batch, time, size)`."""
    first = tuple(s.unsqueeze(0) for s in states)
    found = record(run.stack, values, list(run.weights.values()), None, first, names=run.cell.states)
    return tuple(found.arrays[name][0, 0] for name in run.cell.states)


def _response_dataset(run: LayerRun, response: np.ndarray, relative: bool) -> xarray.Dataset:
    """Builds a data set of responses `(layers, directions, lags, units)`, if `relative` as shares of each maximum."""
    import xarray

    first = np.zeros((*response.shape[:2], response.shape[3]), int)
    if relative:
        greatest = np.nanmax(response, axis=2, keepdims=True)
        response = response / np.where(greatest > 0, greatest, np.nan)
        first = np.nan_to_num(response, nan=-1.0).argmax(2)
    half = np.full(first.shape, np.nan)
    for layer, direction, unit in np.ndindex(*first.shape):
        after = response[layer, direction, first[layer, direction, unit] :, unit]
        half[layer, direction, unit] = half_life(after)
    axes = ("layer", "direction", "unit")
    found = {"half_life": (axes, half), "response": (("layer", "direction", "lag", "unit"), response)}
    return xarray.Dataset(found, run.coords | {"lag": range(response.shape[2])}, run.attributes)


def half_life(left: np.ndarray) -> float:
    """Computes the number of steps until a series that begins at 1 falls to ½, with exponential interpolation.

    Example:
        >>> round(half_life(0.9 ** np.arange(20)), 3), half_life(np.array([1.0, 0.9]))
        (6.579, inf)
    """
    left = left[np.isfinite(left)]
    if not len(left):
        return math.nan
    below = np.flatnonzero(left <= 0.5)
    if not len(below):
        return math.inf
    k = int(below[0])
    if left[k] == 0:
        return float(k - 1)
    before, after = math.log(left[k - 1]), math.log(left[k])
    return k - 1 + (before + math.log(2)) / (before - after)


def _compute_section(subject: Subject) -> tuple[UnitMemory | None, UnitMemory]:
    """Computes half-lives by perturbation, and by the gate that keeps the state if the cell has one."""
    return attempt(lambda: half_lives(subject)), impulse_response(subject)


def _payload(found: tuple[UnitMemory | None, UnitMemory], parts: PageLayers, row: int) -> dict[str, Any]:
    gate, perturbed = found
    shown: dict[str, Any] = {}
    for name, data in parts.items():
        units = data["unit"].values
        if name not in perturbed.parts or perturbed.parts[name].sizes["unit"] <= units.max():
            continue  # a projected state has its own units
        response = perturbed.parts[name]["response"].values
        lags = curve_points(response.shape[2])
        curves = np.moveaxis(np.nan_to_num(response[:, :, lags][..., units]), -1, -2)
        shown[name] = {
            "lags": lags,
            "response": pack(curves, exact=False),
            "measured": json_numbers(perturbed.parts[name]["half_life"].values[..., units]),
        }
        if gate is not None:
            shown[name]["gate"] = json_numbers(gate.parts[name]["half_life"].values[..., units])
            shown[name]["kept"] = json_numbers(gate.parts[name]["kept"].values[..., units])
    return {"verdicts": [memory.verdict for memory in (gate, perturbed) if memory is not None], "parts": shown}


register(
    Measure(
        impulse_response,
        Text("How long units remember", "유닛의 기억 길이"),
        Text(
            "Two values for each unit: the share that its gate keeps from step to step, and the remaining share of a "
            "small perturbation of its state.",
            "유닛마다 두 값을 보입니다. 하나는 게이트가 스텝마다 유지하는 비율이고, 다른 하나는 상태에 준 작은 섭동이 "
            "실제로 남아 있는 비율입니다.",
        ),
        Section("memory", _compute_section, _payload, Path(__file__).with_name("memory.js")),
    )
)
