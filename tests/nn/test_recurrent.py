"""The short way of a layer's calls serves exactly the calls for which it gives what the settings ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra import cells, nn
from recurra.errors import UsageError
from recurra.nn import recurrent
from recurra.ops.native import bindings

native = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
STEPS = 100


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def kept(layer, x, **options):
    """How many numbers a call keeps for its backward pass, and in chunks of how many steps."""
    config = layer(x, **options)[0].grad_fn.config
    return bindings.tape_size(config, x.dtype, *x.shape[:2]), config.chunk


@native
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("options", [{}, {"lengths": torch.tensor([STEPS, 3])}], ids=["full", "ragged"])
def test_memory_recompute_is_kept_in_the_short_way_too(kind, options):
    layer, x = kind(3, 8), torch.randn(STEPS, 2, 3)
    most, chunk = kept(layer, x, **options)
    assert chunk == 0
    layer.memory = "recompute"
    fewest, chunk = kept(layer, x, **options)
    assert chunk == math.isqrt(STEPS)
    assert fewest < most / 5
    layer.memory = "full"
    assert kept(layer, x, **options) == (most, 0)


@pytest.mark.parametrize("unknown", ["a", "least", "z"])
def test_an_unknown_memory_or_precision_is_refused_in_every_way(unknown):
    x = torch.randn(4, 2, 3)
    for name, message in (("memory", "memory is one of"), ("precision", "precision is one of")):
        layer = nn.GRU(3, 8)
        setattr(layer, name, unknown)
        with pytest.raises(UsageError, match=message):
            layer(x)


@native
def test_precision_reaches_the_engine():
    layer, x = nn.GRU(3, 8), torch.randn(4, 2, 3)
    assert layer(x)[0].grad_fn.config.bf16 is False
    layer.precision = "bfloat16"
    assert layer(x)[0].grad_fn.config.bf16 is True


@pytest.mark.parametrize("gradients", [False, True])
def test_dropout_is_on_in_training_and_between_layers_only(gradients):
    x = torch.randn(4, 2, 3)
    deep, flat = nn.GRU(3, 8, 2, dropout=0.5), nn.GRU(3, 8)
    flat.dropout = 0.5
    with torch.set_grad_enabled(gradients):
        assert not torch.equal(deep(x)[0], deep(x)[0])
        assert torch.equal(flat(x)[0], flat(x)[0])
        assert torch.equal(deep.eval()(x)[0], deep(x)[0])


@native
@pytest.mark.parametrize(("engine", "short"), [("auto", True), ("builtin", False), ("reference", False)])
def test_other_engines_do_not_go_the_short_way(engine, short):
    layer, x = nn.GRU(3, 8, engine=engine), torch.randn(4, 2, 3)
    assert (type(layer(x)[0].grad_fn).__name__ == "_RecurrenceBackward") == short


@native
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("convert", [list, tuple, np.array], ids=["list", "tuple", "array"])
def test_lengths_that_are_no_tensor_take_the_fast_path(convert, grad, monkeypatch):
    layer, x = nn.LSTM(5, 8, batch_first=True), torch.randn(2, 10, 5)
    with torch.set_grad_enabled(grad):
        expected, _ = layer(x, lengths=torch.tensor([3, 10]))
        monkeypatch.setattr(recurrent, "recurrence", None)  # the other path
        output, _ = layer(x, lengths=convert([3, 10]))
    assert torch.equal(output, expected)
    assert output.requires_grad == grad


@pytest.mark.parametrize("lengths", [[3, 11], [3], [3, -1], [0.5, 1.0], "ab", {1, 2}])
def test_unusable_lengths_are_refused_by_every_path(lengths):
    layer, x = nn.LSTM(5, 8, batch_first=True), torch.randn(2, 10, 5)
    with torch.no_grad(), pytest.raises(UsageError, match="lengths"):
        layer(x, lengths=lengths)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("sort", [True, False], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_packed_batch_is_the_padded_one(kind, sort, batch_first):
    layer, lengths = kind(3, 4, batch_first=batch_first, bidirectional=True), [5, 3, 2] if sort else [2, 5, 3]
    x = torch.randn(3, 5, 3) if batch_first else torch.randn(5, 3, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=sort)
    output, last = layer(packed)
    expected, ends = layer(x, lengths=lengths)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    unpacked, own = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first)
    assert own.tolist() == lengths
    torch.testing.assert_close(unpacked, expected)
    torch.testing.assert_close(last, ends)
    torch.testing.assert_close(layer(packed, ends)[1], layer(x, ends, lengths)[1])
    with pytest.raises(UsageError, match="brings its own lengths"):
        layer(packed, lengths=lengths)
    assert layer.explain(packed).engine == layer.explain(x, lengths=lengths).engine


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_one_sequence_without_a_batch(kind, engine, batch_first):
    layer, x = kind(3, 4, 2, batch_first=batch_first, engine=engine), torch.randn(5, 3)
    axis = 0 if batch_first else 1
    expected, ends = layer(x.unsqueeze(axis))
    output, last = layer(x)
    assert torch.equal(output, expected.squeeze(axis))
    flat = [list(s) if isinstance(s, tuple) else [s] for s in (last, ends)]
    assert all(torch.equal(a, b.squeeze(1)) for a, b in zip(*flat, strict=True))
    again, _ = layer(x, last)
    assert torch.equal(again, layer(x.unsqueeze(axis), ends)[0].squeeze(axis))
    with pytest.raises(UsageError, match="`lengths` goes with a batch"):
        layer(x, lengths=[5])
    with pytest.raises(RuntimeError, match="unbatched input the initial state must have 2 dimensions"):
        layer(x, ends)
    with pytest.raises(RuntimeError, match="batched input the initial state must have 3 dimensions"):
        layer(x.unsqueeze(axis), last)
    for wrong in (torch.randn(3), torch.randn(1, 5, 1, 3)):
        with pytest.raises(UsageError, match="2 or 3 dimensions, got"):
            layer(wrong)


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_the_initial_state_of_an_lstm_is_a_pair(engine):
    layer, x, h = nn.LSTM(3, 4, engine=engine), torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    assert torch.equal(layer(x, [h, h])[0], layer(x, (h, h))[0])
    for wrong in (h, (h,), (h, h, h)):
        with pytest.raises(UsageError, match="a pair"):
            layer(x, wrong)
    gru = nn.GRU(3, 4, engine=engine)
    assert torch.equal(gru(x, (h,))[0], gru(x, h)[0])


class Own(cells.GRU):
    name = "own"


def test_a_layer_of_any_cell_and_what_it_is_by_default():
    layer = nn.Recurrent(Own(), 3, 4)
    assert (layer.stack.num_layers, layer.stack.bidirectional, layer.stack.bias) == (1, False, True)
    assert (layer.batch_first, layer.dropout, layer.engine, layer.memory, layer.precision) == (
        False, 0.0, "auto", "full", "float32",
    )  # fmt: skip
    assert [(name, tuple(p.shape), p.dtype) for name, p in layer.named_parameters()] == [
        (name, shape, torch.float32) for name, shape in layer.stack.named_shapes()
    ]
    assert all(p.requires_grad for p in layer.parameters())


def test_weights_of_any_cell_are_drawn_as_torch_draws_them():
    """From U(-1/√hidden, 1/√hidden)."""
    layer = nn.Recurrent(Own(), 100, 64, dtype=torch.float64)
    for weight in layer.parameters():
        assert weight.abs().max() <= 0.125
        assert weight.max() > 0.11
        assert weight.min() < -0.11
        assert abs(weight.mean()) < 0.02


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_layer_of_any_cell_runs_and_steps_as_torchs(batch_first):
    theirs = torch.nn.GRU(3, 4, 2, batch_first=batch_first)
    layer = nn.Recurrent(Own(), 3, 4, 2, batch_first=batch_first)
    layer.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 5, 3)
    expected, ends = theirs(x)
    output, (last,) = layer(x)
    torch.testing.assert_close((output, last), (expected, ends))
    torch.testing.assert_close(layer(x, ends)[0], layer(x, (ends,))[0])
    torch.testing.assert_close(layer(x, ends)[0], theirs(x, ends)[0])
    steps, states = [], None
    for t in range(5 if batch_first else 2):
        y, states = layer.step(x[:, t] if batch_first else x[t], states)
        steps.append(y)
    torch.testing.assert_close(torch.stack(steps, 1 if batch_first else 0), expected)
    torch.testing.assert_close(states[0], ends)
    assert layer.explain(x).engine == "compiled"
    with pytest.raises(UsageError, match="both ends"):
        nn.Recurrent(Own(), 3, 4, bidirectional=True).step(x[0])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_settings_of_a_layer(kind):
    plain = kind(3, 4)
    assert (plain.engine, plain.memory, plain.precision) == ("auto", "full", "float32")
    layer = kind(3, 4, engine="reference", memory="recompute", precision="bfloat16")
    assert (layer.engine, layer.memory, layer.precision) == ("reference", "recompute", "bfloat16")
    assert (kind.engine, kind.memory, kind.precision) == ("auto", "full", "float32")  # of layers that were accelerated


@pytest.mark.parametrize("shape", [(), (1, 2, 3)])
def test_a_step_has_one_or_two_axes(shape):
    for layer in (nn.GRU(3, 4), nn.GRU(3, 4, engine="reference")):
        with pytest.raises(UsageError, match="one step must have shape"):
            layer.step(torch.zeros(shape))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_steps_of_one_sequence_and_of_a_batch(engine, batch_first):
    layer = nn.LSTM(3, 4, batch_first=batch_first, engine=engine)
    x = torch.randn(5, 3)
    output, last = layer(x)
    state, found = None, []
    for row in x:
        y, state = layer.step(row, state)
        found.append(y)
    torch.testing.assert_close(torch.stack(found), output)
    torch.testing.assert_close(state, last)
    y, (h, c) = layer.step(x)  # five sequences
    assert (tuple(y.shape), tuple(h.shape), tuple(c.shape)) == ((5, 4), (1, 5, 4), (1, 5, 4))
    torch.testing.assert_close(y[0], output[0])


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_settings_are_compared_by_value(monkeypatch):
    layer, x = nn.GRU(3, 4, memory=other("full"), precision=other("bfloat16")), torch.randn(5, 2, 3)
    given = []

    class Fast:
        def train(self, *arguments, **options):
            given.append(options)
            return "found"

    monkeypatch.setitem(layer._fast_layers, "auto", Fast())
    assert layer(x) == "found"
    assert given == [{"batch_first": False, "dropout": 0.0, "bf16": True}]
