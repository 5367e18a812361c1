"""Forecasters."""

from __future__ import annotations

from typing import Any

from .parts import Described, linear


def describe_forecaster(model: Any) -> Described:
    """Returns the settings and tensors of a forecaster."""
    network, prepare = model.network_, model.preparation_
    levels = [float(level) for level in model.quantiles or ()]
    written = prepare.to_config()
    layout, columns = prepare.layout, prepare.columns
    names = ("read", "beside", "ahead", "write", "spread")
    tensors = linear({name: getattr(network, name) for name in names})
    if network.shares.network < 1:
        tensors |= dict(zip(("base.weight", "base.bias"), network.base(), strict=True))
    tensors |= {"position": network.position, "target": network.target}
    if levels:
        tensors["shifts"] = network.shifts
    settings = {
        "input": {
            "kind": "history",
            "context": model.context_,
            "targets": layout.targets,
            "features": layout.features,
            "known": layout.known - layout.calendar,
            **{name: written[name] for name in ("cycles", "masked", "scales", "side", "frequency")},
        },
        "columns": {
            "time": list(columns.times),
            "target": list(columns.target),
            "features": list(columns.features),
            "known": list(columns.known),
        },
        "horizon": model.horizon,
        "levels": levels,
        "share": network.shares.network,
        "step": str(prepare.frequency),
        "sizes": {
            "segment": network.segment,
            "written": network.written,
            "filling": network.filling,
            "coming": network.coming,
            "take": model.horizon if model.decoding == "direct" else network.written,
        },
    }
    return Described(settings, {"recurrent": network.recurrent}, tensors)
