"""Attention pooling by the engine against torch's operations, and what it leaves to them."""

from __future__ import annotations

import pytest
import torch

from recurra import nn
from recurra.ops import attention_pooling, batch_invariant
from recurra.ops.attention_pooling import attend, attend_steps, reference
from recurra.ops.mask import step_mask
from recurra.ops.native import bindings

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")

CASES = [  # lengths, steps, features
    ([3], 3, 1),
    ([3, 0, 5, 1], 6, 8),
    ([17, 33, 2, 16, 40], 40, 37),
    ([0, 0], 2, 5),
    (list(range(70)), 71, 129),
]


def build(lengths, steps, features, dtype=torch.float64):
    torch.manual_seed(0)
    values = torch.randn(len(lengths), steps, features, dtype=dtype)
    for row, length in zip(values, lengths, strict=True):
        row[length:] = 0
    weight, bias = torch.randn(1, features, dtype=dtype), torch.randn(1, dtype=dtype)
    return [t.requires_grad_() for t in (values, weight, bias)], torch.tensor(lengths)


def both(leaves, lengths, given=None):
    """Output and gradients of the engine and of torch."""
    found = []
    for function in (attend, reference):
        out = function(*leaves, lengths)
        given = torch.randn_like(out) if given is None else given
        found.append([out, *torch.autograd.grad(out, leaves, given)])
    return found


def without_padding(gradients, lengths):
    """What torch gives to the padding of an empty sequence goes nowhere: the recurrent layers do not read it."""
    mask = torch.arange(gradients[0].shape[1]) < lengths.unsqueeze(-1)
    return [torch.where(mask.unsqueeze(-1), gradients[0], 0.0), *gradients[1:]]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_what_torch_computes(case, dtype):
    leaves, lengths = build(*case, dtype)
    assert type(attend(*leaves, lengths).grad_fn).__name__ == "_AttendBackward"
    exact = [t.detach().double().requires_grad_() for t in leaves]
    given = torch.randn(len(lengths), case[2], dtype=dtype)
    out, *gradients = both(leaves, lengths, given)[0]
    wanted, *expected = both(exact, lengths, given.double())[1]
    tolerance = 5e-5 if dtype == torch.float32 else 1e-12
    actual, expected = [out, *gradients], [wanted, *without_padding(expected, lengths)]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, check_dtype=False)


def test_padding_is_not_read():
    leaves, lengths = build(*CASES[2])
    expected = both(leaves, lengths)[0][0]
    with torch.no_grad():
        for row, length in zip(leaves[0], lengths, strict=True):
            row[length:] = torch.nan
    out = attend(*leaves, lengths)
    assert torch.equal(out, expected)
    gradients = torch.autograd.grad(out.sum(), leaves)
    assert not any(g.isnan().any() for g in gradients)
    assert not any(g[n:].any() for g, n in zip(gradients[0], lengths, strict=True))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_number_spoils_its_sequence_alone(bad):
    leaves, lengths = build(*CASES[2], torch.float32)
    with torch.no_grad():
        leaves[0][1, 3, 2] = bad
    out = attend(*leaves, lengths)
    assert torch.equal(out.isnan(), reference(*leaves, lengths).isnan())
    assert out[1].isnan().any()
    assert not out[[0, 2, 3, 4]].isnan().any()


def test_scores_far_apart():
    values = torch.tensor([[[0.0], [200.0], [-3e38]]])
    args = values, torch.tensor([[2.0]]), torch.tensor([1e6]), torch.tensor([2])
    torch.testing.assert_close(attend(*args), reference(*args))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_changes_nothing(dtype):
    leaves, lengths = build(*CASES[4], dtype)
    given, before = torch.randn(len(lengths), 129, dtype=dtype), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(both(leaves, lengths, given)[0])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_tensors_may_lie_in_any_way():
    leaves, lengths = build(*CASES[2])
    expected = both(leaves, lengths)[0]
    values = leaves[0].detach().permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    wide = torch.zeros(1, 74, dtype=torch.float64)
    wide[:, ::2] = leaves[1].detach()
    others = [values, wide[:, ::2].requires_grad_(), leaves[2]]
    given = expected[0].detach().T.contiguous().T
    actual, wanted = both(others, lengths, given)
    torch.testing.assert_close(actual, wanted, rtol=1e-12, atol=1e-12)


def test_derivatives_of_both_orders_are_right():
    leaves, lengths = build([3, 1], 3, 2)
    assert torch.autograd.gradcheck(attend, (*leaves, lengths))
    assert torch.autograd.gradgradcheck(attend, (*leaves, lengths))


@pytest.mark.parametrize("frozen", range(3))
def test_second_derivatives_where_something_is_frozen(frozen):
    leaves, lengths = build(*CASES[1])
    leaves[frozen].requires_grad_(False)
    wanted = [t for t in leaves if t.requires_grad]
    second = []
    for function in (attend, reference):
        first = torch.autograd.grad(function(*leaves, lengths).square().sum(), wanted, create_graph=True)
        second.append(torch.autograd.grad(sum(g.square().sum() for g in first), wanted))
    torch.testing.assert_close(*second, rtol=1e-11, atol=1e-11)


def test_many_gradients_at_once():
    leaves, lengths = build(*CASES[1])
    out, given = attend(*leaves, lengths), torch.randn(3, 4, 8, dtype=torch.float64)
    found = torch.autograd.grad(out, leaves, given, is_grads_batched=True, retain_graph=True)
    for i in range(3):
        one = torch.autograd.grad(out, leaves, given[i], retain_graph=True)
        torch.testing.assert_close(without_padding([f[i] for f in found], lengths), list(one), rtol=1e-11, atol=1e-11)


def test_transforms_and_compilers_take_torchs_operations():
    leaves, lengths = build(*CASES[1])
    values, weight, bias = (t.detach() for t in leaves)
    expected = attend(values, weight, bias, lengths)
    each = torch.func.vmap(attend, in_dims=(0, None, None, 0))(values[:, None], weight, bias, lengths[:, None])
    torch.testing.assert_close(each[:, 0], expected, rtol=1e-12, atol=1e-12)
    gradient = torch.func.grad(lambda w: attend(values, w, bias, lengths).sum())(weight)
    torch.testing.assert_close(gradient, torch.autograd.grad(attend(*leaves, lengths).sum(), leaves[1])[0])
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(values, weight, bias, lengths), expected, rtol=1e-12, atol=1e-12)


def test_a_pooling_exports_and_lets_hooks_listen():
    leaves, lengths = build(*CASES[1])
    pooling, values = nn.Pooling("attention", 8).double(), leaves[0].detach()
    expected = pooling(values, values[:, 0], lengths)
    program = torch.export.export(pooling, (values, values[:, 0], lengths)).module()
    torch.testing.assert_close(program(values, values[:, 0], lengths), expected, rtol=1e-12, atol=1e-12)
    heard = []
    pooling.score.register_forward_hook(lambda module, args, output: heard.append(output.shape))
    torch.testing.assert_close(pooling(values, values[:, 0], lengths), expected, rtol=1e-12, atol=1e-12)
    assert heard == [(4, 6, 1)]


def test_what_is_left_to_torch(monkeypatch):
    plain, values = attention_pooling._plain, torch.ones(2, 3, 4)
    assert plain(values, values[0], values[0, 0])
    assert plain(values.double())
    assert not plain(values, values.double())
    assert not plain(values.long())
    assert not plain(values.bfloat16())
    assert not plain(values, values[:0])
    assert not plain(values.to("meta"))
    for name in ("transformed", "watched"):
        with monkeypatch.context() as patch:
            patch.setattr(attention_pooling, name, lambda *given: True)
            assert not plain(values)
    monkeypatch.setattr(bindings, "engine", None)
    assert not plain(values)


def test_values_with_features_side_by_side_are_not_copied():
    values, weight, bias = torch.randn(2, 3, 6), torch.randn(1, 6), torch.randn(1)
    for view in (values, values.transpose(0, 1), values[:, :, 1:4]):
        assert attention_pooling._real((view, weight, bias))[0].data_ptr() == view.data_ptr()
    apart, turned, _ = attention_pooling._real((values[:, :, ::2], torch.randn(6, 2).T[:1], bias))
    assert apart.is_contiguous()
    assert turned.is_contiguous()


@pytest.mark.parametrize("frozen", range(3))
@pytest.mark.parametrize("grad", [True, False])
def test_a_gradient_is_kept_where_one_of_the_inputs_has_one(frozen, grad):
    leaves, lengths = build(*CASES[1])
    alone = [leaf.detach().requires_grad_(i == frozen) for i, leaf in enumerate(leaves)]
    with torch.set_grad_enabled(grad):
        out = attend(*alone, lengths)
    assert out.requires_grad == grad
    assert not attend(*(leaf.detach() for leaf in leaves), lengths).requires_grad
    torch.testing.assert_close(out, reference(*leaves, lengths))


def test_the_callers_lengths_may_change_before_backward():
    leaves, lengths = build(*CASES[1])
    given = lengths.clone()
    out = attend(*leaves, given)
    given.zero_()
    found = torch.autograd.grad(out.sum(), leaves)
    expected = torch.autograd.grad(attend(*leaves, lengths).sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_division_into_steps_gives_the_same_bits(dtype):
    values, weight, bias = torch.randn(5, 23, 37, dtype=dtype), torch.randn(1, 37, dtype=dtype), torch.randn(1)
    bias, lengths = bias.to(dtype), torch.tensor([23, 0, 1, 16, 9])
    with torch.no_grad(), batch_invariant():
        whole = attend(values, weight, bias, lengths)
    torch.testing.assert_close(whole, reference(values * step_mask(lengths, 23)[..., None], weight, bias, lengths))
    assert whole[1].eq(0).all()
    for sizes in ([1] * 23, [23], [5, 0, 11, 7]):
        states, done = torch.zeros(5, 39, dtype=torch.float64), 0
        for size in sizes:
            now = (lengths - done).clamp(0, size)
            found, done = attend_steps(values[:, done : done + size], weight, bias, now, states), done + size
        assert torch.equal(found, whole)
