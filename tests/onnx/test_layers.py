"""Recurrent layers as ONNX graphs, run in ONNX Runtime and OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_session import Session
from openvino_session import OpenVinoSession

from recurra import cells, nn
from recurra.errors import UsageError
from recurra.exporting.onnx import build


@pytest.fixture(autouse=True, scope="module")
def _few_batches():
    """Lets the export itself compare a few batches; `test_check.py` tests their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recurra.onnx.check.BATCHES", 10)
        yield


class Minimal(cells.Cell):
    """A cell of the user: one gate fewer than a GRU."""

    name, gates, states = "minimal", ("forget", "candidate"), ("hidden",)

    def step(self, x, state, weights, alter=cells.as_is):
        (h,) = state
        f_x, n_x = cells.linear(x, weights, "ih").chunk(2, -1)
        f_h, n_h = cells.linear(h, weights, "hh").chunk(2, -1)
        f = torch.sigmoid(f_x + f_h)
        n = torch.nn.functional.layer_norm(n_x, n_x.shape[-1:], eps=0.1).tanh() + f * n_h.relu()
        return cells.Step(((1 - f) * h + f * n.clamp(-1, 1),), (f, n))


class Peephole(cells.LSTM):
    """A subclass of a built-in cell with two states, which computes something else."""

    name = "peephole"

    def step(self, x, state, weights, alter=cells.as_is):
        step = super().step(x, state, weights, alter)
        return cells.Step((step.state[0] * torch.sigmoid(step.state[1]), step.state[1]), step.gates)


class Sorted(Minimal):
    """A cell with an operation that is not translated."""

    name = "sorted"

    def step(self, x, state, weights, alter=cells.as_is):
        step = super().step(x, state, weights, alter)
        return cells.Step((step.state[0].sort(-1).values,), step.gates)


def layer(kind: str, features: int, hidden: int, **options: Any) -> Any:
    """Returns a layer by name, with weights that are not small."""
    torch.manual_seed(0)
    if kind in ("minimal", "peephole"):
        cell = Minimal() if kind == "minimal" else Peephole()
        return nn.Recurrent(cell, features, hidden, **options)
    if kind == "projected":
        return nn.LSTM(features, hidden, proj_size=max(hidden // 2, 1), **options)
    if kind == "relu":
        return nn.RNN(features, hidden, nonlinearity="relu", **options)
    return getattr(nn, kind)(features, hidden, **options)


KINDS = ("RNN", "relu", "GRU", "LSTM", "projected", "minimal", "peephole")
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "features": st.integers(1, 6),
        "hidden": st.integers(2, 9),
        "num_layers": st.integers(1, 3),
        "bidirectional": st.booleans(),
        "bias": st.booleans(),
        "batch_first": st.booleans(),
    }
)
LENGTHS = st.lists(st.integers(0, 8), min_size=1, max_size=5).filter(any)


def near(found: np.ndarray, expected: torch.Tensor) -> None:
    """Checks that two arrays are equal up to 1e-5, relative to the largest value if it is above 1."""
    assert np.abs(found - expected.numpy()).max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def compare(configuration: dict[str, Any], lengths: list[int]) -> None:
    """Compares a layer with its file in both runtimes, on a ragged batch of random numbers, also beyond the lengths."""
    options = dict(configuration)
    kind, features, hidden = (options.pop(name) for name in ("kind", "features", "hidden"))
    made = layer(kind, features, hidden, **options)
    x = torch.randn(len(lengths), max(lengths) + 1, features)
    x = x if made.batch_first else x.transpose(0, 1).contiguous()
    with torch.no_grad():
        output, states = made(x, lengths=lengths)
    parts = states if isinstance(states, tuple) else (states,)
    content = build(made)
    for runtime in (Session, OpenVinoSession):
        found = runtime(content)(x=x.numpy(), lengths=np.array(lengths))
        near(found["scores"], output)
        for name, part in zip(made.stack.cell.states, parts, strict=True):
            for at, value in enumerate(part):
                near(found[f"state.{name}.{at}.next"], value)


@given(CONFIGURATIONS, LENGTHS)
@settings(max_examples=12)
def test_layers_equal_their_files(configuration, lengths):
    compare(configuration, lengths)


@pytest.mark.slow
@given(CONFIGURATIONS, LENGTHS)
@settings(max_examples=300)
def test_many_layers_equal_their_files(configuration, lengths):
    compare(configuration, lengths)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", [Session, OpenVinoSession])
def test_seven_chunks_with_carried_state_equal_one_call(kind, runtime):
    made = layer(kind, 3, 4, num_layers=2, batch_first=True)
    x, lengths = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32), np.array([40, 0, 17])
    session = runtime(build(made, required_inputs=True))
    states = {
        name: np.zeros((3, 2 if "hidden" in name and kind == "projected" else 4), np.float32)
        for name in session.inputs
        if name.startswith("state")
    }
    whole, outputs = session(x=x, lengths=lengths, **states), []
    for part in np.array_split(np.arange(40), 7):
        found = session(x=x[:, part], lengths=(lengths - part[0]).clip(0, len(part)), **states)
        outputs.append(found.pop("scores"))
        states = {name.removesuffix(".next"): value for name, value in found.items()}
    assert np.abs(np.concatenate(outputs, 1) - whole["scores"]).max() <= 1e-6
    for name, value in states.items():
        assert np.abs(value - whole[f"{name}.next"]).max() <= 1e-6
    optional = Session(build(made))
    assert optional.inputs == ["x", "lengths"]
    assert np.abs(optional(x=x, lengths=lengths)["scores"] - whole["scores"]).max() <= 1e-6


@pytest.mark.parametrize("cell", [cells.SLSTM(heads=2), cells.RGLRU(), cells.MogrifierLSTM(), cells.SRU()], ids=repr)
def test_built_in_variants_equal_their_files(cell):
    torch.manual_seed(0)
    made = nn.Recurrent(cell, 3, 4, num_layers=2, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(3, 7, 3), [7, 0, 4]
    with torch.no_grad():
        output, states = made(x, lengths=lengths)
    found = Session(build(made))(x=x.numpy(), lengths=np.array(lengths))
    near(found["scores"], output)
    for name, part in zip(cell.states, states, strict=True):
        near(found[f"state.{name}.3.next"], part[3])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_built_in_cells_are_operators(kind, bidirectional):
    model = onnx.load_from_string(build(layer(kind, 3, 4, num_layers=2, bidirectional=bidirectional)))
    nodes = [node for node in model.graph.node if node.op_type in ("RNN", "GRU", "LSTM", "Scan")]
    assert [node.op_type for node in nodes] == [kind] * 2
    for node in nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes["direction"] == (b"bidirectional" if bidirectional else b"forward")
        assert "layout" not in attributes  # ONNX Runtime refuses 1


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "minimal"])
def test_int8_stores_a_third(kind):
    made = layer(kind, 32, 96, num_layers=2)
    small, large = build(made, int8=True), build(made)
    assert len(small) <= 0.3 * len(large)
    x, lengths = torch.randn(9, 2, 32), np.array([9, 4])
    with torch.no_grad():
        output = made(x, lengths=lengths)[0].numpy()
    found = Session(small)(x=x.numpy(), lengths=lengths)["scores"]
    away = np.sqrt(np.square(found - output).mean() / np.square(output).mean())
    assert 0 < away < 0.03


def test_layers_of_torch_and_versions_of_the_operators():
    torch.manual_seed(0)
    made = torch.nn.LSTM(3, 4, batch_first=True)
    x = torch.randn(2, 5, 3)
    for opset in (17, 18, 21):
        content = build(made, opset=opset)
        assert onnx.load_from_string(content).opset_import[0].version == opset
        found = Session(content)(x=x.numpy(), lengths=np.array([5, 5]))["scores"]
        assert np.abs(found - made(x)[0].detach().numpy()).max() <= 1e-5


def test_a_cell_with_an_unknown_operation_is_refused():
    with pytest.raises(UsageError, match=r"the cell sorted uses aten.sort.default, which has no translation to ONNX"):
        build(nn.Recurrent(Sorted(), 3, 4))
