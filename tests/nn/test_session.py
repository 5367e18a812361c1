"""Sessions: the steps of a layer with its states in the engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from recurra import nn
from recurra.errors import EngineError, UsageError
from recurra.nn import session as session_module
from recurra.ops.native import bindings

native = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "projection": lambda *a: nn.LSTM(*a, proj_size=2)}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def flat(state):
    return list(state) if isinstance(state, tuple) else [state]


@native
@every_kind
@pytest.mark.parametrize("layers", [1, 2])
def test_a_session_steps_reads_its_state_and_begins_anew(kind, layers):
    layer, x = KINDS[kind](3, 4, layers), torch.randn(5, 2, 3)
    session = layer.session(2)
    with torch.no_grad():
        output, last = layer(x)
    torch.testing.assert_close(torch.stack([session.step(row) for row in x]), output)
    assert isinstance(session.state, tuple) == isinstance(last, tuple)
    for found, expected in zip(flat(session.state), flat(last), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
    session.reset()
    assert not any(state.any() for state in flat(session.state))
    torch.testing.assert_close(session.step(x[0]), output[0])


@native
@every_kind
@pytest.mark.parametrize("form", [lambda s: s, list], ids=["as it is", "list"])
def test_a_state_that_is_set_goes_on(kind, form):
    layer, x = KINDS[kind](3, 4, 2), torch.randn(5, 2, 3)
    with torch.no_grad():
        _, middle = layer(x[:3])
        expected, last = layer(x[3:], middle)
    session = layer.session(2)
    session.state = form(middle) if isinstance(middle, tuple) else middle
    torch.testing.assert_close(torch.stack([session.step(row) for row in x[3:]]), expected)
    torch.testing.assert_close(session.state, last)


@native
def test_inputs_of_other_types_and_layouts_are_read_as_their_numbers():
    layer = nn.GRU(3, 4)
    x = torch.randn(2, 3)
    expected = layer.session(2).step(x)
    for given in (x.double(), x.T.contiguous().T, torch.stack([x, x], 2)[..., 0], x.clone().requires_grad_()):
        found = layer.session(2).step(given)
        torch.testing.assert_close(found, expected)
        assert not found.requires_grad


@native
def test_one_sequence_is_the_default():
    session = nn.LSTM(3, 4).session()
    assert session.step(torch.zeros(1, 3)).shape == (1, 4)
    assert [tuple(s.shape) for s in session.state] == [(1, 1, 4)] * 2


@native
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(3), r"one step must have shape \(2, 3\), got \(3,\)"),
        (torch.zeros(1, 3), r"one step must have shape \(2, 3\), got \(1, 3\)"),
        (torch.zeros(2, 4), r"one step must have shape \(2, 3\), got \(2, 4\)"),
        (torch.zeros(2, 3, dtype=torch.complex64), "one step must hold real numbers, got torch.complex64"),
        (torch.zeros(2, 3, device="meta"), "one step is on the device meta"),
    ],
)
def test_steps_that_do_not_fit(wrong, message):
    session = nn.GRU(3, 4).session(2)
    with pytest.raises(UsageError, match=message):
        session.step(wrong)


@native
def test_states_that_do_not_fit():
    session = nn.LSTM(3, 4).session(2)
    state = torch.zeros(1, 2, 4)
    for wrong, message in [
        (state, "has 2 tensors, got 1"),
        ((state,) * 3, "has 2 tensors, got 3"),
        ((state, state[0]), r"the state must have shape \(1, 2, 4\), got \(2, 4\)"),
    ]:
        with pytest.raises(UsageError, match=message):
            session.state = wrong


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.GRU(3, 4).session(2, torch.float64), "float32, bfloat16 or int8, not torch.float64"),
        (lambda: nn.GRU(3, 4, bidirectional=True).session(), "both ends of a sequence"),
        (lambda: nn.GRU(3, 4).session(0), "batch must be at least 1, got 0"),
        (lambda: nn.GRU(3, 4).double().session(), "a layer in float32 on the CPU"),
        (lambda: nn.GRU(3, 4, device="meta").session(), "a layer in float32 on the CPU"),
    ],
)
def test_sessions_that_cannot_be(build, message):
    with pytest.raises(UsageError, match=message):
        build()


def test_sessions_need_the_engine(monkeypatch):
    monkeypatch.setattr(session_module, "open_session", lambda *args, **options: None)
    with pytest.raises(EngineError, match=r"no engine has sessions of the cell 'gru'; use layer\.step"):
        nn.GRU(3, 4).session()
    monkeypatch.setattr(session_module, "kernels", SimpleNamespace(engine=None))
    with pytest.raises(EngineError, match="need the native engine"):
        nn.GRU(3, 4).session()


def test_only_a_session_of_bfloat16_rounds_its_weights(monkeypatch):
    given = []

    def open_session(stack, weights, batch, *, bf16, engine):
        given.append((batch, bf16, engine))
        return True

    monkeypatch.setattr(session_module, "open_session", open_session)
    nn.GRU(3, 4).session(1)
    nn.GRU(3, 4, engine="reference").session(3, torch.bfloat16)
    assert given == [(1, False, "auto"), (3, True, "reference")]
