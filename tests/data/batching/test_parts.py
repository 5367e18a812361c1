"""The division of batches among processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.batches import Batch
from recurra.data.batching.parts import bounds, equal_bounds, part_of
from recurra.data.batching.streams import Streams
from recurra.data.batching.words import WordBatch


def batch_of(lengths: list[int]) -> Batch:
    """A batch whose values tell the row."""
    rows = torch.arange(len(lengths))
    return Batch(rows[:, None].expand(-1, 3), torch.tensor(lengths), rows + 10, None, rows)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 5))
def test_every_row_is_in_one_part(lengths, parts):
    found = bounds(batch_of(lengths), parts)
    assert [row for begin, end in found for row in range(begin, end)] == list(range(len(lengths)))
    assert len(found) == parts


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 5))
def test_parts_have_about_the_same_number_of_steps(lengths, parts):
    cost = np.array(lengths) + 1
    for begin, end in bounds(batch_of(lengths), parts):
        assert abs(cost[begin:end].sum() - cost.sum() / parts) <= cost.max()


def test_streams_are_divided_in_the_same_way_in_every_window():
    source = Streams([np.arange(5), np.arange(9), np.arange(7)], 0, streams=3, window=2)
    assert {tuple(bounds(window, 2)) for window in source} == {((0, 1), (1, 3))}


def test_more_parts_than_rows():
    assert equal_bounds(1, 3) == [(0, 0), (0, 0), (0, 1)]
    assert sorted(end - begin for begin, end in bounds(batch_of([4]), 3)) == [0, 0, 1]


def test_a_part_has_the_padding_of_the_batch():
    part = part_of(batch_of([1, 2, 3]), 1, 3)
    assert part.values.tolist() == [[1] * 3, [2] * 3]
    assert part.lengths.tolist() == [2, 3]
    assert part.targets.tolist() == [11, 12]
    assert part.weights is None


def test_distinct_words_belong_to_all_parts():
    batch = WordBatch(
        values=torch.zeros(2, 1, dtype=torch.long),
        lengths=torch.tensor([1, 1]),
        targets=None,
        words=torch.tensor([1, 2]),
        unseen=torch.tensor([True, False]),
        characters=torch.zeros(2, 3, 4),
        character_lengths=torch.tensor([3, 2]),
        rows=torch.arange(2),
    )
    part = part_of(batch, 0, 1)
    assert len(part.values) == len(part.rows) == 1
    assert all(len(getattr(part, name)) == 2 for name in ("words", "unseen", "characters", "character_lengths"))


@pytest.mark.parametrize("parts", [1, 2])
def test_parts_of_an_empty_sequence(parts):
    assert sum(end - begin for begin, end in bounds(batch_of([0, 0]), parts)) == 2
