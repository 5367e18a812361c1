"""Reads the contents of the C file from a forecaster, or refuses it in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.errors import UsageError

from .plan import Calendar, Forecasting, Linear, Plan, title
from .weights import affine, layer_of, linear, matrix, numbers


def read_forecaster(model: Any) -> Plan:
    """Returns the contents of the C file of a forecaster.

    Raises:
        UsageError: the forecast needs more than the past steps of one series.
    """
    learnt, network = model.preparation_, model.network_
    _refuse(model)
    cell, layers = layer_of(network.recurrent)
    if cell == "none":
        raise UsageError('a forecaster with cell="none" is a baseline without memory; train with another cell')
    columns, targets = learnt.columns, len(learnt.columns.target)
    ((mean, deviation),) = learnt.scales.values()
    split = len(columns.features)
    share = network.shares.network
    levels = tuple(float(level) for level in model.quantiles or ())
    names = [f"{name}, step {step}" for step in range(1, model.horizon + 1) for name in columns.target]
    return Plan(
        title=f"{type(model).__name__}: {title(cell, layers)}, context {model.context_}, horizon {model.horizon}",
        cell=cell,
        layers=layers,
        inputs=(*columns.target, *columns.features),
        outputs=tuple(f"{name}{end}" for name in names for end in ("", *(f", quantile {q:g}" for q in levels))),
        task="forecast",
        forecasting=Forecasting(
            context=model.context_,
            horizon=model.horizon,
            segment=network.segment,
            targets=targets,
            masked=learnt.masked,
            levels=levels,
            means=np.append(mean, learnt.side[0, :split]),
            deviations=np.append(deviation, learnt.side[1, :split]),
            read=linear(network.read),
            beside=None if network.beside is None else matrix(network.beside.weight),
            positions=numbers(network.position).astype(np.float32),
            places=numbers(network.target).astype(np.float32),
            write=_times(network.write, share),
            base=affine(*network.base()) if share < 1 else None,
            quantiles=None if network.spread is None else _times(network.spread, share),
            shifts=numbers(network.shifts).astype(np.float32),
            calendar=_calendar(model),
        ),
    )


def _times(layer: Any, share: float) -> Linear:
    return affine(layer.weight * share, layer.bias * share)


def _calendar(model: Any) -> Calendar | None:
    learnt = model.preparation_
    if not learnt.cycles:
        return None
    return Calendar(tuple(learnt.cycles), learnt.frequency.step, matrix(model.network_.ahead.weight))


def _refuse(model: Any) -> None:
    learnt = model.preparation_
    if learnt.columns.known:
        raise UsageError(
            f"the forecast needs the future values of {', '.join(learnt.columns.known)}, which no step contains; "
            "train without known columns (--known)"
        )
    if learnt.cycles and learnt.frequency.kind != "fixed":
        raise UsageError(
            f"the calendar of the model needs the dates of its steps of {learnt.frequency}, which the C file does not "
            "compute; train with --no-calendar (calendar=False)"
        )
    if model.decoding != "direct":
        raise UsageError(f'decoding is "{model.decoding}", but the C file forecasts the horizon at once; use "direct"')
    if len(learnt.scales) != 1:
        raise UsageError(
            f"the model has a scale for each of {len(learnt.scales)} series, but the C file forecasts one series; "
            "train on the series of the device"
        )
