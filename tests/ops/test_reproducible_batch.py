"""The same bits for a sequence in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra import nn, ops
from recurra.ops import registry
from recurra.ops.native import bindings
from recurra.ops.reproducible import is_batch_invariant, native_linear, sum_steps
from recurra.ops.tensor_memory import needs_grad

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")

GROUPS = ([0], [1], [2, 3], [4, 5, 6], [19, 3, 11, 0, 7])


def tensors(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("hidden", [3, 100, 257])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_alone_as_among_others(kind, hidden, layers, bidirectional, dtype):
    torch.manual_seed(0)
    layer = getattr(nn, kind)(7, hidden, layers, bidirectional=bidirectional, batch_first=True, dtype=dtype)
    values, lengths = torch.randn(20, 30, 7, dtype=dtype), torch.arange(20) * 3 % 31
    with torch.inference_mode(), ops.batch_invariant():
        whole, last = layer(values, lengths=lengths)
        for group in GROUPS:
            steps = int(lengths[group].max())
            found, state = layer(values[group, :steps], lengths=lengths[group])
            assert torch.equal(found, whole[group, :steps])
            for one, other in zip(tensors(state), tensors(last), strict=True):
                assert torch.equal(one, other[:, group])


@pytest.mark.parametrize("projected", [0, 5])
@pytest.mark.parametrize("count", [1, 2, 20])
def test_steps_are_those_of_the_whole_sequence(projected, count):
    torch.manual_seed(0)
    layer = nn.LSTM(7, 33, 2, batch_first=True, proj_size=projected)
    values = torch.randn(20, 9, 7)
    with torch.inference_mode(), ops.batch_invariant():
        whole, last = layer(values)
        by_call, by_step = [None, None]
        for at in range(9):
            output, by_call = layer(values[:count, at : at + 1], by_call)
            stepped, by_step = layer.step(values[:count, at], by_step)
            assert torch.equal(output[:, 0], whole[:count, at])
            assert torch.equal(stepped, whole[:count, at])
        for one, other, final in zip(by_call, by_step, last, strict=True):
            assert torch.equal(one, final[:, :count])
            assert torch.equal(other, final[:, :count])


def test_a_gradient_does_not_change_the_result():
    torch.manual_seed(0)
    layer, values = nn.GRU(3, 40, batch_first=True), torch.randn(2, 3, 3)
    with ops.batch_invariant():
        trained = layer(values[:1])[0]
        with torch.no_grad():
            assert torch.equal(layer(values)[0][:1], trained)
    trained.sum().backward()


@pytest.mark.parametrize(("features", "outputs"), [(1, 1), (5, 3), (128, 1000), (300, 65)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_a_linear_layer(features, outputs, biased, dtype):
    torch.manual_seed(0)
    linear, values = ops.Linear(features, outputs, biased, dtype=dtype), torch.randn(20, features, dtype=dtype)
    with torch.inference_mode(), ops.batch_invariant():
        whole = linear(values)
        for group in GROUPS:
            assert torch.equal(linear(values[group]), whole[group])
    wanted = torch.nn.functional.linear(values, linear.weight, linear.bias)
    torch.testing.assert_close(whole, wanted.detach(), rtol=1e-5, atol=1e-5)


def test_layouts_of_a_linear_layer():
    torch.manual_seed(0)
    wide, weight = torch.randn(6, 10), torch.randn(8, 10)
    views = {
        "rows apart": (wide[::2, :5], weight[:4, :5]),
        "transposed": (wide.T, weight[:4, :6]),
        "more dimensions": (wide.view(2, 3, 10), weight),
        "no rows": (wide[:0], weight),
        "no features": (wide[:, :0], weight[:, :0]),
        "one feature": (wide[:, :1], weight[:, 3:4]),
        "no outputs": (wide, weight[:0]),
        "conjugate": (torch.complex(wide, wide).conj().imag, weight),
    }
    for name, (values, matrix) in views.items():
        wanted = torch.nn.functional.linear(values, matrix)
        found = native_linear(values, matrix)
        assert found.shape == wanted.shape, name
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_linear_layer_with_gradients_is_that_of_torch():
    linear, values = ops.Linear(5, 3), torch.randn(1, 5)
    with ops.batch_invariant():
        found = linear(values)
    assert torch.equal(found, torch.nn.functional.linear(values, linear.weight, linear.bias))
    assert needs_grad(values, linear.weight)
    assert not needs_grad(values, None)
    with torch.no_grad():
        assert not needs_grad(linear.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_types_are_left_to_torch(dtype):
    values, weight = torch.ones(2, 3, dtype=dtype), torch.ones(4, 3, dtype=dtype)
    assert native_linear(values, weight).tolist() == [[3.0] * 4] * 2


def test_the_sum_over_steps_ignores_padding():
    random = np.random.default_rng(0)
    values = torch.from_numpy(random.normal(size=(9, 300, 33)).astype(np.float32))
    values[:, 250:] = 0
    with ops.batch_invariant():
        whole = sum_steps(values)
        for steps in (250, 251, 299):
            for rows in ([0], [3, 4], list(range(9))):
                assert torch.equal(sum_steps(values[rows, :steps]), whole[rows])
        assert sum_steps(values[:, :0]).tolist() == [[0.0] * 33] * 9
    torch.testing.assert_close(whole, values.double().sum(1).float(), rtol=1e-4, atol=1e-4)
    assert torch.equal(sum_steps(values), values.sum(1))


def test_it_ends_with_its_block():
    def fail():
        assert is_batch_invariant()
        raise ValueError("inside")

    assert not is_batch_invariant()
    with pytest.raises(ValueError, match="inside"), ops.batch_invariant(), ops.batch_invariant():
        fail()
    assert not is_batch_invariant()
    assert not bindings.engine.set_invariant(False)


def test_inner_blocks_do_not_end_it():
    with ops.batch_invariant():
        with ops.batch_invariant():
            pass
        assert is_batch_invariant()
        assert bindings.engine.set_invariant(True)


def test_nothing_happens_without_the_engine(monkeypatch):
    monkeypatch.setattr(registry.kernels, "engine", None)
    with ops.batch_invariant():
        assert not is_batch_invariant()
