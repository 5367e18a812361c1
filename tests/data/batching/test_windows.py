"""Windows: what they show, in an order that can be taken up again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.windows import Frame, Layout, Windows


def frame(steps: int, begin: int, end: int, offset: int = 0) -> Frame:
    return Frame(np.arange(offset, offset + steps, dtype=np.float32)[:, None], None, begin, end)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=5), st.integers(1, 9), st.integers(1, 6))
def test_every_window_once_and_in_its_own_series(sizes, context, horizon):
    frames = [frame(n, begin, n, 1000 * i) for i, (n, begin) in enumerate(sizes)]
    windows = Windows(frames, context, horizon, Layout(1), batch_size=4, shuffle=True)
    seen = set()
    for batch in windows:
        for values, targets, row in zip(batch.values[:, :, 0], batch.targets[:, :, 0], batch.rows, strict=True):
            series, begin = int(windows.series[row]), int(windows.begins[row])
            seen.add((series, begin))
            assert targets.tolist() == [1000 * series + begin + i for i in range(horizon)]
            # before the series there is its first step
            assert values.tolist() == [1000 * series + max(begin - context + i, 0) for i in range(context)]
    expected = {(i, b) for i, (n, begin) in enumerate(sizes) for b in range(begin, n - horizon + 1)}
    assert seen == expected
    assert windows.count == len(expected)


def test_filling_in_front_is_masked():
    steps = np.ones((5, 2), np.float32)
    (batch,) = Windows([Frame(steps, None, 1, 5)], 3, 2, Layout(1, masked=True), batch_size=8)
    assert batch.values[:, :, 1].tolist() == [[0, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_missing_targets_have_no_weight():
    observed = np.array([[True], [True], [False], [True]])
    (batch,) = Windows([Frame(np.ones((4, 1), np.float32), observed, 2, 4)], 2, 2, Layout(1), batch_size=8)
    assert batch.weights.tolist() == [[[0.0], [1.0]]]


def test_known_columns_reach_into_the_future():
    steps = np.stack([np.arange(6), np.arange(6) * 10, np.arange(6) * 100], 1).astype(np.float32)
    (batch,) = Windows([Frame(steps, None, 3, 6)], 3, 3, Layout(1, 1, 1), batch_size=8)
    assert batch.future.tolist() == [[[300], [400], [500]]]
    assert batch.values.shape == (1, 3, 3)


@pytest.mark.parametrize("most", [None, 37])
def test_seek_finds_the_same_batches(most):
    def make():
        return Windows([frame(60, 4, 60)], 4, 2, Layout(1), batch_size=8, shuffle=True, seed=3, most=most)

    source, through = make(), []
    for _ in range(3):
        through += [batch.rows.tolist() for batch in source]
    for step in range(len(through)):
        late = make()
        late.seek(step)
        assert next(iter(late)).rows.tolist() == through[step]
    assert through[: len(source)] != through[len(source) : 2 * len(source)]


def test_evenly_spaced_windows():
    windows = Windows([frame(103, 2, 103)], 2, 2, Layout(1), batch_size=8, most=10)
    assert windows.count == 10
    assert windows.begins.tolist() == [2, 13, 24, 35, 46, 57, 68, 79, 90, 101]


def test_fingerprint_knows_content_and_windows():
    base = Windows([frame(20, 4, 20)], 4, 2, Layout(1), batch_size=8)
    same = Windows([frame(20, 4, 20)], 4, 2, Layout(1), batch_size=8)
    others = [
        Windows([frame(20, 4, 20, 1)], 4, 2, Layout(1), batch_size=8),
        Windows([frame(20, 5, 20)], 4, 2, Layout(1), batch_size=8),
        Windows([frame(20, 4, 20)], 4, 3, Layout(1), batch_size=8),
    ]
    assert base.fingerprint() == same.fingerprint()
    assert base.fingerprint() not in [other.fingerprint() for other in others]


def test_no_copy_of_the_series_is_made():
    windows = Windows([frame(10_000, 500, 10_000)], 500, 50, Layout(1), batch_size=8)
    held = sum(v.nbytes for v in vars(windows).values() if isinstance(v, np.ndarray | torch.Tensor))
    assert held < 10_000 * 4 + 3 * 9_500 * 8 + 8 * 550


def test_layouts_place_their_columns():
    layout = Layout(2, 3, 4, 1, True)
    assert (layout.context_covariates, layout.ahead, layout.width) == (slice(2, 8), slice(5, 9), 14)
    assert layout._replace(masked=False).width == 9
    assert Layout(1) == (1, 0, 0, 0, False)
    assert (Layout(1).context_covariates, Layout(1).ahead, Layout(1).width) == (slice(1, 1), slice(1, 1), 1)


def test_whole_and_defaults():
    windows = Windows([frame(6, 2, 6), frame(5, 1, 5, 100)], 2, 2, Layout(1), batch_size=2)
    assert (windows.shuffle, windows.seed, windows.count, len(windows)) == (False, 0, 6, 3)
    assert (windows.series.tolist(), windows.begins.tolist()) == ([0, 0, 0, 1, 1, 1], [2, 3, 4, 1, 2, 3])
    batch = windows.whole()
    assert batch.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.values[3:5, :, 0].tolist() == [[100, 100], [100, 101]]
    assert batch.targets[3, :, 0].tolist() == [101, 102]
    assert (batch.lengths.tolist(), batch.weights, batch.future.shape) == ([2] * 6, None, (6, 2, 0))
    list(windows)
    assert (windows.epoch, windows.position) == (0, 3)
    next(iter(windows))
    assert (windows.epoch, windows.position) == (1, 1)
    windows.seek(7)
    assert (windows.epoch, windows.position) == (2, 1)


def test_orders_follow_seed_and_epoch():
    def made(**options):
        return Windows([frame(20, 2, 20)], 2, 2, Layout(1), batch_size=30, **options)

    (batch,) = made(shuffle=True, seed=5)
    assert batch.rows.tolist() == np.random.default_rng((5, 0)).permutation(17).tolist()
    (few,) = made(shuffle=True, seed=5, most=4)
    assert few.rows.tolist() == batch.rows.tolist()[:4]
    assert made(most=17).begins.tolist() == list(range(2, 19))
    assert made(most=16).count == 16
    assert made(most=18).count == 17


def test_series_without_a_window_are_left_out():
    windows = Windows([frame(3, 2, 3), frame(5, 2, 5)], 2, 2, Layout(1), batch_size=2)
    assert windows.series.tolist() == [1, 1]
    nothing = Windows([], 2, 2, Layout(3), batch_size=2)
    assert (nothing.count, len(nothing), nothing.whole().values.shape) == (0, 0, (0, 2, 3))
    nothing.seek(0)
    assert list(nothing) == []


def test_some_series_lack_targets():
    seen = np.array([[True], [True], [False]])
    frames = [frame(3, 2, 3), Frame(np.ones((3, 1), np.float32), seen, 2, 3)]
    assert Windows(frames, 2, 1, Layout(1), batch_size=2).whole().weights.tolist() == [[[1.0]], [[0.0]]]
    one = Windows(frames, 2, 1, Layout(1), batch_size=2).fingerprint()
    assert one != Windows([frames[0], frames[0]], 2, 1, Layout(1), batch_size=2).fingerprint()


def test_filling_in_front_counts_every_step():
    steps = np.arange(3, dtype=np.float32)[:, None]
    (batch,) = Windows([Frame(steps, None, 0, 3)], 2, 3, Layout(1), batch_size=1)
    assert (batch.values.tolist(), batch.targets.tolist()) == ([[[0], [0]]], [[[0], [1], [2]]])
    masked = np.ones((3, 3), np.float32)
    (batch,) = Windows([Frame(masked, None, 1, 2)], 2, 1, Layout(1, 0, 1, masked=True), batch_size=1)
    assert batch.values.tolist() == [[[1, 1, 0], [1, 1, 1]]]


@pytest.mark.parametrize("value", [frame(3, 1, 3)], ids=lambda value: type(value).__name__)
def test_frames_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
