"""Fixed points of a layer with constant input, and their stability."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.direction_runs import DirectionRun, LayerRun, jacobians, layer_runs
from recurra.inspect.core.layers import DIRECTIONS
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Reportable
from recurra.inspect.core.subject import subject_of

if TYPE_CHECKING:
    import xarray

SPEED = 1e-6
"""A state is a fixed point if a step changes it by less than this (root mean square)."""

SAME = 1e-3
"""Points closer than this (root mean square) are the same."""

STARTS = 24
"""Number of initial states of the search."""

ROUNDS = 60
"""Maximum number of steps of the search."""


@dataclass(frozen=True, repr=False)
class FixedPoints(Reportable):
    """Fixed points of one layer in one direction, with constant input.

    Attributes:
        data: a data set with the points, those reached from the most starts first:

            - states such as `hidden` and `cell` `(point, unit)`;
            - `speed` `(point,)`: change of the state in a step, root mean square;
            - `eigenvalues` `(point, index)` of the Jacobian at the point, complex, largest absolute value first;
            - `stable` `(point,)`: True if all eigenvalues are within the unit circle;
            - `starts` `(point,)`: number of starts that reached the point.
        found: number of starts that reached a fixed point, and number of all starts.
        verdict: summary in one sentence.

    Example:
        >>> import torch
        >>> from recurra.inspect import fixed_points
        >>> layer = torch.nn.RNN(1, 1, batch_first=True, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight_hh_l0, 0.5)
        >>> found = fixed_points(layer, torch.randn(2, 30, 1), input="zero", starts=8)
        >>> found.found, found.data["stable"].values.tolist()
        ((8, 8), [True])
    """

    data: xarray.Dataset
    found: tuple[int, int]
    verdict: str

    def to_xarray(self) -> xarray.Dataset:
        """The data set."""
        return self.data

    def rows(self) -> list[dict[str, Any]]:
        """A row for each point: its kind, its slowest direction and the number of starts that reached it."""
        rows = []
        for i in range(self.data.sizes["point"]):
            one = self.data.isel(point=i)
            sizes = np.abs(one["eigenvalues"].values)
            outside = int((sizes > 1).sum())
            kind = "stable" if not outside else "unstable" if outside == len(sizes) else "saddle"
            rows.append(
                {
                    "point": i,
                    "kind": kind,
                    "directions_that_grow": outside,
                    "largest_eigenvalue": float(sizes[0]),
                    "half_life": math.log(2) / -math.log(sizes[0]) if 0 < sizes[0] < 1 else math.inf,
                    "speed": float(one["speed"]),
                    "starts": int(one["starts"]),
                }
            )
        return rows


def fixed_points(
    model: Any,
    x: Any = None,
    *,
    part: str | None = None,
    layer: int = 0,
    direction: str = "forward",
    input: str | Tensor | np.ndarray = "mean",
    starts: int = STARTS,
    lengths: Any = None,
) -> FixedPoints:
    """Finds states that a step does not change, with constant input.

    The search starts from states that the layer visits on `x`, and minimises the change of the state in one step
    (Sussillo and Barak, "Opening the black box", 2013). It uses the Levenberg–Marquardt method with the Jacobian of the
    step, in double precision. The eigenvalues of the Jacobian at a point determine whether it is stable.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: sequences or tensor, as for `recurra.trace`.
        part: name of the recurrent layer in a model with several.
        layer: number of the layer, from 0 at the input; each layer is searched separately.
        direction: `"forward"` or `"backward"`.
        input: input of each step: `"mean"` of the inputs of the layer on `x`, `"zero"`, or an array `(features,)`.
        starts: number of initial states of the search.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.

    Raises:
        UsageError: the model has no recurrent layer, or no layer with this name, or an argument is out of its range.
        DataError: `x` cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import fixed_points
        >>> layer = torch.nn.RNN(1, 1, batch_first=True, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight_hh_l0, 0.5)
        >>> fixed_points(layer, torch.randn(2, 30, 1), input="zero").rows()[0]["kind"]
        'stable'
    """
    if starts < 1:
        raise UsageError(f"starts must be at least 1, got {starts}")
    run = _chosen(layer_runs(subject_of(model, x, lengths=lengths)), part, layer, direction)
    direction_run = run.direction_runs[layer][DIRECTIONS.index(direction)].double()
    constant = _constant(direction_run, input)
    ends = _descend(direction_run, constant, _starts(direction_run, starts))
    found = list(ends[_speed(_moved(direction_run, constant, ends)) < SPEED])
    data = _described(direction_run, constant, _distinct(found), run)
    return FixedPoints(data, (len(found), starts), _verdict(data, len(found), starts))


def _chosen(runs: list[LayerRun], part: str | None, layer: int, direction: str) -> LayerRun:
    known = {run.part: run for run in runs}
    if part is None and len(known) > 1:
        raise UsageError(f"the model has several recurrent layers, {', '.join(map(repr, known))}; choose one by part=")
    if part is not None and part not in known:
        raise UsageError(f"there is no layer {part!r}; there are {', '.join(map(repr, known))}")
    run = runs[0] if part is None else known[part]
    if not 0 <= layer < run.stack.num_layers:
        raise UsageError(f"layer must be between 0 and {run.stack.num_layers - 1}, got {layer}")
    directions = DIRECTIONS[: run.stack.directions]
    if direction not in directions:
        raise UsageError(f"direction is {' or '.join(map(repr, directions))}, not {direction!r}")
    return run


def _constant(run: DirectionRun, input: str | Tensor | np.ndarray) -> Tensor:
    """Returns the input of every step, `(features,)`."""
    features = run.inputs.shape[-1]
    if isinstance(input, str):
        if input not in ("mean", "zero"):
            raise UsageError(f"input is 'mean', 'zero' or an array, not {input!r}")
        mean = run.inputs.sum((0, 1)) / run.lengths.sum()
        return mean if input == "mean" else torch.zeros_like(mean)
    given = torch.as_tensor(input).to(run.inputs)
    if given.shape != (features,):
        raise UsageError(f"input must have shape ({features},), got {tuple(given.shape)}")
    return given


def _starts(run: DirectionRun, count: int) -> Tensor:
    """Returns visited states with concatenated parts, `(count, size)`, evenly spaced over sequences and steps."""
    visited = torch.cat(run.states, -1)  # (time + 1, batch, size)
    there = torch.arange(len(visited), device=visited.device)[:, None] <= run.lengths.to(visited.device)
    visited = visited[there]
    at = torch.linspace(0, len(visited) - 1, count).round().long()
    return visited[at]


def _at(run: DirectionRun, constant: Tensor, states: Tensor) -> DirectionRun:
    """Returns a run of one step from the states `(number, size)`."""
    sizes = [s.shape[-1] for s in run.states]
    number = len(states)
    return replace(
        run,
        inputs=constant.expand(1, number, -1),
        states=tuple(s.unsqueeze(0) for s in states.split(sizes, -1)),
        lengths=torch.ones(number, dtype=torch.long),
        order=torch.zeros(1, number, dtype=torch.long, device=constant.device),
        kept=None,
    )


def _moved(run: DirectionRun, constant: Tensor, states: Tensor) -> Tensor:
    """Returns the change of states `(number, size)` in one step."""
    sizes = [s.shape[-1] for s in run.states]
    with torch.no_grad():
        after = run.cell.step(constant.expand(len(states), -1), states.split(sizes, -1), run.weights).state
    return torch.cat(after, -1) - states


def _speed(moved: Tensor) -> Tensor:
    """Returns the root mean square over the values of a state, `(number,)`."""
    return moved.square().mean(-1).sqrt()


def _descend(run: DirectionRun, constant: Tensor, states: Tensor) -> Tensor:
    """Minimises the speed from each state `(number, size)` by damped least squares, with all starts in one batch.

    Source: Levenberg 1944, Marquardt 1963. A start ends if its speed is below the limit, or if no step reduces it.
    """
    states = states.clone()
    damping = states.new_full((len(states),), 1e-3)
    moved, going = _moved(run, constant, states), torch.arange(len(states), device=states.device)
    for _ in range(ROUNDS):
        going = going[(_speed(moved[going]) > SPEED / 1000) & (damping[going] < 1e8)]
        if not len(going):
            break
        here, residual = states[going], moved[going]
        slope = jacobians(_at(run, constant, here), 0)
        slope.diagonal(dim1=1, dim2=2).sub_(1)
        normal = slope.mT @ slope
        diagonal = normal.diagonal(dim1=1, dim2=2)
        diagonal += damping[going, None] * diagonal.clamp(min=1e-12)
        downhill = (slope.mT @ residual.unsqueeze(-1)).neg()
        trial = here + torch.linalg.solve(normal, downhill).squeeze(-1)
        after = _moved(run, constant, trial)
        ratio = _speed(after) / _speed(residual)
        better = (ratio < 1).unsqueeze(-1)
        states[going] = torch.where(better, trial, here)
        moved[going] = torch.where(better, after, residual)
        damping[going] *= torch.where(better[:, 0], 0.1, 10.0)
        damping[going[(ratio > 0.999) & (ratio < 1)]] = torch.inf  # a minimum that is not a fixed point
    return states


def _distinct(points: list[Tensor]) -> list[tuple[Tensor, int]]:
    """Returns distinct points with the number of starts that reached them, the most frequent first."""
    kept: list[tuple[Tensor, int]] = []
    for point in points:
        near = [i for i, (other, _) in enumerate(kept) if float((point - other).square().mean().sqrt()) < SAME]
        if near:
            kept[near[0]] = (kept[near[0]][0], kept[near[0]][1] + 1)
        else:
            kept.append((point, 1))
    return sorted(kept, key=lambda pair: -pair[1])


def _described(
    direction_run: DirectionRun, constant: Tensor, points: list[tuple[Tensor, int]], run: LayerRun
) -> xarray.Dataset:
    import xarray

    size = sum(s.shape[-1] for s in direction_run.states)
    every = torch.stack([p for p, _ in points]) if points else constant.new_zeros(0, size)
    speed = _speed(_moved(direction_run, constant, every)).cpu().numpy()
    eigen = np.zeros((0, size), complex)
    if points:
        eigen = torch.linalg.eigvals(jacobians(_at(direction_run, constant, every), 0)).cpu().numpy()
        eigen = np.take_along_axis(eigen, np.argsort(-np.abs(eigen), axis=1, kind="stable"), 1)
    sizes = [s.shape[-1] for s in direction_run.states]
    states = dict(zip(direction_run.cell.states, every.cpu().split(sizes, -1), strict=True))
    units = {
        name: "unit" if s.shape[-1] == direction_run.stack.hidden_size else "projection" for name, s in states.items()
    }
    return xarray.Dataset(
        {
            **{name: (("point", units[name]), s.numpy()) for name, s in states.items()},
            "speed": ("point", speed),
            "eigenvalues": (("point", "index"), eigen),
            "stable": ("point", (np.abs(eigen) < 1).all(1)),
            "starts": ("point", np.array([n for _, n in points], int)),
            "input": ("feature", constant.cpu().numpy()),
        },
        {"point": range(len(points))},
        {"cell": direction_run.cell.name, "part": run.part},
    )


def _verdict(data: xarray.Dataset, found: int, starts: int) -> str:
    count, stable = data.sizes["point"], int(data["stable"].sum())
    if not count:
        return f"none of {starts} starts reached a fixed point"
    words = f"{count} fixed {'point' if count == 1 else 'points'}, {stable} of them stable"
    if stable:
        slowest = float(np.abs(data["eigenvalues"].values[data["stable"].values]).max())
        if 0 < slowest < 1:
            words += f"; the slowest distance to one halves every {number(math.log(2) / -math.log(slowest))} steps"
    return words + (f" ({starts - found} of {starts} starts reached none)" if found < starts else "")


register(
    Measure(
        fixed_points,
        Text("Fixed points", "고정점"),
        Text(
            "States that do not change while the input is constant, and their stability.",
            "입력이 일정할 때 변하지 않는 상태와 그 안정성입니다.",
        ),
    )
)
