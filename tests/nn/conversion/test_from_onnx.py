"""Layers that are read from operators of ONNX, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import recurra
from recurra import nn
from recurra.errors import DataError, UsageError

STEPS, BATCH, FEATURES, HIDDEN = 6, 3, 4, 5
ROWS = {"RNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"RNN": ("h",), "LSTM": ("h", "c"), "GRU": ("h",)}


def model(kind, *, directions=1, bias=True, peepholes=False, initial=(), name="cell", dtype=np.float32, **attributes):
    """A model with one operator, whose inputs are x, lengths and initial states."""
    rng, rows = np.random.default_rng(0), ROWS[kind] * HIDDEN

    def weight(label, *shape):
        return numpy_helper.from_array(rng.normal(size=(directions, *shape)).astype(dtype) * 0.5, label)

    stored = [weight("w", rows, FEATURES), weight("r", rows, HIDDEN)]
    stored += [weight("b", 2 * rows)] if bias else []
    stored += [weight("p", 3 * HIDDEN)] if peepholes else []
    stored += [numpy_helper.from_array(value, f"{state}0") for state, value in initial]
    states = [f"{state}0" for state in STATES[kind]]
    names = ["x", "w", "r", "b" if bias else "", "lengths", *states, *(["p"] if peepholes else [])]
    outputs = ["y", *(f"{state}n" for state in STATES[kind])]
    node = helper.make_node(kind, names, outputs, name=name, hidden_size=HIDDEN, **attributes)
    free = [state for state in states if state not in {value.name for value in stored}]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, FEATURES]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]),
        *(helper.make_tensor_value_info(state, TensorProto.FLOAT, [directions, None, HIDDEN]) for state in free),
    ]
    results = [helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in outputs]
    graph = helper.make_graph([node], "g", inputs, results, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


CASES = {
    "rnn": {"kind": "RNN"},
    "relu, backwards": {"kind": "RNN", "activations": ["Relu"], "direction": "reverse"},
    "lstm": {"kind": "LSTM"},
    "lstm without bias": {"kind": "LSTM", "bias": False},
    "lstm, both": {"kind": "LSTM", "directions": 2, "direction": "bidirectional"},
    "peepholes": {"kind": "LSTM", "peepholes": True},
    "peepholes, backwards": {"kind": "LSTM", "peepholes": True, "direction": "reverse"},
    "peepholes, both": {"kind": "LSTM", "peepholes": True, "directions": 2, "direction": "bidirectional"},
    "gru, before": {"kind": "GRU", "linear_before_reset": 1},
    "gru, after": {"kind": "GRU"},
    "gru, after, without bias": {"kind": "GRU", "bias": False, "direction": "reverse"},
    "gru, after, both": {"kind": "GRU", "directions": 2, "direction": "bidirectional"},
    "gru, before, backwards": {"kind": "GRU", "linear_before_reset": 1, "direction": "reverse"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_layer_computes_what_the_operator_computes(case):
    made, rng = model(**CASES[case]), np.random.default_rng(1)
    directions, states = CASES[case].get("directions", 1), STATES[CASES[case]["kind"]]
    x = rng.normal(size=(STEPS, BATCH, FEATURES)).astype(np.float32)
    lengths = np.array([STEPS, 4, 1], np.int32)
    initial = {s: rng.normal(size=(directions, BATCH, HIDDEN)).astype(np.float32) for s in states}
    session = onnxruntime.InferenceSession(made.SerializeToString())
    y, *last = session.run(None, {"x": x, "lengths": lengths} | {f"{s}0": value for s, value in initial.items()})
    layer = recurra.from_onnx(made)
    hx = tuple(torch.from_numpy(value) for value in initial.values())
    hx = hx if isinstance(layer, nn.LSTM) or len(hx) > 1 else hx[0]
    with torch.no_grad():
        output, found = layer(torch.from_numpy(x), hx, lengths=torch.from_numpy(lengths))
    expected = y.transpose(0, 2, 1, 3).reshape(STEPS, BATCH, -1)  # directions side by side
    np.testing.assert_allclose(output, expected, atol=2e-6)
    for part, state in zip(found if isinstance(found, tuple) else (found,), last, strict=True):
        np.testing.assert_allclose(part, state, atol=2e-6)


def test_layout_1_is_batch_first(tmp_path):
    made = model("LSTM", layout=1)
    onnx.save(made, tmp_path / "m.onnx")
    layer = recurra.from_onnx(str(tmp_path / "m.onnx"))
    assert layer.batch_first
    x = np.random.default_rng(1).normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)
    del made.graph.node[0].input[4:], made.graph.input[1:]
    y, _, _ = ReferenceEvaluator(made).run(None, {"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.from_numpy(x))[0], y[:, :, 0], atol=2e-6)


def test_constant_weights_and_double_precision():
    expected, made = (model("GRU", linear_before_reset=1, dtype=np.float64) for _ in range(2))
    weights = [*made.graph.initializer]
    del made.graph.initializer[:]
    for weight in weights:
        made.graph.node.insert(0, helper.make_node("Constant", [], [weight.name], value=weight))
    layer = recurra.from_onnx(made)
    assert layer.weight_ih_l0.dtype == torch.float64
    assert torch.equal(layer.weight_ih_l0, recurra.from_onnx(expected).weight_ih_l0)


def two():
    first, second = model("LSTM"), model("LSTM", name="")
    first.graph.node.extend(second.graph.node)
    first.graph.node[1].output[0] = "other"
    return first


def without_weights():
    made = model("LSTM")
    del made.graph.initializer[0]
    return made


def nonzero():
    return model("LSTM", initial=[("h", np.ones((1, BATCH, HIDDEN), np.float32))])


@pytest.mark.parametrize(
    ("make", "node", "error", "message"),
    [
        (lambda: model("LSTM", clip=1.0), None, UsageError, r"cell has clip=1\.0"),
        (lambda: model("LSTM", input_forget=1), None, UsageError, "cell has input_forget=1"),
        (
            lambda: model("GRU", activations=["HardSigmoid", "Tanh"]),
            None,
            UsageError,
            "activations Hardsigmoid, Tanh; Recurra's GRU has Sigmoid, Tanh$",
        ),
        (lambda: model("RNN", activations=["Softsign"]), None, UsageError, "RNN has Tanh or Relu"),
        (two, None, UsageError, "give node=NAME for one of several operators; the file has cell, other"),
        (two, "nothing", UsageError, "no operator 'nothing'; the file has cell, other"),
        (without_weights, None, DataError, "the weight 'w' is computed or an input"),
        (nonzero, None, UsageError, "constant initial states"),
        (lambda: "missing.onnx", None, DataError, r"missing\.onnx cannot be read: No such file"),
        (lambda: __file__, None, DataError, "is no ONNX file"),
    ],
)
def test_what_has_no_counterpart_is_refused(make, node, error, message):
    with pytest.raises(error, match=message):
        recurra.from_onnx(make(), node=node)


def test_one_of_two_operators_is_chosen_by_its_output():
    assert isinstance(recurra.from_onnx(two(), node="other"), nn.LSTM)
