"""The short way of a layer's calls serves exactly the calls for which it gives what the settings ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra import nn
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


def test_an_unknown_memory_or_precision_is_refused_in_every_way():
    x = torch.randn(4, 2, 3)
    for name, message in (("memory", "memory is one of"), ("precision", "precision is one of")):
        layer = nn.GRU(3, 8)
        setattr(layer, name, "least")
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
