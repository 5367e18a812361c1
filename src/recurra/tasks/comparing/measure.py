"""Metrics of a model on labelled data, and what each item adds to the compared metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class ComparedModel(NamedTuple):
    """A model on some data.

    Attributes:
        metrics: the metrics.
        metric: name of the compared one.
        greater: whether more of it is better.
        items: `(items, 2)`, as in `recurra.tasks.baselines.Measured`, in the order of the data; None if the metric is
            no ratio of sums over items.
    """

    metrics: dict[str, Any]
    metric: str
    greater: bool
    items: np.ndarray | None


def measure(estimator: Any, data: tuple[Any, ...]) -> ComparedModel:
    """Measures a model.

    Args:
        estimator: the model.
        data: arguments of its `evaluate`.
    """
    objective = estimator._evaluation_objective()
    metric, greater = objective.monitor, objective.monitor_mode == "max"
    if not hasattr(objective, "items"):
        return ComparedModel(estimator.evaluate(*data), metric, greater, None)
    rows: list[int] = []

    def noted(batches: Any) -> Iterator[Any]:
        for batch in batches:
            rows.extend(np.asarray(getattr(batch, "rows", ())).tolist())
            yield batch

    observed = estimator._observed(noted(estimator._labelled(*data, *[None] * (3 - len(data)))), objective)
    items = objective.items(observed)
    if items is None or len(items) != len(rows):
        return ComparedModel(objective.metrics(observed), metric, greater, None)
    items = items[np.argsort(rows)]  # models that encode texts differently read them in another order
    scale = getattr(estimator, "target_scale_", None)
    if scale is not None:  # losses of standardized targets are in another unit for each model
        metric, items = "mse", items * [scale[0] ** 2, 1] if len(scale) == 1 else None
    return ComparedModel(objective.metrics(observed), metric, greater, items)
