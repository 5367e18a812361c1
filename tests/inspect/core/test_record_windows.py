"""Records of long runs window by window: the same as the whole, in less memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.cells import GRU, LSTM, RNN
from recurra.inspect.core import record_windows as windows
from recurra.inspect.core.record_windows import Choice, record_some
from recurra.ops import Stack
from samples import draw

CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}


def compare(arguments, choice: Choice, steps_at_a_time: int) -> None:
    """Records at once and in windows, which must never be longer than said."""
    stack, values = arguments[:2]
    per_step = sum(stack.inner_sizes.values()) * stack.num_layers * stack.directions * len(values) * 8
    whole = record_some(*arguments, choice)
    seen = []

    def watched(stack, values, *rest, **options):
        seen.append(values.shape[1])
        return original(stack, values, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        original = windows.record
        patch.setattr(windows, "record", watched)
        patch.setattr(windows, "WINDOW_BYTES", per_step * steps_at_a_time)
        found = record_some(*arguments, choice)
    if values.shape[1] > steps_at_a_time:
        assert max(seen, default=0) <= steps_at_a_time
    for actual, expected in [(found[0], whole[0]), *zip(found[1], whole[1], strict=True)]:
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert list(found[2]) == list(whole[2])
    for name, array in whole[2].items():
        torch.testing.assert_close(found[2][name], array, rtol=1e-12, atol=1e-12, equal_nan=True)


@st.composite
def cases(draw_one):
    cell = draw_one(st.sampled_from(list(CELLS.values())))
    hidden = draw_one(st.integers(2, 6))
    projected = draw_one(st.integers(0, hidden - 1)) if cell.name == "lstm" else 0
    stack = Stack(cell, 3, hidden, draw_one(st.integers(1, 3)), draw_one(st.booleans()), True, projected)
    batch, steps = draw_one(st.integers(1, 4)), draw_one(st.integers(1, 25))
    lengths = draw_one(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    arguments = draw(stack, batch, steps, lengths, draw_one(st.booleans()), draw_one(st.integers(0, 9))).arguments
    start = draw_one(st.integers(0, steps))
    time = range(steps)[slice(start, draw_one(st.integers(start, steps)), draw_one(st.integers(1, 7)))]
    most = min(stack.inner_sizes.values())
    units = draw_one(st.none() | st.lists(st.integers(0, most - 1), max_size=3))
    names = draw_one(st.lists(st.sampled_from(list(stack.inner_sizes)), unique=True))
    return arguments, Choice(names, units, time), draw_one(st.integers(1, 9))


@settings(max_examples=60)
@given(cases())
def test_windows_are_the_whole(case):
    compare(*case)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("time", [slice(None), slice(3, 40, 4), slice(-5, None), slice(12, 13)], ids=str)
def test_ragged_batches(cell, bidirectional, time):
    arguments = draw(Stack(cell, 3, 5, 2, bidirectional), 4, 53, [53, 0, 17, 40], initial=True).arguments
    for units in (None, [0, 3]):
        compare(arguments, Choice(list(arguments[0].inner_sizes), units, range(53)[time]), 8)


def test_a_run_that_fits_is_one_window(monkeypatch):
    stack, values, *rest = draw(Stack(LSTM(), 3, 4), 2, 10).arguments
    calls = []
    original = windows.record
    monkeypatch.setattr(windows, "record", lambda *a, **k: calls.append(a) or original(*a, **k))
    choice = Choice(["cell"], None, range(10))
    record_some(stack, values, *rest, choice)
    assert len(calls) == 1
    monkeypatch.setattr(windows, "WINDOW_BYTES", 10 * 2 * 24 * 8 - 1)
    record_some(stack, values, *rest, choice)
    assert len(calls) == 3


def test_sizes_of_a_choice():
    stack = Stack(LSTM(), 3, 4, proj_size=2)
    assert Choice(["forget", "hidden"], None, range(3)).sizes(stack) == {"forget": 4, "hidden": 2}
    assert Choice(["forget", "hidden"], [1], range(3)).sizes(stack) == {"forget": 1, "hidden": 1}
