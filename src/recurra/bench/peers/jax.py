"""JAX: `lax.scan` over the steps under `jit`. The product of the input is computed before the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np

from recurra.bench.cases import Case, numbers

from . import base


class Peer(base.Peer):
    """Training by `jax.vjp`; the environment of the process sets the number of threads."""

    def prepare(self, case: Case) -> base.Ready:
        """Prepares the case. The first call compiles it."""
        given = numbers(case)
        weights = {name: jnp.asarray(w) for name, w in given.weights.items()}
        x, grad = jnp.asarray(given.x), jnp.asarray(given.grad)
        zero = jnp.zeros((case.batch, case.hidden))
        state = (zero, zero) if case.cell == "LSTM" else (zero,)
        if case.mode == "training":
            train = jax.jit(_training(case.cell, state))
            return base.Ready(lambda: jax.block_until_ready(train(weights, x, grad)), _results)
        forward = jax.jit(lambda weights, x, state: run(case.cell, weights, x, state))

        def call() -> Any:
            nonlocal state
            output, last = jax.block_until_ready(forward(weights, x, state))
            if case.streams:
                state = last
            return output, None

        return base.Ready(call, _results)


def run(cell: str, weights: dict[str, Any], x: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Outputs of all steps and the last state."""
    projected = x @ weights["weight_ih"].T + weights["bias_ih"]

    def step(state: tuple[Any, ...], gates: Any) -> tuple[tuple[Any, ...], Any]:
        state = STEPS[cell](gates, state[0] @ weights["weight_hh"].T + weights["bias_hh"], state)
        return state, state[0]

    last, output = jax.lax.scan(step, state, projected)
    return output, last


def _rnn(x: Any, h: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    return (jnp.tanh(x + h),)


def _gru(x: Any, h: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    (xr, xz, xn), (hr, hz, hn) = jnp.split(x, 3, -1), jnp.split(h, 3, -1)
    z = jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
    return ((1 - z) * n + z * state[0],)


def _lstm(x: Any, h: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    i, f, g, o = jnp.split(x + h, 4, -1)
    c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def _training(cell: str, state: tuple[Any, ...]) -> Callable[..., Any]:
    def train(weights: dict[str, Any], x: Any, grad: Any) -> Any:
        output, pull = jax.vjp(lambda weights, x: run(cell, weights, x, state)[0], weights, x)
        by_weight, by_input = pull(grad)
        return output, {"input": by_input, **by_weight}

    return train


def _results(found: Any) -> dict[str, np.ndarray]:
    output, grads = found
    return {"output": np.asarray(output), **{f"gradient of {k}": np.asarray(v) for k, v in (grads or {}).items()}}
