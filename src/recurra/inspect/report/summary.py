"""A trace in a few figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recurra.inspect.core.trace import Trace

SHARES = ("forget", "input", "output", "reset", "update")
"""Gates between 0 and 1."""


def summary(found: Trace) -> list[dict[str, Any]]:
    """Mean, least and greatest value of each gate and state, and how many values of a gate are nearly closed or open.

    Args:
        found: the trace; what lies beyond the end of a sequence is left out.

    Returns:
        A row for each gate and state of each recurrent layer, layer of its stack and direction; `closed` and `open` are
        the shares below 0.1 and above 0.9, None for what is not a gate between 0 and 1.
    """
    rows = []
    for part, data in found.parts.items():
        for layer in data["layer"].values.tolist():
            for direction in data["direction"].values.tolist():
                for name, array in data.data_vars.items():
                    values = array.sel(layer=layer, direction=direction).values
                    values = values[~np.isnan(values)]
                    place = [part] if len(found.parts) > 1 else []
                    place += [f"layer {layer}"] if data.sizes["layer"] > 1 else []
                    place += [direction] if data.sizes["direction"] > 1 else []
                    gate = name in SHARES and values.size > 0
                    rows.append(
                        {
                            "part": part,
                            "layer": layer,
                            "direction": direction,
                            "name": str(name),
                            "place": ", ".join([*place, str(name)]),
                            "mean": float(values.mean()) if values.size else None,
                            "least": float(values.min(initial=np.inf)) if values.size else None,
                            "greatest": float(values.max(initial=-np.inf)) if values.size else None,
                            "closed": float((values < 0.1).mean()) if gate else None,
                            "open": float((values > 0.9).mean()) if gate else None,
                        }
                    )
    return rows
