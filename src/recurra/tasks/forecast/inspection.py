"""A forecaster and some series, for the tools that look inside."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from recurra.data.batching.batches import to_device
from recurra.data.batching.windows import WindowBatch, Windows
from recurra.data.columns.panel import Panel
from recurra.data.columns.scaling import standardize
from recurra.errors import DataError
from recurra.tasks.finite import NOT_FINITE, answers_of
from recurra.tasks.subject import Subject
from recurra.training.settings import choose_device

from .baselines.mixture import ALONE
from .result import Forecast


def subject_of_panel(forecaster: Any, panel: Panel, y: Any = None) -> Subject:
    """The subject of a fitted `Forecaster`: the network forecasts one horizon after the end of every series.

    If the network has no share in the forecasts, its own forecasts are looked at.

    Raises:
        DataError: every series is empty, or `y` does not fit.
    """
    if not any(map(len, panel.series)):
        raise DataError("there is no step to look at: every series is empty")
    prepare, horizon, layout = forecaster.preparation_, forecaster.horizon, forecaster.preparation_.layout
    frames = [prepare.frame(panel, s, len(s), len(s) + horizon) for s in panel.series]
    windows = Windows(frames, forecaster.context_, horizon, layout, batch_size=len(frames))
    scales = np.stack([prepare.scale(s, len(s)) for s in panel.series])  # (series, 2, targets)
    batch: Any = windows.whole()
    if y is not None:
        batch = _with_targets(batch, y, scales, panel)
    batch = to_device(batch, choose_device(forecaster.device))
    network, objective = forecaster._network.to(batch.values.device).eval(), forecaster._objective()
    whose = "forecasts"
    if not network.shares.network:  # nothing in the network would move the forecast
        network, whose = copy.copy(network), "network's forecasts"
        network.shares = ALONE
    mean, size = torch.from_numpy(scales[:, :, :1]).to(batch.values.device).unbind(1)  # of the first target, float64
    names = prepare.columns
    sides = [f"{way} of the {cycle}" for cycle in prepare.cycles for way in ("sine", "cosine")]
    features = [*names.target, *names.features, *names.known, *sides]
    if layout.masked:
        features += [f"{name} is there" for name in (*names.target, *names.features)]
    return Subject(
        network,
        batch,
        lambda batch: network(batch.values, batch.future),
        lambda found: (found[:, :, 0, 0] * size + mean).mean(1),
        f"mean of the {whose} of {names.target[0]} (in its own unit)",
        None if y is None else lambda batch: objective.loss(network, batch),
        layer_steps=_segments(forecaster, panel),
        features=features,
        answers=answers_of(
            lambda: [_describe(found, names.target) for found in forecaster.forecast(panel)], [NOT_FINITE] * len(panel)
        ),
        title=forecaster.title,
    )


def _with_targets(batch: WindowBatch, y: Any, scales: np.ndarray, panel: Panel) -> WindowBatch:
    """The batch with what really came; what is missing of it has no weight."""
    given = y if isinstance(y, list | tuple) and np.ndim(y[0]) > 0 else [y]
    if len(given) != len(panel):
        raise DataError(f"X has {len(panel)} series but y has {len(given)}; they must pair up")
    shape = tuple(batch.targets.shape[1:])
    values = []
    for i, one in enumerate(given):
        one = np.asarray(one, np.float64)
        one = one[:, None] if one.ndim == 1 else one
        if one.shape != shape:
            raise DataError(f"y[{i}] has shape {one.shape}; the horizon and the targets are {shape}", i)
        values.append(standardize(one, scales[i, 0], scales[i, 1], f"y[{i}]"))
    targets = torch.from_numpy(np.stack(values)).float()
    return batch._replace(targets=targets.nan_to_num(0.0), weights=(~targets.isnan()).float())


def _segments(forecaster: Any, panel: Panel) -> dict[str, list[list[str]]]:
    """The times of the segments that the recurrent layer reads, one row for each target of each series.

    It is called a second time for the segments to come, each of which is a row of one step.
    """
    network, targets = forecaster._network, len(panel.columns.target)
    read: list[list[str]] = []
    coming: list[list[str]] = []
    for series in panel.series:
        end, last = len(series), len(series) + forecaster.horizon
        first = end - forecaster.context_
        times = [str(time) for time in panel.spelt(series, np.arange(max(first, 0), last))]
        spelt = [""] * (network.filling + max(-first, 0)) + times  # nothing where the context is filled up in front
        context = network.filling + forecaster.context_
        read += [[_span(spelt[b : b + network.segment]) for b in range(0, context, network.segment)]] * targets
        ahead = range(context, len(spelt), network.written)
        coming += [[_span(spelt[b : b + network.written])] for b in ahead] * targets
    return {"recurrent": read, "recurrent (call 2)": coming}


def _span(times: list[str]) -> str:
    """The first and the last time of a segment."""
    known = [time for time in times if time]
    return "" if not known else known[0] if len(known) == 1 else f"{known[0]} … {known[-1]}"


def _describe(found: Forecast, names: tuple[str, ...]) -> str:
    """The point forecasts of one series."""
    forecasts = (
        f"{name} " + ", ".join(f"{value:.6g}" for value in column)
        for name, column in zip(names, found.values.T, strict=True)
    )
    series = "" if found.id is None else f"series {found.id} "
    return f"{series}from {found.times[0]} on: " + "; ".join(forecasts)
