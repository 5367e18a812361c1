"""Trajectory of a state in its principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import UsageError
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Result, layer_rows, measure_layers, place
from recurra.inspect.core.trace import Trace


@dataclass(frozen=True, repr=False)
class Trajectory(Result):
    """States in the coordinates of their principal components.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `points` `(layer, direction, batch, time, component)`, NaN in the padding, with the coordinates of the
              trace, such as `token`.
            - `explained` `(layer, direction, component)`: share of the variance.
            - `axes` `(layer, direction, component, unit)` and `mean` `(layer, direction, unit)`: a state is
              mean + points · axes + the other components.
        verdict: one sentence about the explained variance.
        state: name of the state.

    Example:
        >>> import torch, recurra
        >>> from recurra.inspect import trajectory
        >>> trace = recurra.trace(torch.nn.LSTM(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> found = trajectory(trace, state="cell")
        >>> found.state, found.points.sizes["time"]
        ('cell', 30)
    """

    state: str

    @property
    def points(self) -> Any:
        """`points` of the only recurrent layer: `(layer, direction, batch, time, component)`."""
        return self.to_xarray()["points"]

    @property
    def explained(self) -> Any:
        """`explained` of the only recurrent layer: `(layer, direction, component)`."""
        return self.to_xarray()["explained"]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each part, layer and direction: the share of the variance that each component explains."""
        return layer_rows(
            self.parts,
            lambda one: {
                f"component {c}": float(one["explained"].sel(component=c)) for c in one["component"].values.tolist()
            },
        )


def trajectory(trace: Trace, components: int = 2, *, state: str | None = None) -> Trajectory:
    """Projects a state to its principal components, fitted on all steps of all sequences of a trace.

    Args:
        trace: result of `recurra.trace`.
        components: number of components.
        state: a state or gate of the trace; None for the hidden state.

    Raises:
        UsageError: there is no such state, or there are fewer units or steps than components.

    Example:
        >>> import torch, recurra
        >>> from recurra.inspect import trajectory
        >>> found = trajectory(recurra.trace(torch.nn.GRU(3, 8, batch_first=True), torch.randn(2, 30, 3)))
        >>> found.points.dims, float(found.explained.sum()) <= 1
        (('layer', 'direction', 'batch', 'time', 'component'), True)
    """
    if components < 1:
        raise UsageError(f"components must be at least 1, got {components}")
    name = state or "hidden"
    parts = {part: _of_part(data, name, components) for part, data in trace.parts.items()}
    shares = measure_layers(parts, lambda one: float(one["explained"].sum()))
    part, layer, direction, least = min(shares, key=lambda measured: (measured[3], *measured[:3]))
    where = place(part, layer, direction, parts[part]) if len(shares) > 1 else ""
    where = f" (least in {where})" if where else ""
    verdict = f"{components} {'component shows' if components == 1 else 'components show'} {least:.0%} of the variance"
    return Trajectory(parts, verdict + where, name)


def _of_part(data: Any, state: str, components: int) -> Any:
    import xarray
    from sklearn.decomposition import PCA

    if state not in data.data_vars:
        raise UsageError(f"there is no {state!r} in this trace; there are {', '.join(map(repr, data.data_vars))}")
    array = data[state]
    *_, units = array.shape
    last = array.dims[-1]
    points = np.full((*array.shape[:-1], components), np.nan)
    shape = array.shape[:2]
    explained, mean = np.full((*shape, components), np.nan), np.full((*shape, units), np.nan)
    axes = np.full((*shape, components, units), np.nan)
    for at in np.ndindex(*shape):
        values = array.values[at]  # (batch, time, units)
        there = np.isfinite(values).all(-1)
        if components > min(units, int(there.sum())):
            raise UsageError(f"{units} units and {int(there.sum())} steps have fewer than {components} components")
        fitted = PCA(components, svd_solver="full").fit(values[there].astype(np.float64))
        points[at][there] = fitted.transform(values[there].astype(np.float64))
        axes[at], mean[at] = fitted.components_, fitted.mean_
        with np.errstate(invalid="ignore"):
            explained[at] = fitted.explained_variance_ratio_
    both = ("layer", "direction")
    return xarray.Dataset(
        {
            "points": ((*array.dims[:-1], "component"), points),
            "explained": ((*both, "component"), explained),
            "axes": ((*both, "component", last), axes),
            "mean": ((*both, last), mean),
        },
        dict(array.coords) | {"component": range(1, components + 1)},
        dict(data.attrs),
    )


register(
    Measure(
        trajectory,
        Text("State trajectory", "상태 궤적"),
        Text(
            "The path of the state in its principal components.",
            "주성분 공간에서 상태가 움직인 경로입니다.",
        ),
    )
)
