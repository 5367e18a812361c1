"""Streams: every token is foretold once, windows follow each other, and a pass can be taken up anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.streams import Streams

BEGIN = 1
parts = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def source(lengths: list[int], streams: int, window: int) -> tuple[Streams, np.ndarray]:
    tokens = np.arange(10, 10 + sum(lengths), dtype=np.int32)
    return Streams(np.split(tokens, np.cumsum(lengths)[:-1]), BEGIN, streams=streams, window=window), tokens


@given(lengths=parts, streams=st.integers(1, 8), window=st.integers(1, 12))
def test_windows_put_together_are_the_text(lengths, streams, window):
    batches, tokens = source(lengths, streams, window)
    windows = list(batches)
    assert len(windows) == len(batches)
    assert [w.first for w in windows] == [True] + [False] * (len(windows) - 1)
    rows = []
    for row in range(len(windows[0].values)):
        steps = [int(w.lengths[row]) for w in windows]
        read = torch.cat([w.values[row, :n] for w, n in zip(windows, steps, strict=True)])
        target = torch.cat([w.targets[row, :n] for w, n in zip(windows, steps, strict=True)])
        assert all((w.targets[row, n:] == IGNORE).all() for w, n in zip(windows, steps, strict=True))
        assert read[0] == BEGIN
        assert torch.equal(read[1:], target[:-1])
        rows.append(target)
    assert 1 <= len(rows) <= streams
    assert torch.cat(rows).tolist() == tokens.tolist()
    assert batches.count == len(tokens)
    starts = {0, *np.cumsum(lengths).tolist()}
    assert {int(row[0]) - 10 for row in rows} <= starts


@given(lengths=parts, streams=st.integers(1, 4), window=st.integers(1, 5), data=st.data())
def test_seek_goes_where_iteration_stands(lengths, streams, window, data):
    batches, _ = source(lengths, streams, window)
    step = data.draw(st.integers(0, 3 * len(batches)))
    flow = [w for _ in range(4) for w in batches]
    batches.seek(step)
    again = list(batches)
    expected = flow[step : step + len(again)]
    assert len(again) == len(batches) - step % len(batches)
    for one, other in zip(again, expected, strict=True):
        assert torch.equal(one.values, other.values)
        assert one.first == other.first


def test_fingerprint_tells_texts_and_cuts_apart():
    base = source([5, 5], 2, 3)[0].fingerprint()
    assert source([5, 5], 2, 3)[0].fingerprint() == base
    for other in (source([5, 4], 2, 3), source([5, 5], 1, 3), source([5, 5], 2, 4)):
        assert other[0].fingerprint() != base


def test_streams_are_of_nearly_equal_length():
    batches, _ = source([7] * 300, 16, 32)
    lengths = sum(w.lengths for w in batches)
    assert lengths.max() - lengths.min() <= 7


@pytest.mark.parametrize("streams", [1, 5])
def test_no_tokens(streams):
    assert len(Streams([], BEGIN, streams=streams, window=3)) == 0


def test_streams_begin_where_a_part_does():
    parts = [np.array([5, 6, 7], np.int32), np.array([8], np.int32), np.array([9, 10], np.int32)]
    source = Streams(parts, 1, streams=2, window=2)
    assert (len(source), source.count, source.position) == (2, 6, 0)
    first, second = source
    assert first.values.tolist() == [[1, 5], [1, 8]]
    assert first.targets.tolist() == [[5, 6], [8, 9]]
    assert second.values.tolist() == [[6], [9]]
    assert second.targets.tolist() == [[7], [10]]
    assert (first.values.dtype, first.lengths.tolist(), first.first, second.first) == (torch.int32, [2, 2], True, False)
    assert source.position == 2
    source.seek(5)
    assert source.position == 1
    assert next(iter(source)).values.tolist() == [[6], [9]]


def test_more_streams_than_parts():
    parts = [np.array([5, 6]), np.array([7])]
    assert [w.values.tolist() for w in Streams(parts, 1, streams=9, window=9)] == [[[1, 5], [1, 0]]]
    assert [w.targets.tolist() for w in Streams(parts, 1, streams=9, window=9)] == [[[5, 6], [7, IGNORE]]]
    assert [w.values.tolist() for w in Streams(parts, 1, streams=1, window=9)] == [[[1, 5, 6]]]
