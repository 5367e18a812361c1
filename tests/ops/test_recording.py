"""Recorded gates and states against the equations, stepped through by hand for each sequence in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recurra.cells import GRU, LSTM, RNN, Cell, State, Step, linear
from recurra.ops import Stack, record, recurrence, replay
from recurra.ops.reference import Place
from samples import Sample, draw

CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
CLOSE = {torch.float64: {"rtol": 0, "atol": 1e-12}, torch.float32: {"rtol": 1e-6, "atol": 1e-6}}


class Coupled(Cell):
    """An LSTM whose input gate is what the forget gate leaves; its gates cannot be altered."""

    name, gates, states = "coupled", ("keep", "candidate"), ("hidden", "cell")

    def step(self, x: Tensor, state: State, weights) -> Step:  # type: ignore[override]
        h, c = state
        f, g = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(2, -1)
        f, g = torch.sigmoid(f), torch.tanh(g)
        c = f * c + (1 - f) * g
        return Step((torch.tanh(c), c), (f, g))


def by_hand(sample: Sample) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Output, final states and all gates and states: every sequence alone, every step by the cell's equations."""
    stack, values, weights, lengths, states = sample.arguments
    batch, steps = values.shape[:2]
    shape = (stack.num_layers, stack.directions, batch, steps)
    arrays = {name: values.new_full((*shape, size), torch.nan) for name, size in stack.inner_sizes.items()}
    output = values.new_zeros(batch, steps, stack.output_size)
    last = [values.new_zeros(shape[0] * shape[1], batch, size) for size in stack.state_sizes]
    for b in range(batch):
        n = steps if lengths is None else int(lengths[b])
        x = [values[b : b + 1, t] for t in range(n)]
        for layer in range(stack.num_layers):
            outputs: list[list[Tensor]] = [[] for _ in range(n)]
            for direction in range(stack.directions):
                row = layer * stack.directions + direction
                state = tuple(s[row, b : b + 1] for s in (last if states is None else states))
                for t in reversed(range(n)) if direction else range(n):
                    step = stack.cell.step(x[t], state, stack.split(weights)[row])
                    state = step.state
                    outputs[t].append(state[0])
                    for name, value in zip(arrays, (*step.gates, *step.state), strict=True):
                        arrays[name][layer, direction, b, t] = value[0]
                for end, value in zip(last, state, strict=True):
                    end[row, b] = value[0]
            x = [torch.cat(both, -1) for both in outputs]
        for t in range(n):
            output[b, t] = x[t][0]
    return output, last, arrays


def check(sample: Sample, engine: str, dtype: torch.dtype) -> None:
    found = record(*sample.to(dtype).arguments)
    assert found.engine == engine
    output, last, arrays = by_hand(sample.to(torch.float64))
    assert list(found.arrays) == [*sample.stack.cell.gates, *sample.stack.cell.states]
    inside = [(found.arrays[name], array) for name, array in arrays.items()]
    for actual, expected in [(found.output, output), *zip(found.last, last, strict=True), *inside]:
        assert actual.dtype == dtype
        assert not actual.requires_grad
        torch.testing.assert_close(actual.double(), expected, **CLOSE[dtype], equal_nan=True)


@st.composite
def samples(draw_one) -> Sample:
    cell = draw_one(st.sampled_from(list(CELLS.values())))
    hidden = draw_one(st.integers(1, 40))
    projected = draw_one(st.integers(0, hidden - 1)) if cell.name == "lstm" else 0
    stack = Stack(
        cell,
        draw_one(st.integers(1, 20)),
        hidden,
        draw_one(st.integers(1, 3)),
        draw_one(st.booleans()),
        draw_one(st.booleans()),
        projected,
    )
    batch, steps = draw_one(st.integers(1, 6)), draw_one(st.integers(1, 12))
    lengths = draw_one(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    return draw(stack, batch, steps, lengths, draw_one(st.booleans()), draw_one(st.integers(0, 99)))


def sweep(examples: int) -> Callable[[], None]:
    """A test of that many random calls."""

    @settings(max_examples=examples)
    @given(samples(), st.sampled_from([torch.float32, torch.float64]))
    def test(sample, dtype):
        check(sample, "native", dtype)

    return test


test_the_native_engine_records_what_the_equations_say = sweep(12)
test_the_native_engine_records_what_the_equations_say_in_many_calls = pytest.mark.slow(sweep(60))


@every_cell
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("lengths", [None, [9, 0, 3, 7, 9]], ids=["dense", "ragged"])
def test_stacks(cell, dtype, bidirectional, lengths):
    stack = Stack(cell, 5, 21, 2, bidirectional)
    check(draw(stack, 5, 9, lengths, initial=True), "native", dtype)


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("lengths", [None, [9, 0, 3, 7]], ids=["dense", "ragged"])
def test_a_cell_of_ones_own_runs_on_the_reference(dtype, lengths):
    check(draw(Stack(Coupled(), 5, 7, 2, True), lengths=lengths, initial=True), "reference", dtype)


@every_cell
@pytest.mark.parametrize("proj_size", [0, 3])
def test_the_reference_records_the_same(monkeypatch, cell, proj_size):
    if proj_size and cell.name != "lstm":
        cell = LSTM()
    monkeypatch.setattr("recurra.ops.native.engine.refuses", lambda call: "not now")
    sample = draw(Stack(cell, 5, 7, 2, True, proj_size=proj_size), lengths=[9, 0, 3, 7], initial=True)
    for dtype in CLOSE:
        check(sample, "reference", dtype)


def test_half_precision_is_recorded_in_half_precision():
    sample = draw(Stack(LSTM(), 5, 8), dtype=torch.bfloat16)
    found = record(*sample.arguments)
    assert {array.dtype for array in found.arrays.values()} == {torch.bfloat16}
    exact = by_hand(sample.to(torch.float64))[2]
    torch.testing.assert_close(found.arrays["cell"].double(), exact["cell"], rtol=0.05, atol=0.05)


@every_cell
def test_long_sequences(cell):
    check(draw(Stack(cell, 3, 16), 2, 300, [300, 211]), "native", torch.float32)


@every_cell
def test_recording_is_the_run_itself(cell):
    sample = draw(Stack(cell, 5, 32, 2, True), lengths=[9, 0, 3, 7], dtype=torch.float32)
    found = record(*sample.arguments)
    weights = [w.clone().requires_grad_() for w in sample.weights]
    output, last = recurrence(sample.stack, sample.values, weights, sample.lengths, batch_first=True)
    for actual, expected in [(found.output, output), *zip(found.last, last, strict=True)]:
        torch.testing.assert_close(actual, expected.detach(), rtol=0, atol=0)
    again = record(*sample.arguments)
    for name, array in found.arrays.items():
        torch.testing.assert_close(array, again.arrays[name], rtol=0, atol=0, equal_nan=True)


@every_cell
def test_some_names(cell):
    sample = draw(Stack(cell, 5, 8, 2, True), lengths=[9, 0, 3, 7])
    whole = record(*sample.arguments).arrays
    for name in whole:
        found = record(*sample.arguments, names=[name]).arrays
        assert list(found) == [name]
        torch.testing.assert_close(found[name], whole[name], rtol=0, atol=0, equal_nan=True)
    assert record(*sample.arguments, names=[]).arrays == {}


@every_cell
@pytest.mark.parametrize(("batch", "steps"), [(0, 3), (3, 0), (1, 1)])
def test_next_to_nothing(cell, batch, steps):
    sample = draw(Stack(cell, 2, 3, 2, True), batch, steps)
    found = record(*sample.arguments)
    assert {tuple(a.shape) for a in found.arrays.values()} == {(2, 2, batch, steps, 3)}
    assert found.output.shape == (batch, steps, 6)


def test_wrong_arguments():
    sample = draw(Stack(LSTM(), 5, 8))
    with pytest.raises(ValueError, match="the last of size 5"):
        record(sample.stack, sample.values[..., :3], sample.weights)
    with pytest.raises(ValueError, match="lengths must lie between 0 and the 9 steps"):
        record(sample.stack, sample.values, sample.weights, [10, 1, 1, 1])
    with pytest.raises(ValueError, match="4 weights, got 3"):
        record(sample.stack, sample.values, sample.weights[:3])


class Watch:
    """Notes the places, and does to gates and states what it is told."""

    def __init__(self, gate=None, state=None) -> None:
        self.alters = gate is not None
        self._gate, self._state, self.places, self.gates = gate, state, [], []

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        self.gates.append((place, name))
        return self._gate(place, name, gate)

    def stepped(self, place: Place, step: Step) -> State:
        self.places.append(place)
        return step.state if self._state is None else self._state(place, step.state)


@every_cell
def test_a_replay_is_the_run_with_its_gradients(cell):
    sample = draw(Stack(cell, 5, 7, 2, True), lengths=[9, 0, 3, 7], initial=True)
    found = []
    for run in (lambda *a: replay(*a, watcher=Watch()), lambda *a: recurrence(*a, batch_first=True)):
        leaves = [t.clone().requires_grad_() for t in (sample.values.nan_to_num(), *sample.weights, *sample.states)]
        count = 1 + len(sample.weights)
        values, weights, states = leaves[0], leaves[1:count], tuple(leaves[count:])
        output, last = run(sample.stack, values, weights, sample.lengths, states)
        total = output.square().sum() + sum(s.sin().sum() for s in last)
        found.append([output, *last, *torch.autograd.grad(total, leaves)])
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_a_watcher_sees_every_step_in_order():
    watch = Watch(gate=lambda place, name, gate: gate)
    replay(*draw(Stack(GRU(), 2, 3, 2, True), 2, 3).arguments, watcher=watch)
    forwards, backwards = [0, 1, 2], [2, 1, 0]
    rows = [(0, 0, forwards), (0, 1, backwards), (1, 0, forwards), (1, 1, backwards)]
    assert watch.places == [Place(layer, direction, t) for layer, direction, order in rows for t in order]
    assert watch.gates == [(place, name) for place in watch.places for name in ("reset", "update", "candidate")]


@pytest.mark.parametrize("name", LSTM.gates)
def test_what_is_altered_goes_on(name):
    """A clamped gate is a cell with other equations: here they are written out."""
    sample = draw(Stack(LSTM(), 3, 4), 2, 6)
    watch = Watch(gate=lambda place, n, gate: torch.full_like(gate, 0.3) if (n, place.time) == (name, 2) else gate)
    output, (h, c) = replay(*sample.arguments, watcher=watch)
    state, weights = tuple(sample.values.new_zeros(2, 4) for _ in range(2)), sample.stack.split(sample.weights)[0]
    for t in range(6):
        i, f, g, o = LSTM().step(sample.values[:, t], state, weights).gates
        gates = dict(zip(LSTM.gates, (i, f, g, o), strict=True))
        if t == 2:
            gates[name] = torch.full_like(i, 0.3)
        cell = gates["forget"] * state[1] + gates["input"] * gates["candidate"]
        state = (gates["output"] * cell.tanh(), cell)
        torch.testing.assert_close(output[:, t], state[0])
    torch.testing.assert_close((h[0], c[0]), state)


def test_altered_states_go_on():
    sample = draw(Stack(RNN(), 3, 4), 2, 6)
    watch = Watch(state=lambda place, state: (torch.zeros_like(state[0]),) if place.time == 3 else state)
    output, _ = replay(*sample.arguments, watcher=watch)
    late = replace(sample, values=sample.values[:, 4:])
    torch.testing.assert_close(output[:, 4:], replay(*late.arguments, watcher=Watch())[0])
    assert not output[:, 3].any()


def test_gates_of_a_cell_without_alter_cannot_be_altered():
    sample = draw(Stack(Coupled(), 3, 4), 2, 3)
    replay(*sample.arguments, watcher=Watch(state=lambda place, state: state))
    with pytest.raises(TypeError):
        replay(*sample.arguments, watcher=Watch(gate=lambda place, name, gate: gate))
