"""How an encoder is built."""

from __future__ import annotations

import pytest
import torch

from recurra import cells, nn
from recurra.nn import LSTM, SequenceEncoder, build_recurrent, init_recurrent_
from recurra.nn.tokens.vector_embedding import VectorEmbedding


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


def test_tokens_are_dropped_by_their_share_and_read_as_the_unknown_one():
    torch.manual_seed(0)
    encoder, read = SequenceEncoder(10, 4, hidden_size=3, token_dropout=0.3), []
    encoder.embedding.register_forward_hook(lambda module, given, output: read.append(given[0]))
    tokens, lengths = torch.full((50, 40), 6), torch.full((50,), 40)
    encoder(tokens, lengths)
    assert sorted(read[0].unique().tolist()) == [0, 6]
    assert (read[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    encoder.eval()(tokens, lengths)
    encoder.train().token_dropout = 0.0
    encoder(tokens, lengths)
    assert read[1].unique().tolist() == read[2].unique().tolist() == [6]


def test_features_of_embeddings_are_dropped_in_training():
    torch.manual_seed(0)
    encoder, read = SequenceEncoder(10, 4, hidden_size=3, dropout=0.4), []
    encoder.recurrent.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    tokens, lengths = torch.full((50, 40), 6), torch.full((50,), 40)
    for training in (True, False):
        encoder.train(training)(tokens, lengths)
    assert (read[0] == 0).float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert (read[1] != 0).all()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_state_after_each_end_is_returned(bidirectional):
    torch.manual_seed(0)
    encoder = SequenceEncoder(3, cell="gru", hidden_size=2, num_layers=2, bidirectional=bidirectional)
    output, last = encoder(torch.randn(2, 4, 3), torch.tensor([4, 2]))
    expected = [output[0, 3, :2], output[1, 1, :2]]
    if bidirectional:
        expected = [torch.cat([e, o]) for e, o in zip(expected, output[:, 0, 2:], strict=True)]
    assert torch.equal(last, torch.stack(expected))
    assert encoder.output_size == output.shape[2] == (4 if bidirectional else 2)


class Own(cells.GRU):
    name = "own"


@pytest.mark.parametrize(
    ("cell", "kind"),
    [("lstm", LSTM), ("gru", nn.GRU), ("rnn_relu", nn.RNN), (cells.LSTM(), LSTM), (cells.RNN("relu"), nn.RNN),
     (Own(), nn.Recurrent), (Own, nn.Recurrent), ("none", nn.Memoryless)],
)  # fmt: skip
def test_the_layer_of_a_cell(cell, kind):
    layer = build_recurrent(cell, 3, 4, 2, dropout=0.3, engine="reference", memory="recompute")
    assert type(layer) is kind
    assert layer.dropout == 0.3
    if kind is not nn.Memoryless:
        assert layer.batch_first
        assert (layer.engine, layer.memory, layer.stack.num_layers, layer.stack.bidirectional) == (
            "reference", "recompute", 2, False,
        )  # fmt: skip
        plain = build_recurrent(cell, 3, 4, 1, bidirectional=True)
        assert (plain.engine, plain.memory, plain.dropout, plain.stack.bidirectional) == ("auto", "full", 0.0, True)
    if kind is nn.RNN:
        assert layer.nonlinearity == "relu"


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "none"])
def test_recurrent_weights_begin_where_states_last(cell, orthogonal):
    torch.manual_seed(0)
    layer = build_recurrent(cell, 3, 4, 2, bidirectional=True)
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    init_recurrent_(layer, orthogonal=orthogonal)
    for name, weight in layer.state_dict().items():
        if name.startswith("weight_hh") and orthogonal:
            for gate in weight.split(4):
                torch.testing.assert_close(gate @ gate.T, torch.eye(4))
        elif name.startswith("bias_hh") and cell == "lstm":
            assert torch.equal(weight[4:8], torch.ones(4))
            rest = [0, 1, 2, 3, *range(8, 16)]
            assert torch.equal(weight[rest], before[name][rest])
        else:
            assert torch.equal(weight, before[name])


def test_recurrent_weights_begin_orthogonal_unless_otherwise_said():
    layer = build_recurrent("rnn", 3, 4, 1)
    init_recurrent_(layer)
    torch.testing.assert_close(layer.weight_hh_l0 @ layer.weight_hh_l0.T, torch.eye(4))


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_names_of_cells_are_compared_by_value():
    assert type(build_recurrent(other("none"), 3, 4, 1)) is nn.Memoryless
    encoder = SequenceEncoder(3, cell=other("none"), hidden_size=4, bidirectional=True)
    assert (encoder.directions, encoder.output_size) == (1, 4)


def test_without_dropout_no_random_number_is_drawn():
    encoder = SequenceEncoder(10, 4, hidden_size=3).train()
    before = torch.get_rng_state()
    encoder(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))
    assert torch.equal(torch.get_rng_state(), before)


def test_given_vectors_are_beside_the_trained_ones():
    encoder = SequenceEncoder(10, 4, hidden_size=3, vectors=(6, 5))
    embedding = encoder.embedding
    assert isinstance(embedding, VectorEmbedding)
    assert (embedding.num_embeddings, embedding.trained.num_embeddings, embedding.embedding_dim) == (10, 6, 9)
    output, last = encoder(torch.tensor([[1, 9]]), torch.tensor([2]))
    assert (output.shape, last.shape) == ((1, 2, 3), (1, 3))
