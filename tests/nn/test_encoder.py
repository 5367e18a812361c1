"""How an encoder is built."""

from __future__ import annotations

import pytest
import torch

from recurra.nn import LSTM, SequenceEncoder


def test_by_default_it_is_one_lstm_of_128_units_that_reads_forwards():
    encoder = SequenceEncoder(10, 4)
    assert isinstance(encoder.recurrent, LSTM)
    assert (encoder.directions, encoder.output_size, encoder.recurrent.num_layers) == (1, 128, 1)
    assert (encoder.dropout, encoder.token_dropout, encoder.recurrent.dropout) == (0.0, 0.0, 0.0)
    assert encoder.recurrent.memory == "full"
    assert encoder.embedding.weight.shape == (10, 4)
    assert SequenceEncoder(10).embedding is None


@pytest.mark.parametrize(("layers", "between"), [(1, 0.0), (2, 0.3), (3, 0.3)])
def test_dropout_is_between_layers_only_where_there_are_several(layers, between):
    encoder = SequenceEncoder(10, 4, hidden_size=3, num_layers=layers, bidirectional=True, dropout=0.3)
    assert encoder.recurrent.dropout == between
    assert (encoder.dropout, encoder.directions, encoder.output_size) == (0.3, 2, 6)


def test_embeddings_begin_with_a_length_of_about_one():
    torch.manual_seed(0)
    weight = SequenceEncoder(4000, 64, hidden_size=2).embedding.weight
    assert weight.square().sum(1).mean().item() == pytest.approx(1, abs=0.02)
