"""How long each unit keeps what it holds, by its gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.direction_runs import Run, Strand, runs_of
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Result
from recurra.inspect.core.subject import subject_of
from recurra.inspect.core.trace import DIRECTIONS
from recurra.inspect.units.spans import UnitName

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, repr=False)
class UnitMemory(Result):
    """How long each unit keeps what it holds.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `half_life` `(layer, direction, unit)`: steps after which half is left, infinite where more than half
              was left to the end.
            - from `half_lives`: `kept` `(layer, direction, unit)`, the share that is kept at a step.
            - from `impulse_response`: `response` `(layer, direction, lag, unit)`, what is left after each lag.
        verdict: what they say, in one sentence.
        sampled: what was left out, in words; empty if nothing was.
    """

    sampled: str = ""

    @property
    def half_life(self) -> xarray.DataArray:
        """Of the only recurrent layer: `(layer, direction, unit)`, in steps."""
        return self.to_xarray()["half_life"]

    def rows(self) -> list[dict[str, Any]]:
        """The units, those with the longest memory first."""
        rows = []
        for part, data in self.parts.items():
            table = data["half_life"].stack(place=("layer", "direction", "unit"))
            for (layer, direction, unit), value in zip(table["place"].values.tolist(), table.values, strict=True):
                rows.append({"unit": str(UnitName(part, layer, direction, unit)), "half_life": float(value)})
        return sorted(rows, key=lambda row: -1 if math.isnan(row["half_life"]) else row["half_life"], reverse=True)


def half_lives(model: Any, x: Any = None, *, lengths: Any = None) -> UnitMemory:
    """Half-life of what each unit holds, by the gate that keeps it: an LSTM's forget gate f, a GRU's update gate.

    Along this path the state is multiplied with f at each step; with the geometric mean f̄ over all steps and sequences,
    half of it is left after ln 2 / -ln f̄ steps. What is written anew in between, and what comes back through other
    units, is not in it: `impulse_response` measures both.

    Args:
        model: an estimator of Recurra, a module that holds recurrent layers, or such a layer.
        x: sequences or tensor, as for `recurra.trace`.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.

    Raises:
        UsageError: the model has no recurrent layer, or its cell has no such gate.
        DataError: `x` cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import half_lives
        >>> layer = torch.nn.LSTM(3, 8, batch_first=True)
        >>> for weight in layer.parameters():
        ...     _ = torch.nn.init.zeros_(weight)
        >>> _ = torch.nn.init.constant_(layer.bias_ih_l0, torch.logit(torch.tensor(0.9)))
        >>> half_lives(layer, torch.randn(2, 30, 3)).half_life.values[0, 0, 0].round(3)
        np.float64(6.579)
    """
    parts = {}
    for run in runs_of(subject_of(model, x, lengths=lengths)):
        if not run.stack.cell.keeps:
            raise UsageError(
                f"a {run.stack.cell.name} has no gate that keeps its state; impulse_response measures its memory"
            )
        kept = [[_kept(strand) for strand in layer] for layer in run.strands]
        parts[run.part] = _dataset(run, np.array(kept))
    return UnitMemory(parts, verdict_of(parts, "by the gate"))


def _kept(strand: Strand) -> np.ndarray:
    """Geometric mean over steps and sequences of the gate that keeps the state, `(units,)`."""
    gate = strand.kept
    assert gate is not None  # noqa: S101  (the cell has one)
    # 1 in the padding, whose logarithm is 0
    return np.exp(gate.double().log().sum((0, 1)).cpu().numpy() / int(strand.lengths.sum()))


def _dataset(run: Run, kept: np.ndarray) -> xarray.Dataset:
    import xarray

    with np.errstate(divide="ignore"):
        found = math.log(2) / -np.log(kept)
    axes = ("layer", "direction", "unit")
    half = np.where(kept >= 1, math.inf, found)
    return xarray.Dataset({"half_life": (axes, half), "kept": (axes, kept)}, coords(run), attributes(run))


def coords(run: Run) -> dict[str, Any]:
    """Names along the axes that every measure has."""
    return {"layer": range(run.stack.num_layers), "direction": list(DIRECTIONS[: run.stack.directions])}


def attributes(run: Run) -> dict[str, Any]:
    """What a data set says of itself."""
    return {"cell": run.stack.cell.name, "part": run.part}


def verdict_of(parts: dict[str, xarray.Dataset], how: str) -> str:
    """What the half-lives say, in one sentence."""
    every = np.concatenate([data["half_life"].values.ravel() for data in parts.values()])
    every = every[~np.isnan(every)]
    if not len(every):
        return f"{how}: no unit shows any memory"
    # halfway in the order, not between two: beside infinity there is no mean
    middle, longest = float(np.sort(every)[len(every) // 2]), float(every.max())
    return f"{how}, the median unit keeps half for {_steps(middle)}, the longest for {_steps(longest)}"


def _steps(value: float) -> str:
    return "longer than was looked at" if math.isinf(value) else f"{number(value)} steps"


register(
    Measure(
        half_lives,
        Text("Half-lives by the gate", "게이트로 계산한 반감기"),
        Text(
            "Steps until half of a unit's state is left, computed from the gate that keeps it.",
            "상태를 유지하는 게이트로 계산한, 유닛의 상태가 절반으로 줄 때까지의 스텝 수입니다.",
        ),
    )
)
