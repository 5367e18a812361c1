"""Layers in JavaScript: outputs, every gate and state equal Python's."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from javascript import RUNNERS, run, tensor

import recurra
from recurra import nn
from recurra.exporting import export
from recurra.exporting.web.models.parts import describe_stack

CELLS = ("LSTM", "GRU", "RNN", "RNN relu")
SHAPES = list(product(CELLS, (1, 2, 3), (False, True)))
INPUTS_EACH = 9
"""24 shapes with 9 inputs: 216 in all."""
TOLERANCE = {"rtol": 0, "atol": 1e-5}


def build(cell: str, layers: int, bidirectional: bool, **options) -> Any:
    """A layer whose size is no multiple of a vector for every second shape."""
    torch.manual_seed(layers)
    kind, _, nonlinearity = cell.partition(" ")
    more = {"nonlinearity": nonlinearity} if nonlinearity else {}
    size = 16 if layers == 2 else 13
    layer = getattr(nn, kind)(5, size, layers, batch_first=True, bidirectional=bidirectional, **more, **options)
    return layer.eval()


@pytest.fixture(scope="module", params=RUNNERS)
def layers(request, tmp_path_factory):
    """By shape: the layer, its inputs of 0 to 40 steps, and what JavaScript found for each."""
    folder = tmp_path_factory.mktemp("layers")
    random = np.random.default_rng(0)
    made, calls = {}, []
    for number, shape in enumerate(SHAPES):
        layer = build(*shape)
        lengths = [0, 1, 2, *random.integers(3, 41, INPUTS_EACH - 3)]
        inputs = [2 * random.standard_normal((n, 5)).astype(np.float32) for n in lengths]
        path = export(layer, folder / f"{number}.safetensors")
        made[shape] = layer, inputs
        calls.append({"model": path, "call": "inspect", "inputs": inputs})
    return {shape: (*made[shape], found) for shape, found in zip(SHAPES, request.param(calls), strict=True)}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_every_gate_equal_those_of_python(layers, shape):
    layer, inputs, found = layers[shape]
    for x, answer in zip(inputs, found, strict=True):
        with torch.no_grad():
            output, _ = layer(torch.from_numpy(x)[None])
        np.testing.assert_allclose(np.array(answer["output"]), output.numpy().ravel(), **TOLERANCE)
        if not len(x):
            continue
        trace = recurra.trace(layer, torch.from_numpy(x)[None])
        names = [*layer.stack.cell.gates, *layer.stack.cell.states]
        assert names == [*answer["gates"], *answer["states"]]
        for name in names:
            gate = tensor({**answer["gates"], **answer["states"]}[name])
            np.testing.assert_allclose(gate, trace[name].values[:, :, 0], **TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_equal_the_whole_sequence(cell, tmp_path):
    layer = build(cell, 2, False)
    path = export(layer, tmp_path / "layer.safetensors")
    x = torch.randn(30, 5)
    with torch.no_grad():
        output, last = layer(x[None])
    calls = [{"model": path, "call": call, "inputs": [x.numpy()]} for call in ("steps", "streams")]
    found, streamed = run(calls)
    for steps in (found, streamed):
        np.testing.assert_allclose([step["output"] for step in steps[0]], output[0].numpy(), **TOLERANCE)
    hidden = last[0] if isinstance(last, tuple) else last
    np.testing.assert_allclose(found[0][-1]["state"]["hidden"], hidden.numpy().ravel(), **TOLERANCE)


def call_of(layer, x, lengths, states) -> dict:
    """A call of a stack for a whole batch with initial states."""
    recurrent = describe_stack(layer)
    tensors = [weight.detach().numpy().ravel() for weight in layer.parameters()]
    given = {name: state.numpy().ravel() for name, state in zip(recurrent["states"], states, strict=True)}
    options = {"recurrent": recurrent, "tensors": tensors, "x": x.numpy().ravel(), "states": given}
    return {"call": "stack", **options, "lengths": lengths, "steps": x.shape[1]}


@pytest.mark.parametrize("cell", [*CELLS, "LSTM projected", "GRU without bias"])
def test_a_ragged_batch_with_states(cell):
    kind = cell if cell in CELLS else cell.partition(" ")[0]
    options = {"proj_size": 6} if "projected" in cell else {"bias": False} if "without" in cell else {}
    layer = build(kind, 2, True, **options)
    lengths = [3, 0, 11, 7, 11, 1]
    x = torch.randn(len(lengths), 11, 5)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: len(layer.stack.cell.states)]
    states = [torch.randn(4, len(lengths), size) for size in sizes]
    with torch.no_grad():
        output, last = layer(x, tuple(states) if len(states) == 2 else states[0], lengths=torch.tensor(lengths))
    (found,) = run([call_of(layer, x, lengths, states)])
    np.testing.assert_allclose(found["output"], output.numpy().ravel(), **TOLERANCE)
    for name, state in zip(layer.stack.cell.states, last if len(states) == 2 else [last], strict=True):
        np.testing.assert_allclose(found[name], state.numpy().ravel(), **TOLERANCE)
    hidden = tensor(found["inspected"]["hidden"])
    for row, length in enumerate(lengths):
        assert np.isfinite(hidden[:, :, row, :length]).all()
        assert np.isnan(hidden[:, :, row, length:]).all()


@pytest.mark.parametrize("cell", CELLS)
def test_seven_chunks_with_carried_states_equal_one_call(cell):
    layer = build(cell, 2, False)
    x = torch.randn(3, 28, 5)
    with torch.no_grad():
        output, last = layer(x)
    call = call_of(layer, x, [], [torch.zeros(0)] * len(layer.stack.cell.states))
    (found,) = run([{**call, "call": "chunks", "chunks": 7, "x": x.numpy()}])
    parts = [np.array(chunk["output"]).reshape(3, 4, -1) for chunk in found]
    np.testing.assert_allclose(np.concatenate(parts, 1), output.numpy(), **TOLERANCE)
    for name, state in zip(layer.stack.cell.states, last if isinstance(last, tuple) else [last], strict=True):
        np.testing.assert_allclose(found[-1][name], state.numpy().ravel(), **TOLERANCE)


@pytest.mark.parametrize("closes", [False, True])
def test_the_memory_of_the_engine_does_not_grow(closes, tmp_path):
    path = export(build("LSTM", 3, False), tmp_path / "layer.safetensors")
    inputs = [np.ones((50, 5))] * 40
    (found,) = run([{"call": "memory", "file": path, "inputs": inputs, "rounds": 300, "closes": closes}])
    assert set(found[10:]) == {found[10]}


def test_wrong_calls_are_refused(tmp_path):
    layer = build("GRU", 1, True)
    path = export(layer, tmp_path / "layer.safetensors")
    wrong_length = call_of(layer, torch.randn(2, 3, 5), [3, 4], [torch.zeros(2, 2, 13)])
    wrong_states = call_of(layer, torch.randn(2, 3, 5), [3, 2], [torch.zeros(2, 1, 13)])
    wrong_weights = {**wrong_length, "tensors": wrong_length["tensors"][:-1]}
    calls = [
        {"model": path, "call": "steps", "inputs": [np.zeros((1, 5))]},
        {"model": path, "call": "streams", "inputs": [np.zeros((1, 5))]},
        {"model": path, "call": "predict", "inputs": [np.zeros((1, 4))]},
        wrong_length,
        wrong_states,
        wrong_weights,
        {"call": "read", "bytes": [1, 2, 3]},
        {"call": "read", "bytes": list(path.read_bytes()[:-4])},
    ]
    messages = [found["error"] for found in run(calls)]
    for message, part in zip(
        messages,
        (
            "bidirectional",
            "bidirectional",
            "5 numbers, not 4",
            "from 0 to 3",
            "the hidden state has 52 numbers, not 26",
            "do not have the sizes",
            "not a safetensors file",
            "is damaged",
        ),
        strict=True,
    ):
        assert part in message
