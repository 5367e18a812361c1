"""Mask of the real steps of a ragged batch."""

from __future__ import annotations

import torch
from torch import Tensor


def step_mask(lengths: Tensor, steps: int) -> Tensor:
    """Returns a mask `(batch, time)` that is True for real steps.

    Example:
        >>> import torch
        >>> step_mask(torch.tensor([1, 3]), 3).tolist()
        [[True, False, False], [True, True, True]]
    """
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(-1)
