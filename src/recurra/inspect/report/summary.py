"""Summary statistics of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.inspect.core.results import measure_layers, place

if TYPE_CHECKING:
    from recurra.inspect.core.trace import Trace

SHARES = ("forget", "input", "output", "reset", "update")
"""Gates between 0 and 1."""


def summary(found: Trace) -> list[dict[str, Any]]:
    """Computes mean, minimum and maximum of each gate and state, and the shares of nearly closed and open gates.

    Args:
        found: the trace; padding is ignored.

    Returns:
        A row for each gate and state of each recurrent layer, layer of its stack and direction. `closed` and `open` are
        the shares of values below 0.1 and above 0.9, or None if the values are not between 0 and 1.
    """
    rows = []
    for part, layer, direction, data in measure_layers(found.parts, lambda one: one):
        words = [part] if len(found.parts) > 1 else []
        words += [place("", layer, direction, found.parts[part])]
        for name, array in data.data_vars.items():
            values = array.values[~np.isnan(array.values)]
            gate = name in SHARES and values.size > 0
            rows.append(
                {
                    "part": part,
                    "layer": layer,
                    "direction": direction,
                    "name": str(name),
                    "place": ", ".join(filter(None, [*words, str(name)])),
                    "mean": float(values.mean()) if values.size else None,
                    "least": float(values.min(initial=np.inf)) if values.size else None,
                    "greatest": float(values.max(initial=-np.inf)) if values.size else None,
                    "closed": float((values < 0.1).mean()) if gate else None,
                    "open": float((values > 0.9).mean()) if gate else None,
                }
            )
    return rows
