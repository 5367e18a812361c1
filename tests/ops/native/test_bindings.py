"""How tensors reach the native engine: their addresses, what is copied, and how much a call keeps."""

from __future__ import annotations

import zlib

import pytest
import torch

from recurra.cells import LSTM
from recurra.ops import Stack, recurrence
from recurra.ops.native import bindings
from recurra.ops.native.config import KERNELS, RecurrenceConfig, kernel_of

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
KINDS = pytest.mark.parametrize("kernel", range(len(KERNELS)), ids=["tanh", "relu", "lstm", "gru"])


def config(kernel=2, **changes):
    named = RecurrenceConfig(kernel, 5, 3 * (kernel == 2), 2, True, True, True, 0.0, 0, False)
    return named._replace(**changes)


@KINDS
@pytest.mark.parametrize("chunk", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_call_keeps_is_what_the_engine_writes(kernel, chunk, dtype):
    """Computed from the engine's sizes of one or two steps, since a compiler knows steps and batch as symbols only."""
    numbers = bindings.engine.float32 if dtype == torch.float32 else bindings.engine.float64
    for steps in (1, 2, 3, 7, 10):
        for batch in (1, 4):
            spec = bindings.spec_of(config(kernel, chunk=chunk), batch, steps, 1)
            assert bindings.tape_size(config(kernel, chunk=chunk), dtype, steps, batch) == numbers.tape_size(spec)


def test_tapes_are_identified_by_the_sizes_of_every_kernel(monkeypatch):
    seen = []

    def size(config, dtype, steps, batch):
        seen.append((config, dtype, steps, batch))
        return len(seen)

    monkeypatch.setattr(bindings, "tape_size", size)
    assert bindings.identify_tapes() == zlib.crc32(repr(list(range(1, 17))).encode())
    expected = [
        (RecurrenceConfig(kernel, 5, 3 if kernel == 2 else 0, 2, True, True, True, 0.0, chunk, False), dtype, 7, 3)
        for kernel in range(4)
        for chunk in (0, 2)
        for dtype in (torch.float32, torch.float64)
    ]
    assert seen == expected
    monkeypatch.setattr(bindings, "engine", None)
    assert bindings.identify_tapes() == 0


def test_features_side_by_side_are_not_copied():
    values = torch.randn(4, 3, 6)
    for view in (values, values.transpose(0, 1), values[:, :, 1:4], values[:, :, 2:3], values[::2]):
        assert bindings.plain(view).data_ptr() == view.data_ptr()
    apart = values[:, :, ::2]
    assert bindings.plain(apart).data_ptr() != apart.data_ptr()
    assert bindings.plain(apart).is_contiguous()
    assert torch.equal(bindings.plain(apart), apart)


def test_weights_and_lengths_are_made_contiguous():
    weight = torch.randn(4, 6, requires_grad=True)
    same, turned, none = bindings.contiguous([weight, weight.T, None])
    assert same.data_ptr() == weight.data_ptr()
    assert turned.is_contiguous()
    assert torch.equal(turned, weight.T)
    assert not same.requires_grad
    assert none is None
    assert bindings._index(None) is None
    lengths = torch.tensor([5, 9, 2, 9], dtype=torch.int32)[::2]
    found = bindings._index(lengths)
    assert (found.tolist(), found.dtype, found.is_contiguous()) == ([5, 2], torch.int64, True)


def test_views_and_pairs_of_addresses():
    values = torch.randn(4, 3, 6)
    place = values.data_ptr()
    assert bindings.view(values, True) == (place, 18, 6)
    assert bindings.view(values, False) == (place, 6, 18)
    assert bindings.view(None, True) == (0, 0, 0)
    assert bindings._pair(()) == (0, 0)
    assert bindings._pair((values,)) == bindings._pair((values, None)) == (place, 0)
    assert bindings._pair((None, values)) == (0, place)


def test_only_plain_tensors_in_memory_are_known_to_be_readable(monkeypatch):
    plain, other = torch.zeros(3), torch.zeros(3, device="meta")
    assert bindings.readable([plain, plain]) is True
    assert not bindings.readable([plain, other])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not bindings.readable([plain])
    monkeypatch.undo()
    monkeypatch.setattr(bindings, "engine", None)
    assert not bindings.readable([plain])


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("projected", [0, 3])
def test_one_call_and_its_gradients_are_the_reference(batch_first, projected):
    """With every input; each of the results and gradients alone."""
    torch.manual_seed(0)
    stack = Stack(LSTM(), 2, 5, 2, True, proj_size=projected)
    values = torch.randn(4, 3, 2, dtype=torch.float64) if batch_first else torch.randn(3, 4, 2, dtype=torch.float64)
    weights = [torch.randn(shape, dtype=torch.float64) for _, shape in stack.named_shapes()]
    states = tuple(torch.randn(4, 4, size, dtype=torch.float64) for size in stack.state_sizes)
    lengths = torch.tensor([3, 0, 2, 1])
    called = RecurrenceConfig(2, 5, projected, 2, True, True, batch_first, 0.0, 0, False)
    output, h, c, tape = bindings.forward(called, values, weights, states, lengths, None, keep=True)
    inferred = bindings.forward(called, values, weights, states, lengths, None, keep=False)
    assert inferred[3] is None
    leaves = [t.clone().requires_grad_() for t in (values, *states, *weights)]
    wanted, last = recurrence(
        stack, leaves[0], leaves[3:], lengths, tuple(leaves[1:3]), batch_first=batch_first, engine="reference"
    )
    for found, other, expected in zip((output, h, c), inferred, (wanted, *last), strict=False):
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(other, expected)
    grads = [torch.randn_like(t) for t in (output, h, c)]
    results = [wanted, *last]
    for used in ([0, 1, 2], [0], [1], [2]):
        given = [grad if i in used else None for i, grad in enumerate(grads)]
        expected = torch.autograd.grad(
            [results[i] for i in used], leaves, [grads[i] for i in used], retain_graph=True, materialize_grads=True
        )
        for needs in ((True, True, True), (True, False, False), (False, True, False), (False, False, True)):
            found = bindings.backward(
                called, given, [values, *states, *weights], 2, lengths, None, tape.data_ptr(), needs
            )
            wants = [needs[0], *[needs[1]] * 2, *[needs[2]] * len(weights)]
            for one, other, want in zip(found, expected, wants, strict=True):
                if want:
                    torch.testing.assert_close(one, other)
                else:
                    assert one is None


@KINDS
def test_results_are_shaped_for_both_layouts(kernel):
    for both in (True, False):
        called = config(kernel, bidirectional=both)
        size, directions = 3 if kernel == 2 else 5, 2 if both else 1
        for batch_first, values in ((True, torch.zeros(4, 7, 2)), (False, torch.zeros(7, 4, 2))):
            output, h, c = called._replace(batch_first=batch_first).new_results(values)
            assert output.shape == (*values.shape[:2], directions * size)
            assert h.shape == (2 * directions, 4, size)
            assert (c is None) == (kernel != 2)
            assert c is None or c.shape == (2 * directions, 4, 5)
            assert called._replace(batch_first=batch_first).batch_and_steps(values) == (4, 7)
    assert config(kernel).has_cell_state == (kernel == 2)
    assert kernel_of(KERNELS[kernel]) == kernel
    stack = config(kernel, bias=False).stack(6)
    assert stack == Stack(KERNELS[kernel], 6, 5, 2, True, False, 3 if kernel == 2 else 0)
