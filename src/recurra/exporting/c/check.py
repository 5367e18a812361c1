"""Compares the contents of a C file with the model, before the file is written."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch

from recurra.data.columns.panel import ISO, Panel, Series
from recurra.errors import RecurraError
from recurra.nn import RECURRENT, accelerate
from recurra.tasks.base import Estimator

from .emulate import emulate
from .emulate_forecast import emulate_forecast
from .plan import Plan

TOLERANCE = 1e-4
"""Largest difference in units of the largest output, for random inputs."""
LENGTHS = (1, 2, 30)


def check(model: Any, plan: Plan) -> None:
    """Raises `RecurraError` if the contents do not give the answers of the model to random sequences."""
    random = np.random.default_rng(0)
    x = random.normal(size=(max(LENGTHS), len(plan.inputs))).astype(np.float32)
    if isinstance(model, Estimator):
        x[random.random(x.shape) < 0.1] = np.nan
    if plan.scaling is not None:
        x = (x * plan.scaling.deviations + plan.scaling.means).astype(np.float32)
    if plan.forecasting is not None:
        found, wanted = _of_forecaster(model, plan, x)
    else:
        found = emulate(plan, x.astype(np.float64))[np.array(LENGTHS) - 1]
        wanted = _of_estimator(model, x) if isinstance(model, Estimator) else _of_layer(model, x)
    size = np.abs(wanted).max() if plan.target is None else plan.target[1]
    if not (np.abs(found - wanted) <= TOLERANCE * np.maximum(size, 1e-30)).all():
        raise RecurraError("the C file would give other answers than the model, so it is not written; please report it")


def _of_estimator(model: Any, x: np.ndarray) -> np.ndarray:
    """Returns the predictions after `LENGTHS` steps."""
    rows = [x[:length].astype(np.float64) for length in LENGTHS]
    found = model.predict(rows) if model.task == "regress" else model.predict_proba(rows)
    return found.reshape(len(rows), -1)


def _of_forecaster(model: Any, plan: Plan, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scaled forecasts after `LENGTHS` steps: those of the plan, and those of the model."""
    own, learnt = plan.forecasting, model.preparation_
    assert own is not None  # noqa: S101  (the caller checks it)
    (id,) = learnt.scales
    x = x * own.deviations + own.means
    origin = np.datetime64(0, "us") if learnt.frequency.dated else np.int64(0)
    wanted = []
    for length in LENGTHS:
        rows = x[:length]
        series = Series(id, origin, rows[:, : own.targets], rows[:, own.targets :], np.zeros((length, 0)))
        panel = Panel([series], learnt.columns, learnt.frequency, learnt.spelling or ISO)
        ((forecast,),) = model.forecast_panels([panel])
        wanted.append(np.concatenate([forecast.values[..., None], forecast.quantiles], 2))
    means, deviations = (part[: own.targets, None] for part in (own.means, own.deviations))
    found = emulate_forecast(plan, x, list(LENGTHS)).reshape(np.shape(wanted))
    return (found - means) / deviations, (np.array(wanted) - means) / deviations


def _of_layer(layer: Any, x: np.ndarray) -> np.ndarray:
    """Returns the outputs after `LENGTHS` steps."""
    layer = accelerate(deepcopy(layer).float().cpu().eval())
    if isinstance(layer, RECURRENT):
        layer.precision = "float32"
    batch_first = getattr(layer, "batch_first", True)
    values = torch.from_numpy(x).unsqueeze(0 if batch_first else 1)
    with torch.no_grad():
        output = layer(values)[0].squeeze(0 if batch_first else 1)
    return output.numpy()[np.array(LENGTHS) - 1]
