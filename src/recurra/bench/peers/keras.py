"""Keras on its JAX backend: the layers' stateless calls under `jit`."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"  # read at the import

from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import keras  # pyright: ignore[reportMissingImports]
import numpy as np

from recurra.bench.cases import Case, Numbers, numbers

from . import base

KINDS = {"RNN": "SimpleRNN", "GRU": "GRU", "LSTM": "LSTM"}


class Peer(base.Peer):
    """Keras layers with batch-major data; the environment of the process sets the number of threads."""

    def prepare(self, case: Case) -> base.Ready:
        """Builds a layer with the weights of the case, and a compiled call on its input."""
        given = numbers(case)
        layer = _layer(case, given)
        x, grad = (jnp.asarray(v.swapaxes(0, 1)) for v in (given.x, given.grad))
        weights, others = ([v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables))
        zero = jnp.zeros((case.batch, case.hidden))
        state = [zero] * (2 if case.cell == "LSTM" else 1)

        def forward(weights: list[Any], x: Any, state: list[Any]) -> Any:
            (output, *last), _ = layer.stateless_call(weights, others, x, initial_state=state)
            return output, last

        if case.mode == "training":

            def train(weights: list[Any], x: Any, grad: Any) -> Any:
                output, pull = jax.vjp(lambda weights, x: forward(weights, x, state)[0], weights, x)
                return output, *pull(grad)

            compiled = jax.jit(train)
            call = lambda: jax.block_until_ready(compiled(weights, x, grad))  # noqa: E731
            return base.Ready(call, lambda found: _results(case.cell, *found))
        compiled = jax.jit(forward)

        def infer() -> Any:
            nonlocal state
            output, last = jax.block_until_ready(compiled(weights, x, state))
            if case.streams:
                state = last
            return output

        return base.Ready(infer, lambda output: {"output": np.asarray(output).swapaxes(0, 1)})


def _layer(case: Case, given: Numbers) -> Any:
    layer = getattr(keras.layers, KINDS[case.cell])(case.hidden, return_sequences=True, return_state=True)
    layer.build((case.batch, case.steps, case.hidden))
    rows = {name: base.reorder(w, case.cell, "ifco") for name, w in given.weights.items()}
    both = [rows["bias_ih"], rows["bias_hh"]]
    bias = np.stack(both) if case.cell == "GRU" else np.add(*both)  # only its GRU keeps two
    layer.set_weights([rows["weight_ih"].T, rows["weight_hh"].T, bias])
    return layer


def _results(cell: str, output: Any, by_weight: list[Any], by_input: Any) -> dict[str, np.ndarray]:
    found = {"output": np.asarray(output).swapaxes(0, 1), "gradient of input": np.asarray(by_input).swapaxes(0, 1)}
    for name, value in zip(("weight_ih", "weight_hh"), by_weight, strict=False):
        found[f"gradient of {name}"] = base.restore(np.asarray(value).T, cell, "ifco")
    return found
