"""The layer without memory: no step knows of another."""

from __future__ import annotations

import pytest
import torch

from recurra import nn


@pytest.mark.parametrize("layers", [1, 3])
def test_every_step_stands_alone_and_padding_is_zero(layers):
    layer = nn.Memoryless(3, 8, layers)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 0, 3, 1])
    output, state = layer(x, lengths=lengths)
    for row, steps in enumerate(lengths.tolist()):
        assert (output[row, steps:] == 0).all()
        for t in range(steps):
            torch.testing.assert_close(layer.step(x[row : row + 1, t])[0][0], output[row, t])
        if steps:
            assert torch.equal(state[0, row], output[row, steps - 1])
        else:
            assert (state[0, row] == 0).all()


def test_no_steps_at_all():
    output, state = nn.Memoryless(3, 8)(torch.zeros(2, 0, 3))
    assert output.shape == (2, 0, 8)
    assert (state == 0).all()


def test_as_a_cell_of_the_encoder():
    encoder = nn.SequenceEncoder(10, 4, cell="none", hidden_size=5, bidirectional=True)
    output, last = encoder(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
    assert output.shape == (1, 3, encoder.output_size) == (1, 3, 5)
    assert torch.equal(last, output[:, -1])


def test_one_layer_is_a_linear_map_without_negative_values():
    layer, x = nn.Memoryless(3, 8), torch.randn(2, 5, 3)
    assert (len(layer.layers), layer.dropout) == (1, 0.0)
    torch.testing.assert_close(layer(x)[0], (x @ layer.layers[0].weight.T + layer.layers[0].bias).clamp(min=0))
    assert [tuple(one.weight.shape) for one in nn.Memoryless(3, 8, 3).layers] == [(8, 3), (8, 8), (8, 8)]


def test_dropout_is_between_layers_and_in_training_only(monkeypatch):
    given = []

    def drop(values, p, *, training):
        given.append((tuple(values.shape), p, training))
        return values

    monkeypatch.setattr("recurra.nn.memoryless.drop", drop)
    layer = nn.Memoryless(3, 8, 3, dropout=0.4)
    for training in (True, False):
        given.clear()
        layer.train(training)(torch.randn(2, 5, 3))
        assert given == [((2, 5, 8), 0.4, training)] * 2
