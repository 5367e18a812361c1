"""Metrics of a forecaster beside those of its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra._util.messages import counted
from recurra.data.columns.panel import Panel
from recurra.errors import DataError, UsageError
from recurra.tasks.base import PREDICT_BATCH, beside
from recurra.tasks.baselines import compare
from recurra.tasks.forecast.baselines import simple as references
from recurra.tasks.forecast.decode import Way, score
from recurra.training.own import OwnMetrics

PARTS = ("training", "validation", "test")


def spans_of(forecaster: Any, panel: Panel, part: str | None) -> tuple[list[tuple[int, int]], str]:
    """Returns the steps of each series to evaluate, and the name of their part."""
    if part not in (None, "all", *PARTS):
        raise UsageError(f"part is one of {', '.join(PARTS)} or all, not {part!r}")
    parts = forecaster.seen_.parts(panel)
    lengths = [len(series) for series in panel.series]
    spans = {
        "test": [(p.valid, p.test if p.test > p.valid else n) for p, n in zip(parts, lengths, strict=True)],
        "validation": [(p.train, p.valid) for p in parts],
        "training": [(0, p.train) for p in parts],
        "all": [(0, n) for n in lengths],
    }
    for name in (part,) if part else ("test", "validation"):
        if forecaster._windows(panel, spans[name], PREDICT_BATCH).count:
            return spans[name], name
    needed = f"{forecaster.horizon} steps to forecast and some before them"
    place = f"the {part} part of these data holds" if part else "these data hold"
    raise DataError(f"{place} no series with {needed}; the longest has {counted(max(lengths, default=0), 'step')}")


def measure(forecaster: Any, panel: Panel, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Metrics of the forecasts of all windows in spans of the series, see `Forecaster.evaluate`."""
    windows, levels = forecaster._windows(panel, spans, PREDICT_BATCH), forecaster._levels()
    weight, bias = (tensor.cpu() for tensor in (forecaster._network.linear_weight, forecaster._network.linear_bias))
    begun = zip(panel.series, forecaster._begun(spans), strict=True)
    scales = np.stack([forecaster.preparation_.scale(series, begin) for series, (begin, _) in begun])
    ways: dict[str, Way] = {
        "network": lambda batch: forecaster._answer(batch.values, batch.future),
        **references.ways(windows, forecaster.season_, weight, bias),
    }
    own = OwnMetrics(forecaster.metrics)
    measured = score(windows, ways, scales, forecaster._compared_metric, own)
    found = measured.pop("network")
    comparison = compare(found, measured, forecaster._compared_metric, greater=False)
    metrics, others = found.metrics, {name: one.metrics for name, one in measured.items()}
    if len(levels) < 2:
        metrics.pop("coverage")
    else:
        metrics["coverage_wanted"] = round(levels[-1] - levels[0], 9)
    baselines = {name: {k: v for k, v in f.items() if k != "coverage"} for name, f in others.items()}
    return {**metrics, "n": windows.count, **beside(baselines, comparison)}
