"""Inputs of estimators in the graph: tokens, or numbers that are scaled and whose missing values are filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import pad
from recurra.data.encoders.series import SeriesEncoder

from .graph import Graph
from .layers import masked
from .plan import Arrays, add_lengths, draw_lengths
from .recurrence import Ragged

LAST = "state.last.0"
"""Name of the state with the last known values of a series."""


class Input(NamedTuple):
    """The input of an estimator's network.

    Attributes:
        values: tokens `(batch, time)` or features `(batch, time, features)`.
        ragged: lengths of the sequences.
        sample: returns a random input and `lengths` by name.
        tensor: returns the network's input for an input.
        last: the last known values after the last step, `(batch, features)`, where a state is needed for them.
    """

    values: str
    ragged: Ragged
    sample: Callable[[np.random.Generator], Arrays]
    tensor: Callable[[Any], Tensor]
    last: str | None = None


def add_input(graph: Graph, encoder: Any, *, stateful: bool = False) -> Input:
    """Adds the inputs for an encoder of `recurra.data`: `tokens` for texts, else `x`; and `lengths`.

    Args:
        graph: the graph.
        encoder: the encoder.
        stateful: whether the last known values are a state.
    """
    if encoder.kind == "text":
        return add_tokens(graph, encoder.input_size)
    return _add_series(graph, encoder.scale if encoder.kind == "audio" else encoder, stateful=stateful)


def add_tokens(graph: Graph, size: int) -> Input:
    """Adds the inputs `tokens`, `(batch, time)`, of a number of different tokens, and `lengths`."""

    def sample(rng: np.random.Generator) -> Arrays:
        lengths = draw_lengths(rng)
        shape = len(lengths), int(lengths.max()) + int(rng.integers(0, 2))
        return {"tokens": rng.integers(0, size, shape), "lengths": lengths}

    values = graph.input("tokens", np.int64, ["batch", "time"])
    return Input(values, add_lengths(graph), sample, lambda feed: torch.from_numpy(feed["tokens"]))


def _add_series(graph: Graph, encoder: SeriesEncoder, *, stateful: bool) -> Input:
    """Adds the inputs `x`, `(batch, time, features)`, in the unit of the data, and `lengths`."""
    given = graph.input("x", np.float32, ["batch", "time", encoder.features])
    ragged, last = add_lengths(graph), None
    values = scaled(graph, given, encoder.mean, encoder.scale)
    if len(encoder.masked):
        state = np.zeros((1, encoder.features), np.float32)
        before = graph.input(LAST, np.float32, ["batch", encoder.features], state) if stateful else graph.const(state)
        missing = graph.op("IsNaN", values)
        values, known = carried_forward(graph, masked(graph, values, ragged, float("nan")), before)
        last = known if stateful else None
        columns = graph.op("Gather", graph.cast(missing, np.float32), graph.const(encoder.masked), axis=2)
        values = graph.concat([values, columns], 2)

    def sample(rng: np.random.Generator) -> Arrays:
        lengths = draw_lengths(rng)
        x = rng.normal(size=(len(lengths), int(lengths.max()) + int(rng.integers(0, 2)), encoder.features))
        x = (x * encoder.scale + encoder.mean).astype(np.float32)
        if len(encoder.masked):
            x[rng.random(x.shape) < 0.2] = np.nan
        if last is None:
            return {"x": x, "lengths": lengths}
        known = rng.normal(size=(len(x), encoder.features)) * (encoder.scale > 0)
        return {"x": x, "lengths": lengths, LAST: known.astype(np.float32)}

    def tensor(feed: Any) -> Tensor:
        rows = [row[:steps] for row, steps in zip(feed["x"], feed["lengths"].tolist(), strict=True)]
        if LAST in feed:  # as one more step at the beginning
            before = feed[LAST] * encoder.scale + encoder.mean
            rows = [np.concatenate([first[None], row]) for first, row in zip(before, rows, strict=True)]
            encoded = pad(encoder.encode(rows))[:, 1:]
        else:
            encoded = pad(encoder.encode(rows))
        return torch.nn.functional.pad(encoded, (0, 0, 0, feed["x"].shape[1] - encoded.shape[1]))

    return Input(values, ragged, sample, tensor, last)


def last_known(feed: Mapping[str, Any], values: Tensor) -> np.ndarray:
    """Returns the last known values, scaled; those of the feed for an empty sequence."""
    features, ends = feed["x"].shape[2], feed["lengths"] - 1
    found = values.numpy()[np.arange(len(ends)), np.maximum(ends, 0), :features]
    return np.where(ends[:, None] >= 0, found, feed[LAST])


def scaled(graph: Graph, values: str, mean: np.ndarray, scale: np.ndarray) -> str:
    """Returns `(values - mean) / scale` as float32; 0 where the scale is 0. The difference has double precision.

    OpenVINO computes doubles in float32. There the mean is subtracted in two parts, so that its rounding is no error.
    The `Where` between them keeps OpenVINO from joining the operators to one product and one sum.
    """
    mean = np.asarray(mean, np.float64)
    first = mean.astype(np.float32).astype(np.float64)
    wide = graph.cast(values, np.float64)
    away = graph.op("Where", graph.op("IsNaN", wide), wide, graph.op("Sub", wide, graph.const(first)))
    away = graph.op("Sub", away, graph.const(mean - first))
    divisor = np.where(np.asarray(scale) > 0, scale, np.inf)
    return graph.cast(graph.op("Div", away, graph.const(divisor)), np.float32)


def unscaled(graph: Graph, values: str, mean: np.ndarray, scale: np.ndarray) -> str:
    """Returns `values * scale + mean` as float32, computed in double precision."""
    wide = graph.op("Mul", graph.cast(values, np.float64), graph.const(np.asarray(scale, np.float64)))
    return graph.cast(graph.op("Add", wide, graph.const(np.asarray(mean, np.float64))), np.float32)


def carried_forward(graph: Graph, values: str, before: str, *, reverse: bool = False) -> tuple[str, str]:
    """Replaces missing values `(batch, time, features)` by the last known ones.

    Args:
        graph: the graph.
        values: the values; NaN is missing.
        before: values before the first step, `(batch, features)` or `(1, features)`.
        reverse: whether to replace by the next known values.

    Returns:
        The values, and the last known ones `(batch, features)`.
    """
    batch = graph.concat([graph.size(values, 0), graph.size(values, 2)], 0)
    body = Graph(graph.opset, outer=graph)
    name = graph.op("Shape", values)
    old = body.input(f"{name}.old", np.float32, ["batch", "features"])
    x = body.input(f"{name}.x", np.float32, ["batch", "features"])
    new = body.op("Where", body.op("IsNaN", x), old, x)
    for output in ("new", "known"):
        body.output(f"{name}.{output}", new, np.float32, ["batch", "features"])
    last, filled = graph.ops(
        "Scan",
        graph.op("Expand", before, batch),
        graph.op("Transpose", values, perm=[1, 0, 2]),
        outputs=2,
        body=body.build(f"{name}.step"),
        num_scan_inputs=1,
        scan_input_directions=[int(reverse)],
        scan_output_directions=[int(reverse)],
    )
    return graph.op("Transpose", filled, perm=[1, 0, 2]), last
