"""Runs the contents of a C file in NumPy, step by step as the file does."""

from __future__ import annotations

import numpy as np

from recurra.data.columns.scaling import FARTHEST

from .plan import Layer, Linear, Plan


def emulate(plan: Plan, x: np.ndarray) -> np.ndarray:
    """Returns the outputs after each step of one sequence, `(steps, outputs)`.

    Args:
        plan: contents of the file.
        x: `(steps, inputs)`; NaN is a missing value.
    """
    output = _layers(plan, x if plan.scaling is None else _scaled(plan, x))
    if plan.head is None:
        return output
    scores = _linear(plan.head, _pooled(plan, output))
    if plan.target is None:
        shares = np.exp(scores - scores.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)
    means, deviations = plan.target
    return scores * deviations + means


def _scaled(plan: Plan, x: np.ndarray) -> np.ndarray:
    scaling = plan.scaling
    assert scaling is not None  # noqa: S101  (the caller checks it)
    with np.errstate(invalid="ignore"):
        values = (x - scaling.means) / np.where(scaling.deviations > 0, scaling.deviations, np.inf)
    missing = ~(np.abs(values) <= FARTHEST)
    last, found = np.zeros(x.shape[1]), []
    for row, gone in zip(values, missing, strict=True):
        last = np.where(gone, last, row)
        found.append(np.concatenate([last, gone[scaling.masked]]))
    return np.array(found, np.float32)


def _layers(plan: Plan, x: np.ndarray) -> np.ndarray:
    hidden = [np.zeros(plan.units, np.float32) for _ in plan.layers]
    cells = [np.zeros(plan.cells, np.float32) for _ in plan.layers]
    found = []
    for row in x.astype(np.float32):
        for i, layer in enumerate(plan.layers):
            hidden[i], cells[i] = _step(plan.cell, layer, row, hidden[i], cells[i])
            row = hidden[i]
        found.append(row)
    return np.array(found)


def _step(cell: str, layer: Layer, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the new hidden state and the new cell state of one layer."""
    above = layer.input.values @ x + layer.bias
    if layer.hidden is None:
        return np.maximum(above, 0), c
    past = layer.hidden.values @ h
    if cell == "rnn":
        return np.tanh(above + past), c
    if cell == "rnn_relu":
        return np.maximum(above + past, 0), c
    if cell == "gru":
        reset, update = (_sigmoid(a + b) for a, b in list(zip(np.split(above, 3), np.split(past, 3), strict=True))[:2])
        units = len(h)
        candidate = np.tanh(above[2 * units :] + reset * (past[2 * units :] + layer.bias_past))
        return (1 - update) * candidate + update * h, c
    input, forget, candidate, output = np.split(above + past, 4)
    c = _sigmoid(forget) * c + _sigmoid(input) * np.tanh(candidate)
    shown = _sigmoid(output) * np.tanh(c)
    return shown if layer.projection is None else layer.projection.values @ shown, c


def _pooled(plan: Plan, output: np.ndarray) -> np.ndarray:
    if plan.pooling == "max":
        return np.maximum.accumulate(output)
    if plan.pooling == "mean":
        return (np.cumsum(output, 0, np.float64) / np.arange(1, len(output) + 1)[:, None]).astype(np.float32)
    if plan.attention is not None:
        scores = _linear(plan.attention, output).astype(np.float64)
        weights = np.exp(scores - scores.max())
        return (np.cumsum(weights * output, 0) / np.cumsum(weights, 0)).astype(np.float32)
    return output


def _linear(part: Linear, x: np.ndarray) -> np.ndarray:
    return x @ part.weight.values.T + part.bias


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp gives infinity, and the result is 0
        return 1 / (1 + np.exp(-x))
