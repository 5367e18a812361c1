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
        shift, stretch = rng.normal(size=(batch, layout.targets)), rng.uniform(0.5, 2, (batch, layout.targets))
        own = {"mean": scale[0] + shift * scale[1], "deviation": scale[1] * stretch}
        own = {name: value.astype(np.float32) for name, value in own.items()}
        return {"x": x, **({"future": future} if layout.known else {}), **own}

    return sample


def answerer(estimator: Forecaster) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Arrays]:
    """Returns the function that forecasts with the estimator."""
    layout, side = estimator.preparation_.layout, estimator.preparation_.side
    split, dates = layout.targets + layout.features, np.repeat([[0.0], [1.0]], layout.calendar, 1)
    covariates = np.concatenate([side, dates], 1)

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        scales = np.stack([feed["mean"], feed["deviation"]]).astype(float)
        contexts = []
        for row, scale in zip(feed["x"], scales.swapaxes(0, 1), strict=True):
            center, spread = np.concatenate([scale, covariates], 1)
            steps = standardize(row, center, spread, "x")
            observed = (~np.isnan(steps[:, :split])).astype(float)
            contexts.append(np.concatenate([_filled(steps), *([observed] if layout.masked else [])], 1))
        future = feed.get("future", np.zeros((len(contexts), estimator.horizon, 0)))
        center, spread = covariates[:, layout.features :]
        known = [standardize(row, center, spread, "future") for row in future]
        tensors = (torch.from_numpy(np.stack(part).astype(np.float32)) for part in (contexts, known))
        answers = estimator._answer(*tensors).double().numpy()
        mean, deviation = scales[:, :, None, :, None]
        answers = (answers * deviation + mean).astype(np.float32)
        return {"scores": answers[..., 0], **({"quantiles": answers[..., 1:]} if answers.shape[3] > 1 else {})}

    return answer
