"""Attention of a decoder to the steps of a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recurra.ops import Linear
from recurra.ops.reproducible import is_batch_invariant, sum_steps


class Attention(torch.nn.Module):
    """Weighs the steps of a sequence for each query and returns the weighted mean of their values.

    The score of a step is `query · W · key / √size` (Luong et al. 2015, "general"; arXiv:1508.04025).

    Args:
        query_size: features of a query.
        key_size: features of a key.

    Example:
        >>> import torch
        >>> attention = Attention(4, 6)
        >>> keys, mask = torch.randn(2, 5, 6), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
        >>> context, weights = attention(torch.randn(2, 3, 4), keys, keys, mask)
        >>> tuple(context.shape), weights[1, :, 2:].any().item()
        ((2, 3, 6), False)
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        self.query = Linear(query_size, key_size, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Computes contexts and attention weights.

        Args:
            queries: `(batch, queries, query_size)`.
            keys: `(batch, time, key_size)`.
            values: `(batch, time, size)`.
            mask: True where a step is real, `(batch, time)`.

        Returns:
            Contexts `(batch, queries, size)` and weights `(batch, queries, time)`, which sum to 1 over the real steps.
        """
        if is_batch_invariant() and not torch.is_grad_enabled():
            found = [_attend(query, keys, values, mask) for query in self.query(queries).unbind(1)]
            context, weights = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
            return context, weights
        scores = self.query(queries) @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
        # not -inf: a softmax over nothing but -inf is NaN
        scores = scores.masked_fill(~mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = torch.log_softmax(scores, dim=-1).exp()  # the gradient of softmax depends on the number of threads
        return weights @ values, weights


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Contexts `(batch, size)` and weights `(batch, time)` of one query per sequence `(batch, key_size)`.

    The order of the sums does not depend on the number of sequences or on padding. Matrix products would choose it by
    the shapes.
    """
    scores = (query.unsqueeze(1) * keys).sum(-1) / math.sqrt(keys.shape[-1])
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    powers = (scores - scores.amax(1, keepdim=True)).exp() * mask
    weights = powers / sum_steps(powers).clamp(min=torch.finfo(powers.dtype).tiny).unsqueeze(1)
    return sum_steps(weights.unsqueeze(-1) * values), weights
