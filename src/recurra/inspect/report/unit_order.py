"""Orders units so that patterns are visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

MOST = 1024
"""Maximum number of units that are ordered by similarity."""


def unit_orders(data: xarray.Dataset) -> dict[str, list[list[list[int]]]]:
    """Sorts the units of a sequence by activity and by similarity, for each layer and direction.

    Activity is the standard deviation over the steps. Similarity is the correlation over the steps, with average
    linkage and optimal leaf ordering (Bar-Joseph et al. 2001).

    Args:
        data: one sequence of a trace, its arrays `(layer, direction, time, unit)`.

    Returns:
        For each order by name, the positions of the units for each layer and direction.
    """
    array = next((data[n] for n in ("cell", "hidden", *data.data_vars) if n in data), None)
    if array is None or array.dims[-1] != "unit":
        return {}
    values = np.nan_to_num(array.values.astype(np.float64))
    orders = {"activity": np.argsort(-values.std(-2), -1).tolist()}
    if 2 < values.shape[-1] <= MOST and values.shape[-2] > 1:
        orders["likeness"] = [[_by_likeness(one.T).tolist() for one in layer] for layer in values]
    return orders


def _by_likeness(courses: np.ndarray) -> np.ndarray:
    """Returns the positions of the units `(unit, time)` in the order of the leaves of the cluster tree."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    centred = courses - courses.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return leaves_list(linkage(centred / np.maximum(length, 1e-12), "average", optimal_ordering=True))
