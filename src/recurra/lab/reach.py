"""Gradient reach of the loss of the last step."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.inspect import gradient_reach

from .network import ProbeNetwork
from .problems import Problem, Sample

LAGS = 20


def lag_grid(steps: int, count: int = LAGS) -> list[int]:
    """Selects at most `count` lags from 0 to the first step: half evenly spaced, half with geometric spacing.

    Example:
        >>> lag_grid(101, 8)
        [0, 1, 5, 22, 33, 67, 100]
    """
    if steps < 2:
        return [0]
    even, close = np.linspace(0, steps - 1, count // 2), np.geomspace(1, steps - 1, count - count // 2)
    return np.unique(np.concatenate([even, close]).round().astype(int)).tolist()


def reach(network: ProbeNetwork, problem: Problem, sample: Sample) -> list[dict[str, Any]]:
    """Computes the norm of ∂L_T/∂h_{T-k} for lags k, mean over the sequences. L_T is the loss of the last step.

    Args:
        network: the network.
        problem: the problem that defines the loss.
        sample: sequences and their targets.

    Returns:
        For each lag `{"lag": k, "state": norm}`. The state consists of everything that a step passes to the next. For
        an LSTM, the dictionary also has the norms of its parts, `"hidden"` and `"cell"`.
    """
    last = sample.target[:, -1:]
    found = gradient_reach(network, sample.x, of="loss", loss=lambda scores: problem.losses(scores, last))
    (part,) = found.parts.values()
    parts = network.layer.stack.cell.states
    names = {"state": "gradient", **({name: name for name in parts} if len(parts) > 1 else {})}
    norms = {key: part[name].values[0, 0].tolist() for key, name in names.items()}
    return [{"lag": lag, **{key: norm[lag] for key, norm in norms.items()}} for lag in lag_grid(sample.x.shape[1])]
