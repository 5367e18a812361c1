"""Compares the contents of a C file with the model, before the file is written."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch

from recurra.errors import RecurraError
from recurra.nn import RECURRENT, accelerate
from recurra.tasks.base import Estimator

from .emulate import emulate
from .plan import Plan

TOLERANCE = 1e-4
"""Largest difference in units of the largest output, for random inputs."""
LENGTHS = (1, 2, 30)


def check(model: Any, plan: Plan) -> None:
    """Raises `RecurraError` if the contents do not give the answers of the model to random sequences."""
    random = np.random.default_rng(0)
    x = random.normal(size=(max(LENGTHS), len(plan.inputs))).astype(np.float32)
    if plan.scaling is not None:
        x[random.random(x.shape) < 0.1] = np.nan
        x = (x * plan.scaling.deviations + plan.scaling.means).astype(np.float32)
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
