"""Cross entropy over a sample of a large vocabulary, for training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recurra.ops import linear

NEGATIVES = 1024  # drawn again for each batch


class SampledSoftmax(torch.nn.Module):
    """Negative log-probability of target tokens, with the softmax taken over a sample of the vocabulary.

    The sample is all targets of the batch and `negatives` tokens drawn by the square root of their frequency. In the
    sum over the vocabulary, the term of a token that is drawn with probability π counts 1/π, that of a target 1, so
    that the sum is right on average (Horvitz and Thompson 1952); frequent tokens are nearly always there, so it
    varies little. A vocabulary of at most twice `negatives` is summed completely.

    Args:
        counts: how often each token occurs in the training data, `(tokens,)`; tokens with 0 are left out.
        negatives: tokens to draw.

    Example:
        >>> import torch
        >>> softmax = SampledSoftmax(torch.tensor([0, 5, 3]))
        >>> context, weight, bias = torch.zeros(4, 8), torch.zeros(3, 8), torch.zeros(3)
        >>> loss = softmax(context, weight, bias, torch.tensor([1, 1, 2, 1]))
        >>> round(loss.item() / 4, 3)  # two tokens alike: ln 2
        0.693
    """

    draw: Tensor
    absent: Tensor

    def __init__(self, counts: Tensor, negatives: int = NEGATIVES) -> None:
        super().__init__()
        self.negatives = negatives
        self.register_buffer("draw", counts.sqrt() / counts.sqrt().sum(), persistent=False)
        self.register_buffer("absent", torch.where(counts > 0, 0.0, -torch.inf), persistent=False)

    def forward(self, context: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
        """Sum of the losses.

        Args:
            context: `(batch, features)`.
            weight: `(tokens, features)` of the output layer.
            bias: `(tokens,)`.
            target: numbers of the true tokens `(batch,)`.
        """
        if len(self.draw) <= 2 * self.negatives or not len(target):
            return cross_entropy(linear(context, weight, bias + self.absent), target, reduction="sum")
        drawn = torch.multinomial(self.draw, self.negatives, replacement=True)
        sample, place = torch.unique(torch.cat([drawn, target]), return_inverse=True)
        place = place[self.negatives :]
        drawn_with = -torch.expm1(self.negatives * torch.log1p(-self.draw[sample]))
        # the targets are always in the sample
        correction = (-torch.log(drawn_with)).index_fill(0, place, 0.0)
        scores = linear(context, weight[sample], bias[sample] + correction)
        return cross_entropy(scores, place, reduction="sum")
