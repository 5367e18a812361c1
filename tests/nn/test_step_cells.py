"""Cells of one step: the results, gradients and errors are those of torch."""

from __future__ import annotations

import copy

import pytest
import torch

import recurra
from recurra import nn

PAIRS = [(nn.RNNCell, torch.nn.RNNCell), (nn.GRUCell, torch.nn.GRUCell), (nn.LSTMCell, torch.nn.LSTMCell)]


def both(pair, *sizes, **options):
    ours, theirs = (kind(*sizes, **options) for kind in pair)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("sizes", [(1, 1), (5, 8), (33, 67), (16, 256)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_many_steps(pair, sizes, dtype, bias):
    ours, theirs = both(pair, *sizes, bias=bias, dtype=dtype)
    own = other = None
    with torch.no_grad():
        for x in torch.randn(7, 3, sizes[0], dtype=dtype):
            own, other = ours(x, own), theirs(x, other)
            for one, two in zip(parts(own), parts(other), strict=True):
                torch.testing.assert_close(one, two)
        assert ours._step(x, own) is not None  # by the engine
    assert isinstance(own, tuple) == (pair[0] is nn.LSTMCell)


@pytest.mark.parametrize("pair", PAIRS)
def test_gradients(pair):
    ours, theirs = both(pair, 4, 6)
    x = torch.randn(2, 5, 4)
    for cell in (ours, theirs):
        state = cell(x[:, 0])
        sum(part.sum() for part in parts(cell(x[:, 1], state))).backward()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("pair", PAIRS)
def test_one_sequence_and_other_layouts(pair):
    ours, theirs = both(pair, 4, 6)
    with torch.no_grad():
        for x in (torch.randn(4), torch.randn(4, 5).T, torch.randn(0, 4), torch.randn(5, 4).bfloat16().float()):
            for one, two in zip(parts(ours(x)), parts(theirs(x)), strict=True):
                torch.testing.assert_close(one, two)


def test_relu():
    ours, theirs = both(PAIRS[0], 4, 6, nonlinearity="relu")
    with torch.no_grad():
        x = torch.randn(5, 4)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("pair", PAIRS)
def test_errors_are_those_of_torch(pair):
    ours, theirs = both(pair, 4, 6)
    wrong = [(torch.zeros(3, 5),), (torch.zeros(3, 4), torch.zeros(2, 6)), (torch.zeros(1, 3, 4),), ("x",)]
    for arguments in wrong:
        with torch.no_grad(), pytest.raises(Exception) as expected:  # noqa: PT011
            theirs(*arguments)
        with torch.no_grad(), pytest.raises(type(expected.value)):
            ours(*arguments)


@pytest.mark.parametrize("pair", PAIRS)
def test_changed_weights_are_used(pair):
    ours, theirs = both(pair, 4, 6)
    x = torch.randn(3, 4)
    with torch.no_grad():
        ours(x)
        for cell in (ours, theirs):
            cell.weight_hh.fill_(float("nan"))
            cell.weight_ih.mul_(2)
        for one, two in zip(parts(ours(x)), parts(theirs(x)), strict=True):
            torch.testing.assert_close(one, two, equal_nan=True)


@pytest.mark.parametrize("pair", PAIRS)
def test_copies_and_conversion(pair):
    cell = pair[0](4, 6)
    x = torch.randn(3, 4)
    with torch.no_grad():
        found = parts(cell(x))
        assert all(map(torch.equal, parts(copy.deepcopy(cell)(x)), found))
    model = torch.nn.ModuleList([pair[1](4, 6)])
    assert type(recurra.accelerate(model)[0]) is pair[0]
    assert nn.accelerate_report(model).accelerated == {"0": pair[0].__name__}
    assert type(recurra.restore(model)[0]) is pair[1]
