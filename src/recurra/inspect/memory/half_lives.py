"""Half-life of each unit, computed from the gate that keeps its state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.direction_runs import DirectionRun, LayerRun, layer_runs
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Result
from recurra.inspect.core.subject import subject_of
from recurra.inspect.units.spans import UnitName

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, repr=False)
class UnitMemory(Result):
    """Half-life of each unit.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `half_life` `(layer, direction, unit)`: number of steps until half remains; infinite if more than half
              remains after the last measured step.
            - from `half_lives`: `kept` `(layer, direction, unit)`, the share that is kept at each step.
            - from `impulse_response`: `response` `(layer, direction, lag, unit)`, the remaining share after each lag.
        verdict: summary in one sentence.
        sampled: description of what was sampled; empty if everything was used.

    Example:
        >>> import torch
        >>> from recurra.inspect import half_lives
        >>> memory = half_lives(torch.nn.GRU(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> memory.half_life.dims, len(memory.rows())
        (('layer', 'direction', 'unit'), 8)
    """

    sampled: str = ""

    @property
    def half_life(self) -> xarray.DataArray:
        """`half_life` of the only recurrent layer: `(layer, direction, unit)`, in steps."""
        return self.to_xarray()["half_life"]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each unit, the longest memory first."""
        rows = []
        for part, data in self.parts.items():
            table = data["half_life"].stack(place=("layer", "direction", "unit"))
            for (layer, direction, unit), value in zip(table["place"].values.tolist(), table.values, strict=True):
                rows.append({"unit": str(UnitName(part, layer, direction, unit)), "half_life": float(value)})
        return sorted(rows, key=lambda row: -1 if math.isnan(row["half_life"]) else row["half_life"], reverse=True)


def half_lives(model: Any, x: Any = None, *, lengths: Any = None) -> UnitMemory:
    """Computes the half-life of each unit from the gate that keeps its state.

    The gate f is the forget gate of an LSTM or the update gate of a GRU. It multiplies the state at each step. With the
    geometric mean f̄ over all steps and sequences, half of the state remains after ln 2 / -ln f̄ steps. This ignores new
    values and feedback through other units; `impulse_response` includes both.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
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
    for run in layer_runs(subject_of(model, x, lengths=lengths)):
        if not run.stack.cell.keeps:
            raise UsageError(
                f"a {run.stack.cell.name} has no gate that keeps its state; impulse_response measures its memory"
            )
        kept = [[_kept(direction_run) for direction_run in layer] for layer in run.direction_runs]
        parts[run.part] = _dataset(run, np.array(kept))
    return UnitMemory(parts, verdict_of(parts, "by the gate"))


def _kept(run: DirectionRun) -> np.ndarray:
    """Returns the geometric mean over steps and sequences of the gate that keeps the state, `(units,)`."""
    gate = run.kept
    assert gate is not None  # noqa: S101  (the cell has one)
    # the gate is 1 in the padding, so its logarithm is 0
    return np.exp(gate.double().log().sum((0, 1)).cpu().numpy() / int(run.lengths.sum()))


def _dataset(run: LayerRun, kept: np.ndarray) -> xarray.Dataset:
    import xarray

    with np.errstate(divide="ignore"):
        found = math.log(2) / -np.log(kept)
    axes = ("layer", "direction", "unit")
    half = np.where(kept >= 1, math.inf, found)
    return xarray.Dataset({"half_life": (axes, half), "kept": (axes, kept)}, run.coords, run.attributes)


def verdict_of(parts: dict[str, xarray.Dataset], how: str) -> str:
    """Summarises half-lives in one sentence."""
    every = np.concatenate([data["half_life"].values.ravel() for data in parts.values()])
    every = every[~np.isnan(every)]
    if not len(every):
        return f"{how}: no unit shows any memory"
    # the upper median: the mean of two values could be infinite
    middle, longest = float(np.sort(every)[len(every) // 2]), float(every.max())
    return f"{how}, the median unit keeps half for {_steps(middle)}, the longest for {_steps(longest)}"


def _steps(value: float) -> str:
    return "longer than measured" if math.isinf(value) else f"{number(value)} steps"


register(
    Measure(
        half_lives,
        Text("Half-lives by the gate", "게이트로 계산한 반감기"),
        Text(
            "Number of steps until half of the state of a unit remains, computed from the gate that keeps it.",
            "상태를 유지하는 게이트로 계산한, 유닛의 상태가 절반으로 줄 때까지의 스텝 수입니다.",
        ),
    )
)
