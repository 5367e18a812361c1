"""Metrics of each target of a regressor of several."""

from __future__ import annotations

from typing import Any

import numpy as np


def by_target(r2: np.ndarray | None, squares: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    """Returns the key `targets` with the metrics of each target; nothing for a single target.

    Args:
        r2: of each target; None if it is not defined.
        squares: mean squared error of each target, in its own unit.
        sizes: mean absolute error of each target.
    """
    if len(squares) == 1:
        return {}
    rows = zip(squares.tolist(), sizes.tolist(), strict=True)
    return {
        "targets": [
            {"target": n, "r2": None if r2 is None else float(r2[n - 1]), "mse": mse, "rmse": mse**0.5, "mae": mae}
            for n, (mse, mae) in enumerate(rows, 1)
        ]
    }
