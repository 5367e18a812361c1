"""How long a push lasts in each unit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra.cells import State
from recurra.errors import UsageError
from recurra.inspect.core.direction_runs import Run, Strand, runs_of, spread
from recurra.inspect.core.quantize import pack
from recurra.inspect.core.registry import Measure, Parts, Section, Text, attempt, curve_points, json_numbers, register
from recurra.inspect.core.subject import subject_of
from recurra.ops import Stack, record
from recurra.tasks.subject import Subject

from .half_lives import UnitMemory, attributes, coords, half_lives, verdict_of

if TYPE_CHECKING:
    import xarray

WORK = 5_000_000_000
"""Products of numbers that a call of `impulse_response` may take, about."""

MIN_LAGS, MAX_LAGS = 20, 200
"""Steps after the push that are looked at, unless more are asked for."""

PUSHES = 8
"""Greatest number of pushes for each unit."""

SIZE = 1e-3
"""Size of a push: small, so that it is the cell's own decay that is seen, and not its bounds."""


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
    """Pushes one unit after the other at one step, and measures how long it lasts.

    After the push the layer runs on over the same inputs, once with it and once without; the response is the difference
    of the pushed unit's own state, as a share of the push. That is taken at several steps and sequences, mean of the
    absolute values. It counts what comes back through other units and gates; each layer and direction is measured by
    itself, in double precision.

    Args:
        model: an estimator of Recurra, a module that holds recurrent layers, or such a layer.
        x: sequences or tensor, as for `recurra.trace`.
        into: what is pushed: a state such as `"hidden"` or `"cell"`; or `"input"`, where all features of one step are
            pushed together in a random direction and each unit's response is a share of its own greatest one. None for
            the cell state, where there is one, else the hidden state.
        at: step after which the push comes, in the order in which the direction takes them; None for several.
        size: of the push.
        lags: steps that are looked at after it; None for half of the steps, at most 200, fewer where units are many.
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
    runs = runs_of(subject_of(model, x, lengths=lengths))
    if all(run.steps < 2 for run in runs):
        raise UsageError("every sequence has one step: there is nothing after a push")
    for run in runs:
        if run.steps < 2:  # one of several layers, such as that which answers a forecaster's questions
            continue
        states = run.stack.cell.states
        state = into or states[-1]
        if state not in (*states, "input"):
            raise UsageError(f"into is one of {', '.join((*states, 'input'))}, not {into!r}")
        most = min(run.steps - 1, _most_lags(run) if lags is None else lags)
        pushes = _pushes(run, state, most, at)
        found = [[_responses(strand, pushes, state, size, most) for strand in layer] for layer in run.strands]
        parts[run.part] = _response_dataset(run, np.array(found), state == "input")
        notes.append(f"pushes for each unit: {len(pushes)}, steps after each: {most}")
    how = f"after a push into the {into or 'state'}"
    return UnitMemory(parts, verdict_of(parts, how), "; ".join(dict.fromkeys(notes)))


def _pushes(run: Run, state: str, lags: int, at: int | None) -> list[tuple[int, int]]:
    """Pairs of sequence and step after which a push comes."""
    stack = run.stack
    longest = int(run.lengths.max())
    if at is not None:
        rows = [b for b, n in enumerate(run.lengths.tolist()) if 0 <= at < n - 1]
        if not rows:
            raise UsageError(f"at must lie between 0 and {longest - 2}, got {at}: a step must follow it")
        pairs = [(b, at) for b in rows]
    else:
        # so early that as many steps as possible follow
        pairs = [
            (b, k)
            for b, n in enumerate(run.lengths.tolist())
            for k in spread(range(max(1, min(n - 1, n - lags))), max(1, PUSHES // len(run.rows)))
            if n > 1
        ]
    work = 2 * lags * _work(stack) // (stack.hidden_size if state == "input" else 1)
    return spread(pairs, int(min(PUSHES, max(1, WORK // work))))


def _most_lags(run: Run) -> int:
    """Half of the steps, so that a push may come anywhere in the other half; fewer where they would take long."""
    return max(1, min(run.steps // 2, MAX_LAGS, max(MIN_LAGS, WORK // _work(run.stack))))


def _work(stack: Stack) -> int:
    """Products of a step after pushes of all units."""
    rows = stack.num_layers * stack.directions * (stack.hidden_size + 1)
    return rows * 2 * stack.hidden_size**2 * len(stack.cell.gates)


def _responses(strand: Strand, pushes: list[tuple[int, int]], state: str, size: float, lags: int) -> np.ndarray:
    """Mean absolute response `(1 + lags, units)`; NaN at lags that no push was followed by."""
    strand = strand.double()
    found = [_response(strand, b, k, state, size, lags) for b, k in pushes]
    stacked = torch.stack(found)
    count = stacked.isfinite().sum(0)
    return (stacked.nan_to_num(0).sum(0) / torch.where(count > 0, count, torch.nan)).cpu().numpy()


def _response(strand: Strand, row: int, step: int, state: str, size: float, lags: int) -> Tensor:
    """Absolute response `(1 + lags, units)` to one push after a step of one sequence."""
    names, end = strand.cell.states, int(strand.lengths[row])
    pushed_input = state == "input"
    begin = step if pushed_input else step + 1
    inputs = strand.inputs[begin : min(end, step + 1 + lags), row]
    first = [s[begin, row] for s in strand.states]
    watched = len(names) - 1 if pushed_input else names.index(state)
    units = first[watched].shape[-1]
    copies = 2 if pushed_input else units + 1  # the first as it was
    values = inputs.expand(copies, -1, -1).clone()
    states: list[Tensor] = [s.expand(copies, -1).clone() for s in first]
    if pushed_input:
        random = torch.Generator().manual_seed(0)
        direction = torch.randn(values.shape[-1], generator=random, dtype=torch.float64).to(values)
        values[1, 0] += size * direction / direction.norm()
    else:
        states[watched][1:].diagonal().add_(size)
    seen = _run(strand, values, tuple(states))[watched]  # (copies, time, units)
    response = inputs.new_full((lags + 1, units), math.nan)
    if pushed_input:
        found = (seen[1] - seen[0]).abs()
        response[: len(found)] = found
        return response
    moved = (seen[1:] - seen[:1]).diagonal(dim1=0, dim2=2).abs() / size  # (time, units)
    response[0], response[1 : 1 + len(moved)] = 1.0, moved
    return response


def _run(strand: Strand, values: Tensor, states: State) -> State:
    """All states `(batch, time, size)` of a run of one strand."""
    first = tuple(s.unsqueeze(0) for s in states)
    found = record(strand.stack, values, list(strand.weights.values()), None, first, names=strand.cell.states)
    return tuple(found.arrays[name][0, 0] for name in strand.cell.states)


def _response_dataset(run: Run, response: np.ndarray, relative: bool) -> xarray.Dataset:
    """From responses `(layers, directions, lags, units)`; shares of each unit's greatest one where `relative`."""
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
    return xarray.Dataset(found, coords(run) | {"lag": range(response.shape[2])}, attributes(run))


def half_life(left: np.ndarray) -> float:
    """Steps until a series that begins at 1 falls to a half, between two steps as an exponential does.

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
    """Half-lives by the gate, where the cell has one that keeps its state, and by perturbation."""
    return attempt(lambda: half_lives(subject)), impulse_response(subject)


def _payload(found: tuple[UnitMemory | None, UnitMemory], parts: Parts, row: int) -> dict[str, Any]:
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
            "Two values for each unit: the share that its gate keeps from step to step, and the share of a small "
            "perturbation of its state that is left.",
            "유닛마다 두 값을 보입니다. 하나는 게이트가 스텝마다 유지하는 비율이고, 다른 하나는 상태에 준 작은 섭동이 "
            "실제로 남아 있는 비율입니다.",
        ),
        Section("memory", _compute_section, _payload, Path(__file__).with_name("memory.js")),
    )
)
