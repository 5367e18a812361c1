"""How far back the gradient of the last step's loss reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .network import Reader
from .problems import Problem, Sample

LAGS = 20


def lag_grid(steps: int, count: int = LAGS) -> list[int]:
    """At most so many lags from 0 to the first step: half of them evenly apart, half closer where they are small.

    Example:
        >>> lag_grid(101, 8)
        [0, 1, 5, 22, 33, 67, 100]
    """
    if steps < 2:
        return [0]
    even, close = np.linspace(0, steps - 1, count // 2), np.geomspace(1, steps - 1, count - count // 2)
    return np.unique(np.concatenate([even, close]).round().astype(int)).tolist()


def reach(network: Reader, problem: Problem, sample: Sample) -> list[dict[str, Any]]:
    """Norm of ∂L_T/∂h_{T-k} for lags k, a mean over sequences.

    The layer runs up to step T - k, its state there becomes a variable, and the rest runs on from it: exact, and as
    fast as the layer. L_T is the loss of the last step alone.

    Args:
        network: the network.
        problem: whose loss it is.
        sample: sequences and their answers.

    Returns:
        For each lag `{"lag": k, "state": norm}`, where the state is all that goes from step to step; an LSTM's has two
        parts, whose own norms stand beside it as `"hidden"` and `"cell"`.
    """
    x, last = sample.x, sample.target[:, -1:]
    names, rows = network.layer.stack.cell.states, []
    for lag in lag_grid(x.shape[1]):
        norms = _gradients(network, problem, x, last, x.shape[1] - lag)
        found = {"state": torch.stack(norms).norm(dim=0)}
        if len(names) > 1:
            found |= dict(zip(names, norms, strict=True))
        rows.append({"lag": lag, **{name: float(norm.mean()) for name, norm in found.items()}})
    return rows


def _gradients(network: Reader, problem: Problem, x: Tensor, last: Tensor, steps: int) -> list[Tensor]:
    """Norms `(batch,)`, for each state, of the gradient with respect to it after so many steps."""
    with torch.no_grad():
        found = network.layer(x[:, :steps])[1]
    states = [state.detach().requires_grad_() for state in (found if isinstance(found, tuple) else (found,))]
    if steps == x.shape[1]:
        scores = network.answer(states[0][-1]).unsqueeze(1)
    else:
        scores = network(x[:, steps:], 1, tuple(states))
    # the sequences do not touch each other: the gradient of the sum is each one's own
    loss = problem.losses(scores, last).sum()
    gradients = torch.autograd.grad(loss, states, allow_unused=True)
    return [torch.zeros(len(x)) if g is None else g[0].norm(dim=1) for g in gradients]
