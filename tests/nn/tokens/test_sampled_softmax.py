"""The sampled softmax: exact where it sums everything, right on average where it does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from recurra.nn import SampledSoftmax

TOKENS, SIZE = 300, 8


def problem():
    torch.manual_seed(0)
    counts = (1000 / torch.arange(1, TOKENS + 1)).floor()
    counts[0] = 0
    context, weight, bias = torch.randn(50, SIZE), torch.randn(TOKENS, SIZE) * 0.3, counts.clamp(min=0.5).log()
    target = torch.multinomial(counts, 50, replacement=True)
    return counts, context.requires_grad_(), weight.requires_grad_(), bias, target


def exact(counts, context, weight, bias, target):
    scores = (context @ weight.T + bias).masked_fill(counts == 0, -torch.inf)
    return cross_entropy(scores, target, reduction="sum")


def test_a_small_vocabulary_is_summed_completely():
    counts, *rest = problem()
    torch.testing.assert_close(SampledSoftmax(counts, TOKENS // 2)(*rest), exact(counts, *rest))


def test_right_on_average_and_so_are_its_gradients():
    counts, context, weight, bias, target = problem()
    wanted = exact(counts, context, weight, bias, target)
    gradient = torch.autograd.grad(wanted, context)[0]
    softmax = SampledSoftmax(counts, 60)
    losses, gradients = [], []
    for _ in range(300):
        loss = softmax(context, weight, bias, target)
        gradients.append(torch.autograd.grad(loss, context)[0])
        losses.append(loss.detach())
    assert torch.stack(losses).std() > 0  # it does sample
    assert torch.stack(losses).mean() == pytest.approx(wanted.item(), rel=0.005)
    found = torch.stack(gradients).mean(0)
    assert (found - gradient).norm() < 0.03 * gradient.norm()


def test_nothing_to_predict_costs_nothing():
    counts, context, weight, bias, target = problem()
    loss = SampledSoftmax(counts, 10)(context[:0], weight, bias, target[:0])
    loss.backward()
    assert loss.item() == 0
    assert not weight.grad.any()


def test_what_was_drawn_is_corrected_for_how_often_it_is_drawn(monkeypatch):
    counts, context, weight, bias, _ = problem()
    target, drawn = torch.tensor([7, 2]), torch.tensor([2, 5, 5, 9])
    monkeypatch.setattr(torch, "multinomial", lambda *args, **kwargs: drawn)
    found = SampledSoftmax(counts, 4)(context[:2], weight, bias, target)
    share = counts.sqrt() / counts.sqrt().sum()
    candidates = [2, 5, 7, 9]
    correction = [0.0 if token in (7, 2) else -math.log(1 - (1 - share[token].item()) ** 4) for token in candidates]
    scores = context[:2] @ weight[candidates].T + bias[candidates] + torch.tensor(correction)
    expected = cross_entropy(scores, torch.tensor([2, 0]), reduction="sum")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("negatives", "sampled"), [(TOKENS // 2 - 1, True), (TOKENS // 2, False)])
def test_up_to_twice_the_sample_is_summed_completely(monkeypatch, negatives, sampled):
    counts, *rest = problem()
    drawn = []
    before = torch.multinomial
    monkeypatch.setattr(torch, "multinomial", lambda *a, **k: drawn.append(a[1]) or before(*a, **k))
    SampledSoftmax(counts, negatives)(*rest)
    assert drawn == [negatives] * sampled


def test_how_often_tokens_are_drawn_and_which_are_left_out():
    softmax = SampledSoftmax(torch.tensor([0.0, 1.0, 4.0, 1.0, 16.0]))
    assert softmax.negatives == 1024
    assert softmax.draw.tolist() == [0.0, 0.125, 0.25, 0.125, 0.5]
    assert softmax.absent.tolist() == [-math.inf, 0, 0, 0, 0]
    assert softmax.state_dict() == {}
