"""The picture of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurra._util.atomic import written
from recurra._util.plotting import BLUE, GREY, ORANGE, VERMILION, bars, panels

from .result import NAMES

MOST_BARS = 8


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Draws the value of each trial, the best value so far, and the importance of the parameters.

    Args:
        found: `tuning_` of an estimator.
        path: file to write.
    """
    importances = dict(sorted(found["importances"].items(), key=lambda item: -item[1])[:MOST_BARS])
    figure, grid = panels(1 + bool(importances), width=5.0)
    axes = grid[0][0]
    complete = [row for row in found["trials"] if row["state"] == "complete"]
    early = [row for row in found["trials"] if row["state"] in ("pruned", "stopped") and row["value"] is not None]
    axes.plot([r["trial"] for r in early], [r["value"] for r in early], "x", color=GREY[0], label="ended early")
    axes.plot([r["trial"] for r in complete], [r["value"] for r in complete], "o", color=BLUE, label="complete")
    better, best = max if found["greater"] else min, []
    for row in complete:
        best.append(better([*best[-1:], row["value"]]))
    axes.step([r["trial"] for r in complete], best, where="post", color=VERMILION, label="best so far")
    if found["validation"]["defaults"] is not None:
        axes.axhline(found["validation"]["defaults"], color=ORANGE, linestyle="--", label="defaults")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation {NAMES.get(found['metric'], found['metric'])}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize="small")
    if importances:
        axes = grid[0][1]
        bars(axes, list(importances), list(importances.values()), [BLUE] * len(importances), "%.2f")
        axes.set_xlabel("importance")
    with written(path) as partial:
        figure.savefig(partial, dpi=150)
