"""One call of the native engine in each of its ways, with the seed of its dropout and what it leaves to others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recurra.cells import GRU, LSTM, RNN
from recurra.errors import EngineError
from recurra.ops import Stack, recurrence
from recurra.ops.call import prepare
from recurra.ops.native import bindings, engine
from recurra.ops.native.config import RecurrenceConfig
from samples import draw

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


def call(stack, **options):
    sample = draw(stack, lengths=[9, 0, 3, 7], initial=True)
    about, lengths = prepare(
        stack, sample.values, sample.weights, sample.lengths, sample.states, batch_first=True, **options
    )
    return about, (sample.values, sample.weights, lengths, sample.states)


@every_cell
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("memory", ["full", "recompute"])
def test_a_call_and_its_gradients_are_the_reference(cell, initial, memory):
    sample = draw(Stack(cell, 5, 7, 2, True), lengths=[9, 0, 3, 7], initial=initial)
    found = []
    for name in ("native", "reference"):
        leaves = [t.clone().requires_grad_() for t in (sample.values, *(sample.states or ()), *sample.weights)]
        count = 1 + len(sample.states or ())
        states = tuple(leaves[1:count]) or None
        output, last = recurrence(
            sample.stack, leaves[0], leaves[count:], sample.lengths, states, batch_first=True, engine=name,
            memory=memory,
        )  # fmt: skip
        total = output.square().sum() + sum(s.sin().sum() for s in last)
        found.append([output, *last, *torch.autograd.grad(total, leaves)])
        with torch.no_grad():
            again, last = recurrence(
                sample.stack, leaves[0], leaves[count:], sample.lengths, states, batch_first=True, engine=name
            )
        torch.testing.assert_close([again, *last], found[-1][: 1 + len(last)])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-11)


@every_cell
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(cell, dtype):
    sample = draw(Stack(cell, 5, 7), lengths=[9, 0, 3, 7], initial=True).to(dtype)
    whole = sample.to(torch.float32)
    for states in (True, False):
        arguments = [(s.stack, s.values, s.weights, s.lengths, s.states if states else None) for s in (sample, whole)]
        output, last = recurrence(*arguments[0], batch_first=True, engine="native")
        expected, ends = recurrence(*arguments[1], batch_first=True, engine="native")
        assert output.dtype == dtype
        assert {s.dtype for s in last} == {dtype}
        assert torch.equal(output, expected.to(dtype))
        assert all(torch.equal(a, b.to(dtype)) for a, b in zip(last, ends, strict=True))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_configuration_of_a_call(layers, training, precision):
    stack = Stack(LSTM(), 5, 7, layers, True, False, 3)
    about, _ = call(stack, dropout=0.3, training=training, precision=precision, memory="recompute")
    dropout = 0.3 if training and layers > 1 else 0.0
    half = precision == "bfloat16"
    assert engine.configure(about) == RecurrenceConfig(2, 7, 3, layers, True, False, True, dropout, 3, half)
    assert engine.configure(replace(about, chunk=0)).chunk == 0


def within(way, monkeypatch, function):
    """Calls it as it is, where a mode watches, or under a transform; returns output and states."""
    monkeypatch.setattr(engine, "watched", lambda *tensors: way == "watched")
    if way != "transform":
        return function()
    output, last = torch.func.vmap(lambda _: function(), randomness="same")(torch.zeros(1))
    return output[0], tuple(s[0] for s in last)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("way", ["plain", "watched", "transform"])
def test_a_seed_is_drawn_only_for_dropout(monkeypatch, grad, way):
    """From torch's generator, one number below 2**62 for a call."""
    drawn, before = [], torch.randint

    def randint(*given, **options):
        drawn.append((given, options))
        return before(*given, **options)

    monkeypatch.setattr(torch, "randint", randint)
    for dropout in (0.0, 0.5):
        about, inputs = call(Stack(GRU(), 5, 7, 2), dropout=dropout, training=True)
        with torch.set_grad_enabled(grad):
            about = replace(about, needs_grad=grad)
            output, last = within(way, monkeypatch, lambda about=about, inputs=inputs: engine.run(about, *inputs))
        assert output.shape == (4, 9, 7)
        assert [tuple(s.shape) for s in last] == [(2, 4, 7)]
        assert drawn == [((2**62, ()), {"device": "cpu"})] * (dropout > 0)


@every_cell
@pytest.mark.parametrize("way", ["plain", "watched", "transform"])
def test_every_way_gives_the_same_bits(monkeypatch, cell, way):
    about, inputs = call(Stack(cell, 5, 7, 2))
    expected, ends = engine.run(about, *inputs)
    output, last = within(way, monkeypatch, lambda: engine.run(about, *inputs))
    assert len(last) == len(ends) == len(cell.states)
    for found, other in zip((output, *last), (expected, *ends), strict=True):
        assert torch.equal(found, other)


@pytest.mark.parametrize("around", ["transform", "autocast", "nothing"])
def test_the_short_way_of_training_is_left_under_transforms_and_autocast(monkeypatch, around):
    sample = draw(Stack(GRU(), 3, 4), dtype=torch.float32)
    if around == "transform":
        monkeypatch.setattr(engine, "transformed", lambda: True)
    if around == "autocast":
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cpu")
    weights = tuple(w.requires_grad_() for w in sample.weights)
    found = engine.fast_layer(sample.stack).train(
        weights, sample.values, None, None, batch_first=True, dropout=0.0, bf16=False
    )
    assert (found is None) == (around != "nothing")


@every_cell
@pytest.mark.parametrize("initial", [True, False])
def test_the_short_way_of_training_is_the_long_one(cell, initial):
    sample = draw(Stack(cell, 5, 7, 2, True), lengths=[9, 0, 3, 7], initial=initial, dtype=torch.float32)
    found = []
    for short in (True, False):
        leaves = [t.clone().requires_grad_() for t in (sample.values, *(sample.states or ()), *sample.weights)]
        count = 1 + len(sample.states or ())
        values, states, weights = leaves[0], tuple(leaves[1:count]) or None, tuple(leaves[count:])
        if short:
            given = states if states is None or len(states) == 2 else states[0]
            output, last = engine.fast_layer(sample.stack).train(
                weights, values, given, sample.lengths, batch_first=True, dropout=0.0, bf16=False
            )
            assert isinstance(last, tuple) == (len(cell.states) == 2)
            last = last if isinstance(last, tuple) else (last,)
        else:
            output, last = recurrence(sample.stack, values, weights, sample.lengths, states, batch_first=True)
        total = output.square().sum() + sum(s.sin().sum() for s in last)
        found.append([output, *last, *torch.autograd.grad(total, leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_the_short_way_draws_a_seed_for_its_dropout(monkeypatch):
    drawn, before = [], torch.randint
    monkeypatch.setattr(torch, "randint", lambda *given, **options: drawn.append(given) or before(*given, **options))
    sample = draw(Stack(GRU(), 3, 4, 2), dtype=torch.float32)
    weights, fast = tuple(w.requires_grad_() for w in sample.weights), engine.fast_layer(sample.stack)
    for dropout, bf16 in ((0.0, False), (0.25, True)):
        output, _ = fast.train(weights, sample.values, None, None, batch_first=True, dropout=dropout, bf16=bf16)
        config = output.grad_fn.config
        assert (config.batch_first, config.dropout, config.chunk, config.bf16) == (True, dropout, 0, bf16)
        assert drawn == [(2**62, ())] * (dropout > 0)
    assert fast.train(weights, sample.values.double(), None, None, batch_first=True, dropout=0.0, bf16=False) is None


@pytest.mark.parametrize("form", [list, tuple])
def test_the_short_way_reads_lists_of_lengths_without_gradients(form):
    sample = draw(Stack(GRU(), 3, 4, 2), 3, 5, dtype=torch.float32)
    fast, parameters = engine.fast_layer(sample.stack), dict(zip(names(sample.stack), sample.weights, strict=True))
    expected, state = fast.forward(parameters, sample.values, None, torch.tensor([3, 0, 5]), True)
    found, last = fast.forward(parameters, sample.values, None, form([3, 0, 5]), True)
    assert torch.equal(found, expected)
    assert torch.equal(last, state)
    for wrong in ([3, 0], [3, 0, 6], [3, 0, -1], [3, 0, True], [3, 0, 2.0], [3, 0, 1 << 70], [3, 0, None]):
        assert fast.forward(parameters, sample.values, None, form(wrong), True) is None
    weights = tuple(w.requires_grad_() for w in sample.weights)
    options = {"batch_first": True, "dropout": 0.0, "bf16": False}
    assert fast.train(weights, sample.values, None, form([3, 0, 5]), **options) is None  # the backward pass keeps them


@every_cell
def test_a_step_of_a_cell_has_states_without_layers(cell):
    sample = draw(Stack(cell, 3, 4), 3, 1, dtype=torch.float32, initial=True)
    fast, parameters = engine.fast_layer(sample.stack), dict(zip(names(sample.stack), sample.weights, strict=True))
    x, states = sample.values[:, 0].contiguous(), tuple(sample.states)
    given = states if len(states) == 2 else states[0]
    flat = tuple(s[0] for s in states) if len(states) == 2 else states[0][0]
    with torch.no_grad():
        output, last = fast.step(parameters, x, given)
        found = fast.cell(parameters, x, flat)
        wrong = fast.cell(parameters, x, given)
    expected = (output, last[1][0]) if len(states) == 2 else output
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert wrong is None
    assert fast.cell(parameters, x, flat) is None  # with gradients


def names(stack):
    return [name for name, _ in stack.named_shapes()]


def test_a_second_derivative_of_every_input_is_refused():
    sample = draw(Stack(LSTM(), 3, 4), 2, 3, initial=True)
    leaves = [t.clone().requires_grad_() for t in (sample.values, *sample.states, *sample.weights)]
    output, _ = recurrence(
        sample.stack, leaves[0], leaves[3:], None, tuple(leaves[1:3]), batch_first=True, engine="native"
    )
    firsts = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
    for first in firsts:
        assert first.requires_grad
        with pytest.raises(EngineError, match="first derivatives only"):
            torch.autograd.grad(first.sum(), leaves, retain_graph=True, allow_unused=True)


def test_layers_and_sessions_need_a_kernel(monkeypatch):
    class Own(GRU):
        name = "own"

    stack = Stack(GRU(), 3, 4)
    weights = [torch.zeros(shape) for _, shape in stack.named_shapes()]
    assert engine.supports(GRU())
    assert not engine.supports(Own())
    for cell, there in ((GRU(), True), (Own(), False)):
        of_cell = Stack(cell, 3, 4)
        assert (engine.fast_layer(of_cell) is not None) == there
        assert (engine.open_session(of_cell, weights, 1, bf16=False) is not None) == there
    monkeypatch.setattr(bindings, "engine", None)
    assert engine.fast_layer(stack) is None
    assert engine.open_session(stack, weights, 1, bf16=False) is None


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_a_precision_is_compared_by_value():
    about, _ = call(Stack(GRU(), 5, 7), precision=other("bfloat16"))
    assert engine.configure(about).bf16 is True


@every_cell
def test_a_session_reads_and_writes_every_state(cell):
    sample = draw(Stack(cell, 3, 4), 2, 1, initial=True, dtype=torch.float32)
    session = engine.open_session(sample.stack, sample.weights, 2, bf16=False)
    session.write(sample.states)
    found = tuple(torch.zeros_like(s) for s in sample.states)
    session.read(found)
    assert all(torch.equal(a, b) for a, b in zip(found, sample.states, strict=True))
    output, last = recurrence(*sample.arguments, batch_first=True, engine="reference")
    torch.testing.assert_close(session.step(sample.values[:, 0]), output[:, 0])
    session.read(found)
    torch.testing.assert_close(found, last)
