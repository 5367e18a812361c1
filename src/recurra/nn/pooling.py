"""Poolings: reduce the outputs of all steps to one vector per sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.ops.attention_pooling import attend, average
from recurra.ops.mask import step_mask
from recurra.ops.reproducible import sum_steps

POOLINGS = ("last", "mean", "max", "attention")


def last_hidden(h_n: Tensor, directions: int) -> Tensor:
    """Returns the hidden state of the top layer after the true last step in each direction.

    For a bidirectional layer that is the forward state after the last step beside the backward state after
    the first, which `output[:, -1]` is not.

    Args:
        h_n: final hidden states `(layers * directions, batch, size)`.
        directions: 1 or 2.

    Returns:
        `(batch, directions * size)`.

    Example:
        >>> h_n = torch.nn.GRU(5, 8, num_layers=2, bidirectional=True)(torch.randn(10, 3, 5))[1]
        >>> tuple(last_hidden(h_n, directions=2).shape)
        (3, 16)
    """
    return torch.cat(list(h_n[-directions:]), dim=-1)


class Pooling(torch.nn.Module):
    """Reduces the outputs of a recurrent stack to one vector per sequence.

    An empty sequence gives zeros; with `"last"` its initial state, as the stack does.

    Args:
        how: `"last"` (final hidden state), `"mean"`, `"max"` or `"attention"` (weights that are learned).
        size: features of the output, `directions * hidden`.

    Raises:
        ValueError: `how` is not one of these.

    Example:
        >>> output, last = torch.ones(2, 4, 3), torch.zeros(2, 3)
        >>> output[0, 2:] = 0  # beyond the end of the first sequence
        >>> Pooling("mean", 3)(output, last, torch.tensor([2, 4])).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        >>> [tuple(Pooling(how, 3)(output, last, torch.tensor([2, 4])).shape) for how in POOLINGS]
        [(2, 3), (2, 3), (2, 3), (2, 3)]
    """

    def __init__(self, how: str, size: int) -> None:
        super().__init__()
        if how not in POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(POOLINGS)}, not {how!r}")
        self.how = how
        self.score = torch.nn.Linear(size, 1) if how == "attention" else None

    def forward(self, output: Tensor, last: Tensor, lengths: Tensor) -> Tensor:
        """Pools.

        Args:
            output: `(batch, time, features)`.
            last: `(batch, features)`, see `last_hidden`.
            lengths: `(batch,)`.

        Returns:
            `(batch, features)`.
        """
        if self.how == "last":
            return last
        lengths = lengths.to(output.device)
        if self.how == "mean":
            return sum_steps(output) / lengths.clamp(min=1).unsqueeze(-1)  # outputs beyond the end are 0
        if self.how == "max":
            mask = step_mask(lengths, output.shape[1]).unsqueeze(-1)
            top = output.masked_fill(~mask, torch.finfo(output.dtype).min).amax(1) if output.shape[1] else last
            return torch.where(lengths.unsqueeze(-1) > 0, top, 0.0)
        assert self.score is not None  # noqa: S101  (set for "attention" in the constructor)
        if type(self.score) is not torch.nn.Linear or self.score._forward_hooks or self.score._forward_pre_hooks:
            return average(output, self.score(output), lengths)  # another layer, or one that is listened to
        return attend(output, self.score.weight, self.score.bias, lengths)
