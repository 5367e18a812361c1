"""Random numbers of a part of a batch are those of the whole batch."""

from __future__ import annotations

import pytest
import torch

from recurra import nn
from recurra.ops import batch_part, dropout, uniform

BEGIN, END, ROWS = 2, 5, 6


def both(draw, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `draw` gives for rows of the whole batch, and for these rows alone."""
    torch.manual_seed(3)
    whole = draw(values)[BEGIN:END]
    torch.manual_seed(3)
    with batch_part(BEGIN, END - BEGIN, ROWS):
        return whole, draw(values[BEGIN:END])


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 7), (ROWS, 5, 3)])
def test_dropout(shape):
    whole, part = both(lambda values: dropout(values, 0.4), torch.ones(shape))
    assert torch.equal(whole, part)
    assert 0 < int((part == 0).sum()) < part.numel()


def test_the_gradient_of_dropout_has_the_same_mask():
    values = torch.ones(ROWS, 50, requires_grad=True)
    with batch_part(BEGIN, ROWS, ROWS + BEGIN):
        dropped = dropout(values, 0.5)
    dropped.sum().backward()  # outside of the part
    assert torch.equal(values.grad, dropped.detach())


def test_several_rows_for_each_sequence():
    values = torch.ones(ROWS * 4, 9)
    torch.manual_seed(3)
    whole = dropout(values, 0.4)[BEGIN * 4 : END * 4]
    torch.manual_seed(3)
    with batch_part(BEGIN, END - BEGIN, ROWS):
        assert torch.equal(whole, dropout(values[BEGIN * 4 : END * 4], 0.4))


@pytest.mark.parametrize("training_steps", ["stored", "recomputed"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_dropout_between_layers(kind, rows, training_steps):
    memory = {"stored": "full", "recomputed": "recompute"}[training_steps]
    layer = kind(4, 5, num_layers=3, dropout=0.5, batch_first=True, bidirectional=True, memory=memory).train()
    values, lengths = torch.randn(ROWS * rows, 8, 4), torch.arange(ROWS * rows) % 9
    chosen = slice(BEGIN * rows, END * rows)
    torch.manual_seed(3)
    whole, _ = layer(values, lengths=lengths)
    whole[chosen].sum().backward()
    expected = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    torch.manual_seed(3)
    with batch_part(BEGIN, END - BEGIN, ROWS):
        part, _ = layer(values[chosen], lengths=lengths[chosen])
        part.sum().backward()
    torch.testing.assert_close(part, whole[chosen])
    for p, grad in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
def test_uniform(axis):
    shape = [3, 3]
    shape[axis] = ROWS
    torch.manual_seed(0)
    whole = uniform(shape, axis=axis)
    shape[axis] = END - BEGIN
    torch.manual_seed(0)
    with batch_part(BEGIN, END - BEGIN, ROWS):
        assert torch.equal(uniform(shape, axis=axis), whole.narrow(axis, BEGIN, END - BEGIN))


def test_the_part_ends_with_the_block():
    with pytest.raises(ZeroDivisionError), batch_part(1, 2, 4):
        _ = 1 / 0
    torch.manual_seed(0)
    first = uniform((4,))
    torch.manual_seed(0)
    assert torch.equal(first, torch.rand(4))


def test_a_part_inside_of_a_part():
    with batch_part(1, 2, 4):
        with batch_part(0, 0, None):
            assert uniform((7,)).shape == (7,)
            assert dropout(torch.ones(3), 0.5).shape == (3,)
        assert uniform((2, 1)).shape == (2, 1)
