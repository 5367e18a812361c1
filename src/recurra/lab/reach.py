"""How far back the gradient of the last step's loss reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.inspect import gradient_reach

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
    """Norm of ∂L_T/∂h_{T-k} for lags k, a mean over sequences; L_T is the loss of the last step alone.

    Args:
        network: the network.
        problem: whose loss it is.
        sample: sequences and their answers.

    Returns:
        For each lag `{"lag": k, "state": norm}`, where the state is all that goes from step to step; an LSTM's has two
        parts, whose own norms stand beside it as `"hidden"` and `"cell"`.
    """
    last = sample.target[:, -1:]
    found = gradient_reach(network, sample.x, of="loss", loss=lambda scores: problem.losses(scores, last))
    (part,) = found.parts.values()
    parts = network.layer.stack.cell.states
    names = {"state": "gradient", **({name: name for name in parts} if len(parts) > 1 else {})}
    norms = {key: part[name].values[0, 0].tolist() for key, name in names.items()}
    return [{"lag": lag, **{key: norm[lag] for key, norm in norms.items()}} for lag in lag_grid(sample.x.shape[1])]
