"""Attention: weights over the real steps only, and the mean that they give."""

from __future__ import annotations

import torch

from recurra.nn.attention import Attention
from recurra.ops import batch_invariant


def test_attention_is_the_softmax_of_its_scores():
    torch.manual_seed(0)
    attention = Attention(3, 4)
    queries, keys, values = torch.randn(2, 5, 3), torch.randn(2, 6, 4), torch.randn(2, 6, 7)
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    context, weights = attention(queries, keys, values, mask)
    scores = torch.einsum("btq,kq,bsk->bts", queries, attention.query.weight, keys) / 2
    for b, steps in enumerate([6, 2]):
        expected = torch.softmax(scores[b, :, :steps], dim=-1)
        torch.testing.assert_close(weights[b, :, :steps], expected)
        torch.testing.assert_close(context[b], expected @ values[b, :steps])
    assert weights[1, :, 2:].abs().max() == 0


def test_nothing_to_look_at_is_no_nan():
    context, weights = Attention(2, 2)(
        torch.ones(1, 1, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3) > 0
    )
    assert context.isfinite().all()
    assert weights.isfinite().all()


def test_it_is_the_same_for_any_batch():
    torch.manual_seed(0)
    attention, queries, keys, values = Attention(4, 6), torch.randn(3, 2, 4), torch.randn(3, 5, 6), torch.randn(3, 5, 7)
    mask = torch.arange(5) < torch.tensor([[5], [1], [3]])
    with torch.no_grad():
        context, weights = attention(queries, keys, values, mask)
        with batch_invariant():
            found = attention(queries, keys, values, mask)
            alone = attention(queries[2:], keys[2:, :3], values[2:, :3], mask[2:, :3])
    torch.testing.assert_close(found, (context, weights))
    assert torch.equal(alone[0], found[0][2:])
    assert torch.equal(alone[1], found[1][2:, :, :3])
