"""Runs the contents of a C file in NumPy, step by step as the file does."""

from __future__ import annotations

import numpy as np

from recurra.data.columns.scaling import FARTHEST

from .plan import Layer, Linear, Plan

Memory = list[tuple[np.ndarray, np.ndarray]]
"""Hidden state and cell state of each layer."""


def emulate(plan: Plan, x: np.ndarray) -> np.ndarray:
    """Returns the outputs after each step of one sequence, `(steps, outputs)`.

    Args:
        plan: contents of the file.
        x: `(steps, inputs)`; NaN is a missing value.
    """
    memory = new_memory(plan)
    rows = x.astype(np.float32) if plan.scaling is None else _scaled(plan, x)
    output = np.array([run_step(plan, memory, row) for row in rows])
    if plan.head is None:
        return output
    scores = apply(plan.head, _pooled(plan, output))
    if plan.task == "labels":
        return _sigmoid(scores)
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


def new_memory(plan: Plan) -> Memory:
    """Returns the states of the layers before the first step."""
    return [(np.zeros(plan.units, np.float32), np.zeros(plan.cells, np.float32)) for _ in plan.layers]


def run_step(plan: Plan, memory: Memory, x: np.ndarray) -> np.ndarray:
    """Runs one step of all layers, and changes their states; returns the hidden state of the top layer."""
    for i, layer in enumerate(plan.layers):
        memory[i] = _step(plan.cell, layer, x, *memory[i])
        x = memory[i][0]
    return x


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
        scores = apply(plan.attention, output).astype(np.float64)
        weights = np.exp(scores - scores.max())
        return (np.cumsum(weights * output, 0) / np.cumsum(weights, 0)).astype(np.float32)
    return output


def apply(part: Linear, x: np.ndarray) -> np.ndarray:
    """Returns `W x + b` for each vector, `(…, rows)`."""
    return x @ part.weight.values.T + part.bias


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp gives infinity, and the result is 0
        return 1 / (1 + np.exp(-x))
