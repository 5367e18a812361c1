"""Graph of forecasters: a context, and what is known of the future, to the forecasts of all steps of the horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.errors import UsageError
from recurra.onnx.features import carried_forward, scaled
from recurra.onnx.graph import Graph, numbers
from recurra.onnx.layers import add_layer
from recurra.onnx.plan import Plan
from recurra.onnx.recurrence import Ragged, States
from recurra.tasks.forecast.estimator import Forecaster
from recurra.tasks.forecast.network import QUIET, ForecastNetwork

from .compare import answerer, sampler


def forecast(graph: Graph, estimator: Forecaster) -> Plan:
    """Returns the graph of a forecaster: `scores`, `(batch, horizon, targets)`, and `quantiles` where it has them.

    Inputs are the steps of a context `x`, `(batch, context, columns)`: targets, features and known columns in the order
    of the configuration, the calendar's last; and `future`, `(batch, horizon, known)`, where there are known columns.
    `mean` and `deviation` of the targets, `(batch, targets)`, are optional; the default is that of the training series,
    or the average of all of them. Missing targets and features are NaN, if there were any in training.

    Raises:
        UsageError: the forecaster decodes its horizon in several calls.
    """
    network: Any = estimator.network_
    if estimator.decoding != "direct" and network.written < network.horizon:
        raise UsageError(
            "a forecaster with decoding='recursive' calls its network several times; train it with decoding='direct' "
            "to export it to ONNX"
        )
    prepare, layout = estimator.preparation_, network.layout
    width, known = layout.targets + layout.features + layout.known, layout.known
    scale = np.mean(list(prepare.scales.values()), 0) if prepare.scales else np.ones((2, layout.targets))
    x = graph.input("x", np.float32, ["batch", estimator.context_, width])
    future = graph.input("future", np.float32, ["batch", network.horizon, known]) if known else None
    mean, deviation = (
        graph.input(name, np.float32, ["batch", layout.targets], part[None].astype(np.float32))
        for name, part in zip(("mean", "deviation"), scale, strict=True)
    )
    wide = [graph.unsqueeze(graph.cast(value, np.float64), 1) for value in (mean, deviation)]
    columns = _Columns(graph, estimator, x, future, wide)
    answers = _add_network(graph, network, columns.context, columns.future)
    levels = estimator._levels()
    if levels:
        answers = _add_quantiles(graph, answers, network, levels)
    factor, offset = (graph.unsqueeze(value, 3) for value in reversed(wide))
    found = graph.cast(graph.op("Add", graph.op("Mul", graph.cast(answers, np.float64), factor), offset), np.float32)
    shape = ["batch", network.horizon, layout.targets]
    graph.output("scores", graph.op("Gather", found, graph.const(0), axis=3), np.float32, shape)
    if levels:
        graph.output("quantiles", graph.slice(found, 3, 1, 1 + len(levels)), np.float32, [*shape, len(levels)])
    sizes: dict[str, float] = {name: float(scale[1].max()) for name in ("scores", "quantiles")}
    return Plan(graph, sampler(estimator, scale), answerer(estimator), scale=sizes)


class _Columns:
    """The network's inputs: columns that are scaled and filled.

    Attributes:
        context: `(batch, context, columns)`.
        future: `(batch, horizon, known)`, None without known columns.
    """

    def __init__(self, graph: Graph, estimator: Forecaster, x: str, future: str | None, scale: list[str]) -> None:
        layout = estimator.preparation_.layout
        split, end = layout.targets + layout.features, layout.targets + layout.features + layout.known
        targets = graph.op("Sub", graph.cast(graph.slice(x, 2, 0, layout.targets), np.float64), scale[0])
        parts = [graph.cast(graph.op("Div", targets, scale[1]), np.float32)]
        side, plain = estimator.preparation_.side, layout.known - layout.calendar
        if layout.features:
            parts.append(self._scaled(graph, graph.slice(x, 2, layout.targets, split), side[:, : layout.features]))
        values = graph.concat(parts, 2)
        mask = None
        if layout.masked:
            missing = graph.op("IsNaN", values)
            mask = graph.op("Sub", graph.const(1.0), graph.cast(missing, np.float32))
            nothing = graph.const(np.full((1, split), np.nan, np.float32))
            values, _ = carried_forward(graph, values, nothing)
            values, _ = carried_forward(graph, values, nothing, reverse=True)
            values = graph.op("Where", graph.op("IsNaN", values), graph.const(0.0), values)
        parts, self.future = [values], None
        if layout.known:
            assert future is not None  # noqa: S101  (there are known columns)
            statistics = np.concatenate(
                [
                    side[:, layout.features : layout.features + plain],
                    [[0.0] * layout.calendar, [1.0] * layout.calendar],
                ],
                1,
            )
            parts.append(self._scaled(graph, graph.slice(x, 2, split, end), statistics))
            self.future = self._scaled(graph, future, statistics)
        self.context = graph.concat([*parts, *([mask] if mask else [])], 2)

    def _scaled(self, graph: Graph, values: str, statistics: np.ndarray) -> str:
        return scaled(graph, values, *statistics)


def _add_network(graph: Graph, network: ForecastNetwork, values: str, future: str | None) -> str:
    """Adds `ForecastNetwork.forward`: `(batch, horizon, targets, 1 + quantiles)`."""
    targets = network.layout.targets
    own = graph.slice(values, 2, 0, targets)
    last = graph.slice(own, 1, -1, np.iinfo(np.int64).max)
    steps = graph.op("Sub", own, last)
    if network.memoryless:
        size = graph.op("Add", graph.op("Mul", last, graph.const(0.0)), graph.const(1.0))
    else:
        away = graph.op("Sub", steps, graph.reduce("ReduceMean", steps, 1, keep=True))
        variance = graph.reduce("ReduceMean", graph.op("Mul", away, away), 1, keep=True)
        size = graph.op("Add", graph.op("Sqrt", variance), graph.const(QUIET))
    state = _add_context(graph, network, values, graph.op("Div", steps, size))
    queries = _add_queries(graph, network, future, values)
    queries = graph.reshape(queries, [-1, 1, network.position.shape[1] + network.target.shape[1]])
    repeated = {
        name: [_repeated(graph, part, network.coming) for part in parts] for name, parts in state.values.items()
    }
    ragged = _whole(graph, queries, 1)
    if network.memoryless:
        queries = graph.op("Add", queries, graph.unsqueeze(repeated["hidden"][0], 1))
        output, _ = add_layer(graph, network.recurrent, queries, ragged)
    else:
        output, _ = add_layer(graph, network.recurrent, queries, ragged, States(repeated))
    features = graph.squeeze(output, 1)
    size, last = graph.unsqueeze(size, 3), graph.unsqueeze(last, 3)
    share = network.shares.network
    written = graph.linear(features, network.write.weight * share, network.write.bias * share, "write")
    found = graph.op("Mul", _in_order(graph, network, written, 1), size)
    if share < 1:
        mapped = graph.linear(graph.op("Transpose", steps, perm=[0, 2, 1]), *network.base(), "base")
        found = graph.op("Add", found, graph.unsqueeze(graph.op("Transpose", mapped, perm=[0, 2, 1]), 3))
    found = graph.op("Add", found, last)
    if network.spread is None:
        return found
    written = graph.linear(features, network.spread.weight * share, network.spread.bias * share, "spread")
    spread = graph.op("Mul", _in_order(graph, network, written, network.spread.out_features // network.written), size)
    return graph.concat([found, graph.op("Add", found, spread)], 3)


def _add_context(graph: Graph, network: ForecastNetwork, values: str, steps: str) -> States:
    """Adds the run over the context; returns the state after it, `(batch * targets, size)` each."""
    layout, segment = network.layout, network.segment
    if network.filling:
        values, steps = (_filled_up(graph, value, network.filling) for value in (values, steps))
    read, mask = _segments(graph, steps, layout.targets, segment), layout.ahead.stop
    if layout.masked:
        masks = graph.slice(values, 2, mask, mask + layout.targets)
        read = graph.concat([read, _segments(graph, masks, layout.targets, segment)], 3)
    read = graph.linear(read, network.read.weight, network.read.bias, "read")
    if network.beside is not None:
        covariates = layout.context_covariates
        parts = [graph.slice(values, 2, covariates.start, covariates.stop)]
        if layout.masked:
            parts.append(graph.slice(values, 2, mask + layout.targets, layout.width))
        columns = network.beside.in_features
        beside = graph.reshape(graph.concat(parts, 2), [0, 1, -1, columns])
        read = graph.op("Add", read, graph.linear(beside, network.beside.weight, None, "beside"))
    size = network.read.out_features
    steps_of = network.linear_weight.shape[0] + network.filling
    read = graph.reshape(graph.op("Relu", read), [-1, steps_of // segment, size])
    return add_layer(graph, network.recurrent, read, _whole(graph, read, steps_of // segment))[1]


def _segments(graph: Graph, columns: str, count: int, segment: int) -> str:
    return graph.reshape(graph.op("Transpose", columns, perm=[0, 2, 1]), [0, count, -1, segment])


def _filled_up(graph: Graph, values: str, count: int) -> str:
    first = graph.op("Tile", graph.slice(values, 1, 0, 1), graph.const([1, count, 1]))
    return graph.concat([first, values], 1)


def _add_queries(graph: Graph, network: ForecastNetwork, future: str | None, values: str) -> str:
    """Adds the queries for the segments to forecast: `(batch, targets, segments, size)`."""
    targets = network.layout.targets
    position, target = numbers(network.position), numbers(network.target)
    parts = [
        np.broadcast_to(position, (targets, *position.shape)),
        np.broadcast_to(target[:, None], (targets, network.coming, target.shape[1])),
    ]
    queries = graph.store(np.concatenate(parts, 2)[None], "queries")
    if network.ahead is None:
        shape = graph.concat([graph.size(values, 0), graph.const([1, 1, 1])], 0)
        return graph.op("Expand", queries, shape)
    assert future is not None  # noqa: S101  (there are known columns)
    missing = network.coming * network.written - network.horizon
    if missing:
        end = graph.slice(future, 1, -1, np.iinfo(np.int64).max)
        future = graph.concat([future, graph.op("Tile", end, graph.const([1, missing, 1]))], 1)
    known = graph.reshape(future, [0, 1, network.coming, -1])
    return graph.op("Add", queries, graph.linear(known, network.ahead.weight, None, "ahead"))


def _repeated(graph: Graph, state: str, times: int) -> str:
    """Returns each row `times` times, side by side."""
    size = graph.size(state, 1)
    tiled = graph.op("Tile", graph.unsqueeze(state, 1), graph.const([1, times, 1]))
    return graph.op("Reshape", tiled, graph.concat([graph.const([-1]), size], 0))


def _whole(graph: Graph, values: str, steps: int) -> Ragged:
    """Returns the lengths of sequences `(batch, time, features)` that all have `steps` steps."""
    return Ragged.of(graph, graph.op("Expand", graph.const([steps]), graph.size(values, 0)))


def _in_order(graph: Graph, network: ForecastNetwork, written: str, outputs: int) -> str:
    """Returns segments in the order of time, `(batch, horizon, targets, outputs)`."""
    shape = [-1, network.layout.targets, network.coming, outputs, network.written]
    steps = graph.op("Transpose", graph.reshape(written, shape), perm=[0, 2, 4, 1, 3])
    length = network.coming * network.written
    return graph.slice(graph.reshape(steps, [-1, length, network.layout.targets, outputs]), 1, 0, network.horizon)


def _add_quantiles(graph: Graph, answers: str, network: ForecastNetwork, levels: tuple[float, ...]) -> str:
    """Adds the calibration of the quantiles and their order, see `recurra.tasks.forecast.intervals.nested`."""
    count = len(levels)
    point, quantiles = graph.slice(answers, 3, 0, 1), graph.slice(answers, 3, 1, 1 + count)
    shifted = graph.op("Add", quantiles, graph.const(numbers(network.shifts)))
    ordered = graph.ops("TopK", shifted, graph.const([count]), outputs=2, axis=3, largest=0, sorted=1)[0]
    level = np.asarray(levels)
    first, last = level == level[0], level == level[-1]
    below = (level < 0.5) | (level == 0.5) & first & ~last
    above = (level > 0.5) | (level == 0.5) & last & ~first
    for chosen, kind in ((below, "Min"), (above, "Max")):
        ordered = graph.op("Where", graph.const(chosen), graph.op(kind, ordered, point), ordered)
    return graph.concat([point, ordered], 3)
