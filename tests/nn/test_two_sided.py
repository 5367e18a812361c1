"""Contexts of a two-directional language model: what each step may see, and what it may not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.nn import CELLS, ContextNetwork


def network(**options):
    torch.manual_seed(0)
    return ContextNetwork(20, 6, **{"hidden_size": 5, **options}).eval()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_context_sees_all_tokens_but_its_own(cell, layers):
    model = network(cell=cell, num_layers=layers)
    tokens, lengths = torch.randint(1, 20, (1, 7)), torch.tensor([7])
    with torch.no_grad():
        before = model(tokens, lengths)
        for changed in range(7):
            other = tokens.clone()
            other[0, changed] = (other[0, changed] + 7) % 20
            moved = (model(other, lengths) != before).any(-1)[0]
            expected = torch.ones(7, dtype=torch.bool)
            if cell == "none":  # no memory: the neighbours alone
                expected = (torch.arange(7) - changed).abs() == 1
            expected[changed] = False
            assert moved.tolist() == expected.tolist()


@pytest.mark.parametrize(("direction", "sign"), [("forward", 1), ("backward", -1)])
def test_one_direction_sees_one_side(direction, sign):
    model = network(direction=direction)
    tokens = torch.randint(1, 20, (1, 6))
    other = tokens.clone()
    other[0, 3] = 0
    with torch.no_grad():
        moved = (model(tokens, torch.tensor([6])) != model(other, torch.tensor([6]))).any(-1)[0]
    assert moved.tolist() == ((torch.arange(6) - 3) * sign > 0).tolist()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any), st.integers(0, 99))
def test_a_text_does_not_depend_on_its_neighbours_in_the_batch(lengths, seed):
    model = network()
    torch.manual_seed(seed)
    tokens = torch.randint(0, 20, (len(lengths), max(lengths)))  # what lies beyond the end must not matter
    with torch.no_grad():
        together = model(tokens, torch.tensor(lengths))
        for row, steps in enumerate(lengths):
            if steps:
                alone = model(tokens[row : row + 1, :steps], torch.tensor([steps]))
                torch.testing.assert_close(together[row, :steps], alone[0], atol=1e-6, rtol=1e-5)


def test_one_layer_equals_a_bidirectional_lstm_shifted_by_one():
    model = network()
    both = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    names = [name for name, _ in model.forwards.named_parameters()]
    weights = {name: model.forwards.get_parameter(name) for name in names}
    weights |= {f"{name}_reverse": model.backwards.get_parameter(name) for name in names}
    both.load_state_dict(weights)
    tokens = torch.randint(1, 20, (3, 8))
    output = both(model.embedding(tokens))[0]
    zeros = torch.zeros(3, 1, 5)
    before, after = torch.cat([zeros, output[:, :-1, :5]], 1), torch.cat([output[:, 1:, 5:], zeros], 1)
    expected = model.combine(torch.cat([before, after], -1))
    torch.testing.assert_close(model(tokens, torch.tensor([8] * 3)), expected, atol=1e-6, rtol=1e-5)


def test_wrong_direction_is_named():
    with pytest.raises(ValueError, match="direction is one of both, forward, backward"):
        network(direction="up")


def test_by_default_it_is_one_lstm_of_128_units_on_each_side():
    model = ContextNetwork(20, 6)
    for stack in (model.forwards, model.backwards):
        assert type(stack).__name__ == "LSTM"
        assert (stack.input_size, stack.hidden_size, stack.num_layers) == (6, 128, 1)
        assert (stack.dropout, stack.engine, stack.memory, stack.bidirectional) == (0.0, "auto", "full", False)
    assert (model.dropout, model.token_dropout) == (0.0, 0.0)
    assert model.combine.weight.shape == (6, 256)
    assert model.bias.tolist() == [0.0] * 20


@pytest.mark.parametrize(("direction", "sides"), [("both", 2), ("forward", 1), ("backward", 1)])
def test_the_sides_that_are_read(direction, sides):
    model = network(direction=direction, engine="reference", memory="recompute")
    assert model.combine.weight.shape == (6, 5 * sides)
    assert (model.forwards is None) == (direction == "backward")
    assert (model.backwards is None) == (direction == "forward")
    stack = model.forwards or model.backwards
    assert (stack.engine, stack.memory) == ("reference", "recompute")


@pytest.mark.parametrize(("layers", "between"), [(1, 0.0), (2, 0.3), (3, 0.3)])
def test_dropout_is_between_layers_only_where_there_are_several(layers, between):
    model = network(num_layers=layers, dropout=0.3)
    assert model.forwards.dropout == model.backwards.dropout == between


def test_embeddings_begin_with_a_length_of_about_one():
    torch.manual_seed(0)
    weight = ContextNetwork(4000, 64, hidden_size=2).embedding.weight
    assert weight.square().sum(1).mean().item() == pytest.approx(1, abs=0.02)


def test_logits_are_products_with_the_embeddings():
    model, context = network(), torch.randn(2, 3, 6)
    with torch.no_grad():
        model.bias.copy_(torch.randn(20))
        torch.testing.assert_close(model.logits(context), context @ model.embedding.weight.T + model.bias)


def test_tokens_are_hidden_by_their_share():
    model, read = network(token_dropout=0.3, direction="forward"), []
    model.embedding.register_forward_hook(lambda module, given, output: read.append(given[0]))
    tokens, lengths = torch.full((50, 40), 6), torch.full((50,), 40)
    for training, share in ((True, 0.3), (False, 0.3), (True, 0.0)):
        model.token_dropout = share
        model.train(training)(tokens, lengths)
    assert sorted(read[0].unique().tolist()) == [0, 6]
    assert (read[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert read[1].unique().tolist() == read[2].unique().tolist() == [6]


def test_features_of_embeddings_and_states_are_dropped_in_training(monkeypatch):
    given = []

    def drop(values, p, *, training):
        given.append((tuple(values.shape), p, training))
        return values

    monkeypatch.setattr("recurra.nn.two_sided.drop", drop)
    model = network(dropout=0.4)
    for training in (True, False):
        given.clear()
        model.train(training)(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))
        assert given == [((2, 3, 6), 0.4, training)] * 2 + [((2, 3, 10), 0.4, training)]


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
def test_directions_are_compared_by_value(direction):
    assert list(network(direction=other(direction)).state_dict()) == list(network(direction=direction).state_dict())
    assert network(direction=other(direction)).combine.weight.shape == network(direction=direction).combine.weight.shape


def test_without_dropout_no_random_number_is_drawn():
    model, before = network().train(), torch.get_rng_state()
    model(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))
    assert torch.equal(torch.get_rng_state(), before)
