"""The readable loop: where it drops, what it reads, and what a watcher meets."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import GRU, LSTM
from recurra.ops import Stack, recurrence, reference
from samples import draw


@pytest.mark.parametrize(
    ("layers", "dropout", "training", "calls"),
    [(1, 0.5, True, 0), (2, 0.5, True, 1), (3, 0.5, True, 2), (3, 0.5, False, 0), (3, 0.0, True, 0)],
)
def test_dropout_is_between_layers_in_training(monkeypatch, layers, dropout, training, calls):
    given = []
    monkeypatch.setattr(reference.F, "dropout", lambda x, p: given.append((tuple(x.shape), p)) or x)
    sample = draw(Stack(GRU(), 5, 7, layers, True), lengths=[9, 0, 3, 7])
    arguments = {"batch_first": True, "engine": "reference"}
    found = recurrence(*sample.arguments, **arguments, dropout=dropout, training=training)
    assert given == [((9, 4, 14), 0.5)] * calls
    torch.testing.assert_close(found, recurrence(*sample.arguments, **arguments))


@pytest.mark.parametrize("cell", [GRU(), LSTM()], ids=["gru", "lstm"])
def test_a_layer_by_hand(cell):
    """Both directions of a ragged batch, each sequence alone; padding is NaN."""
    sample = draw(Stack(cell, 3, 4, 1, True), 3, 5, [5, 2, 0], initial=True)
    output, last = recurrence(*sample.arguments, batch_first=True, engine="reference")
    for row, length in enumerate([5, 2, 0]):
        for direction, weights in enumerate(sample.stack.split(sample.weights)):
            state = tuple(s[direction, row : row + 1] for s in sample.states)
            for t in reversed(range(length)) if direction else range(length):
                state = cell.step(sample.values[row : row + 1, t], state, weights).state
                torch.testing.assert_close(output[row, t, 4 * direction : 4 * direction + 4], state[0][0])
            for found, expected in zip(last, state, strict=True):
                torch.testing.assert_close(found[direction, row], expected[0])
        assert not output[row, length:].any()


def test_no_steps_and_no_sequences_keep_the_shapes():
    for batch, steps in ((2, 0), (0, 3), (0, 0)):
        sample = draw(Stack(LSTM(), 3, 4, 2, True), batch, steps, initial=True)
        output, last = recurrence(*sample.arguments, batch_first=True, engine="reference")
        assert output.shape == (batch, steps, 8)
        assert all(torch.equal(a, b) for a, b in zip(last, sample.states, strict=True)) or steps
