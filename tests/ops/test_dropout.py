"""Dropout by the engine: its mask, its derivatives, and the ways around it."""

from __future__ import annotations

import pytest
import torch

from recurra.ops import dropout
from recurra.ops.native import bindings

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")


def seeded(values, p=0.4):
    torch.manual_seed(1)
    return dropout(values, p)


def hashed(place: int, seed: int) -> int:
    """The number of a place, as the engine draws it."""
    x = (place ^ seed) & 0xFFFFFFFF
    for added in (seed >> 32, 0):
        for factor in (0x7FEB352D, 0x846CA68B):
            x = (x ^ x >> 16) * factor & 0xFFFFFFFF
            x ^= x >> 15
        x = (x + added) & 0xFFFFFFFF
    return x


@pytest.mark.parametrize("p", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(0,), (1,), (15,), (17,), (3, 5, 7)])
def test_the_mask_follows_from_seed_and_place(shape, p):
    values = torch.randn(shape)
    torch.manual_seed(1)
    seed = int(torch.randint(2**62, ()))
    drawn = torch.tensor([hashed(i, seed) for i in range(values.numel())], dtype=torch.float64).reshape(shape)
    mask = (drawn >= min(int(p * 2**32), 2**32 - 1)) * (torch.tensor(1 / (1 - p)) if p < 1 else 0.0)
    assert torch.equal(seeded(values, p), values * mask.float())


def test_the_number_of_threads_changes_nothing():
    values, before = torch.randn(70_003, requires_grad=True), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = seeded(values)
            found.append(torch.stack([out, *torch.autograd.grad(out.sum(), values)]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_what_is_not_a_number_stays_none():
    values = torch.full((1000,), torch.nan)
    assert seeded(values).isnan().all()
    assert seeded(torch.full((1000,), torch.inf)).isnan().any()


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.mT, lambda x: x[:, 1:4], lambda x: x[0, 0].expand(5, 7)])
def test_gradients_of_all_orders_take_the_same_mask(view):
    values = torch.randn(5, 7, requires_grad=True)
    mask = seeded(torch.ones_like(view(values)))
    given = torch.randn_like(mask).requires_grad_()
    out = seeded(view(values))
    torch.testing.assert_close(out, view(values) * mask)
    (first,) = torch.autograd.grad(out, values, given, create_graph=True)
    (wanted,) = torch.autograd.grad(view(values) * mask, values, given, create_graph=True)
    torch.testing.assert_close(first, wanted)
    for order in (first, wanted):
        (second,) = torch.autograd.grad(order.square().sum(), given, retain_graph=True)
        torch.testing.assert_close(second, torch.autograd.grad(wanted.square().sum(), given, retain_graph=True)[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, in forward derivatives
def test_many_gradients_at_once_and_forward_derivatives():
    values = torch.randn(40, requires_grad=True)
    out, mask = seeded(values), seeded(torch.ones(40))
    given = torch.randn(3, 40)
    (found,) = torch.autograd.grad(out, values, given, is_grads_batched=True)
    torch.testing.assert_close(found, given * mask)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(values.detach(), given[0])
        tangent = torch.autograd.forward_ad.unpack_dual(seeded(dual)).tangent
    torch.testing.assert_close(tangent, given[0] * mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_are_left_to_torch(dtype):
    torch.manual_seed(1)
    expected = torch.nn.functional.dropout(torch.ones(50, dtype=dtype), 0.4)
    assert torch.equal(seeded(torch.ones(50, dtype=dtype)), expected)


def test_nothing_is_dropped_outside_training_or_with_probability_0():
    values = torch.randn(50, requires_grad=True)
    assert dropout(values, 0.0) is dropout(values, 0) is values
    assert dropout(values, 0.4, training=False) is values
    assert (dropout(values, 0.4) == 0).any()  # in training by default
    assert (dropout(values, 1.0) == 0).all()


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("leaf", [True, False])
def test_a_gradient_is_kept_only_where_there_is_one(grad, leaf):
    with torch.set_grad_enabled(grad):
        out = seeded(torch.ones(50, requires_grad=leaf))
    assert out.requires_grad == (grad and leaf)


def test_where_the_engine_is_absent_torch_drops(monkeypatch):
    monkeypatch.setattr(bindings, "engine", None)
    torch.manual_seed(1)
    expected = torch.nn.functional.dropout(torch.ones(50), 0.4)
    assert torch.equal(seeded(torch.ones(50)), expected)


def test_a_mode_that_watches_sees_a_product():
    seen = []

    class Mode(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    expected = seeded(torch.full((50,), 2.0))
    values = torch.full((50,), 2.0)
    with Mode():
        found = seeded(values)
    assert torch.equal(found, expected)
    assert "aten.mul.Tensor" in seen
