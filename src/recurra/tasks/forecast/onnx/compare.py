"""Random inputs of a forecaster's graph, and the forecasts of the model for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from recurra.data.columns.scaling import standardize
from recurra.onnx.plan import Arrays
from recurra.tasks.forecast.estimator import Forecaster
from recurra.tasks.forecast.prepare import _filled


def sampler(estimator: Forecaster, scale: np.ndarray) -> Callable[[np.random.Generator], Arrays]:
    """Returns the function that draws inputs; `scale` has mean and deviation of the targets."""
    layout, side, network = estimator.preparation_.layout, estimator.preparation_.side, estimator._network
    dates = layout.calendar
    mean = np.concatenate([scale[0], side[0], np.zeros(dates)])
    deviation = np.concatenate([scale[1], side[1], np.ones(dates)])
    split = layout.targets + layout.features

    def sample(rng: np.random.Generator) -> Arrays:
        batch = int(rng.integers(1, 5))
        drawn = rng.normal(size=(batch, estimator.context_ + network.horizon, len(mean)))
        rows = (drawn * deviation + mean).astype(np.float32)
        x, future = rows[:, : estimator.context_].copy(), rows[:, estimator.context_ :, split:].copy()
        if layout.masked:
            holes = rng.random(x.shape) < 0.2
            holes[..., split:] = False
            x[holes] = np.nan
        return {"x": x, **({"future": future} if layout.known else {})}

    return sample


def answerer(estimator: Forecaster, scale: np.ndarray) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Arrays]:
    """Returns the function that forecasts with the estimator."""
    prepare = estimator.preparation_
    layout = prepare.layout
    dates, split = layout.calendar, layout.targets + layout.features
    mean = np.concatenate([scale[0].astype(np.float32).astype(float), prepare.side[0], np.zeros(dates)])
    deviation = np.concatenate([scale[1].astype(np.float32).astype(float), prepare.side[1], np.ones(dates)])

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        contexts = []
        for row in feed["x"]:
            steps = standardize(row, mean, deviation, "x")
            observed = (~np.isnan(steps[:, :split])).astype(float)
            contexts.append(np.concatenate([_filled(steps), *([observed] if layout.masked else [])], 1))
        future = feed.get("future", np.zeros((len(contexts), estimator.horizon, 0)))
        known = [standardize(row, mean[split:], deviation[split:], "future") for row in future]
        tensors = (torch.from_numpy(np.stack(part).astype(np.float32)) for part in (contexts, known))
        answers = estimator._answer(*tensors).double().numpy()
        n = layout.targets
        answers = (answers * deviation[:n, None] + mean[:n, None]).astype(np.float32)
        return {"scores": answers[..., 0], **({"quantiles": answers[..., 1:]} if answers.shape[3] > 1 else {})}

    return answer
