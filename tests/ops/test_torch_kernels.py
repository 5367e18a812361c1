"""torch's kernels behind our call against the reference, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import GRU, LSTM, RNN
from recurra.ops import Stack, recurrence, torch_kernels
from recurra.ops.call import prepare
from samples import draw

CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


@every_cell
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("lengths", [None, [9, 0, 3, 7], [1, 9, 9, 0]], ids=["dense", "ragged", "unsorted"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("initial", [True, False])
def test_they_give_what_the_reference_gives(cell, bidirectional, lengths, batch_first, initial):
    sample = draw(Stack(cell, 5, 7, 2, bidirectional), lengths=lengths, initial=initial)
    values = sample.values if batch_first else sample.values.transpose(0, 1)
    found = []
    for engine in ("builtin", "reference"):
        output, last = recurrence(
            sample.stack, values, sample.weights, sample.lengths, sample.states, batch_first=batch_first, engine=engine
        )
        found.append([output, *last])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lengths", [None, [9, 0, 3, 7]])
def test_torch_is_told_of_dropout_in_training_only(monkeypatch, training, lengths):
    given = []

    def kernel(*arguments):
        given.append(arguments)
        return before(*arguments)

    before = torch_kernels._VF.gru
    monkeypatch.setattr(torch_kernels._VF, "gru", kernel, raising=False)
    sample = draw(Stack(GRU(), 5, 7, 2, bias=False), lengths=lengths)
    recurrence(*sample.arguments, batch_first=True, dropout=0.5, training=training, engine="builtin")
    [arguments] = given
    bias, layers, dropout, train, both = arguments[3:8] if lengths is None else arguments[4:9]
    assert (bias, layers, dropout, train, both) == (False, 2, 0.5 if training else 0.0, training, False)


def about(stack=None, steps=3, batch=2, lengths=None, **options):
    stack = stack or Stack(GRU(), 3, 4)
    weights = [torch.zeros(shape, **options) for _, shape in stack.named_shapes()]
    return prepare(stack, torch.zeros(steps, batch, 3, **options), weights, lengths)[0]


class Own(GRU):
    name = "own"


def test_what_they_refuse():
    refuses = torch_kernels.refuses
    assert [refuses(about(dtype=dtype)) for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)] == [
        None
    ] * 4
    assert refuses(about(dtype=torch.complex64)) == "torch has no kernel for torch.complex64"
    assert refuses(about(Stack(Own(), 3, 4))) == "torch has no kernel for the cell 'own'"
    nothing = "torch's kernels refuse input without steps or without sequences"
    assert [refuses(about(steps=steps, batch=batch)) for steps, batch in ((1, 1), (0, 1), (1, 0), (0, 0))] == [
        None, nothing, nothing, nothing,
    ]  # fmt: skip
    assert refuses(about(device="meta")) is None
    assert refuses(about(lengths=[3, 1])) is None
    assert refuses(about(lengths=[3, 1], device="meta")) == "torch cannot pack sequences on the device meta"
