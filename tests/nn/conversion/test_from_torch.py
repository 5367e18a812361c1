"""Copies of layers for torch and of torch."""

from __future__ import annotations

import pytest
import torch

import recurra
from recurra import cells, nn
from recurra.errors import UsageError


def test_a_model_becomes_ours_and_torchs_and_keeps_its_weights():
    model = torch.nn.Sequential(torch.nn.LSTM(3, 4, num_layers=2, batch_first=True))
    ours = recurra.from_torch(model)
    assert type(ours[0]) is nn.LSTM
    assert type(model[0]) is torch.nn.LSTM
    back, x = recurra.to_torch(ours), torch.randn(2, 5, 3)
    assert type(back[0]) is torch.nn.LSTM
    assert torch.equal(back(x)[0], model(x)[0])
    assert back[0].weight_hh_l0.data_ptr() != model[0].weight_hh_l0.data_ptr()


@pytest.mark.parametrize("cell", [cells.RNN("relu"), cells.GRU(), cells.LSTM()])
def test_recurrent_of_a_cell_that_torch_has(cell):
    layer = nn.Recurrent(cell, 3, 4, num_layers=2, bidirectional=True, bias=False, dtype=torch.float64).eval()
    model = torch.nn.ModuleDict({"a": layer})
    found, x = recurra.to_torch(model)["a"], torch.randn(5, 2, 3, dtype=torch.float64)
    assert isinstance(found, getattr(torch.nn, type(cell).__name__))
    assert not found.training
    torch.testing.assert_close(found(x)[0], layer(x)[0])


def test_a_cell_that_torch_does_not_have_is_refused():
    with pytest.raises(UsageError, match="torch has no layer for the cell 'mgu'"):
        recurra.to_torch(nn.Recurrent(cells.MGU(), 3, 4))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("input_order", [False, True])
def test_a_reversed_layer_is_the_backward_half_of_a_bidirectional_one(batch_first, input_order):
    both, one = (nn.LSTM(3, 4, batch_first=batch_first, bidirectional=b) for b in (True, False))
    for name, weight in one.named_parameters():
        weight.detach().copy_(both.get_parameter(f"{name}_reverse"))
    x, lengths = torch.randn(3, 6, 3), [6, 0, 4]
    x = x if batch_first else x.transpose(0, 1)
    layer = nn.Reversed(one, input_order=input_order)
    output, (h, c) = layer(x, lengths=lengths)
    expected, (h_n, c_n) = both(x, lengths=lengths)
    torch.testing.assert_close((h[0], c[0]), (h_n[1], c_n[1]))
    output, expected = (y if batch_first else y.transpose(0, 1) for y in (output, expected[..., 4:]))
    for row, length in enumerate(lengths):
        of_row = expected[row, :length]
        torch.testing.assert_close(output[row, :length], of_row if input_order else of_row.flip(0))
        assert not output[row, length:].any()
    alone = x[0] if batch_first else x[:, 0]
    of_row = expected[0] if input_order else expected[0].flip(0)
    torch.testing.assert_close(layer(alone)[0], of_row)


def test_a_bidirectional_layer_cannot_be_reversed():
    with pytest.raises(UsageError, match="both directions already"):
        nn.Reversed(nn.GRU(2, 3, bidirectional=True))
