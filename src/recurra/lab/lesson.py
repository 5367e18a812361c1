"""Conclusion of the memory experiment, from its measured losses."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .result import Row

LEARNED, FORGOTTEN = 0.5, 0.9
"""Shares of the loss of a constant prediction: at most the first for a problem that a cell learned, at least the second
for one that it did not learn at all. Between them a run allows no conclusion."""


def lesson(rows: Sequence[Row], gated: Collection[str]) -> str | None:
    """Returns what the losses of one problem say about forgetting, or why they allow no conclusion.

    A plain cell forgets if it learns the shortest lag and not the longest one, while the gated cells learn both. A cell
    that does not even learn the shortest lag was not trained long enough. Its failure at the longest lag then says
    nothing about memory.

    Args:
        rows: rows of the experiment for one problem: `cell`, `lag`, `loss`, `baseline`.
        gated: labels of the cells with a gate that keeps the state.

    Returns:
        The sentence; None if the rows have no plain or no gated cell.

    Example:
        >>> losses = {("RNN", 10): 0.02, ("LSTM", 10): 0.01, ("RNN", 50): 0.99, ("LSTM", 50): 0.02}
        >>> rows = [{"cell": cell, "lag": lag, "loss": loss, "baseline": 1} for (cell, lag), loss in losses.items()]
        >>> print(lesson(rows, {"LSTM"}))
        conclusion: RNN learned lag 10 and is at chance at lag 50; LSTM learned both: plain cells forget, gates keep
    """
    shares = {(row["cell"], row["lag"]): row["loss"] / row["baseline"] for row in rows}
    cells = dict.fromkeys(cell for cell, _ in shares)
    plain, kept = [c for c in cells if c not in gated], [c for c in cells if c in gated]
    if not plain or not kept:
        return None
    short, long = (choose(lag for _, lag in shares) for choose in (min, max))
    if short == long:
        return "no conclusion: --lags has one lag; give a short one that every cell learns, and a long one"
    for lag, some in ((short, cells), (long, kept)):
        # a loss that is not a number counts as not learned
        failed = ", ".join(cell for cell in some if not shares[cell, lag] <= LEARNED)
        if failed:
            return f"no conclusion: this run is too short; {failed} did not learn lag {lag}; give more --steps"
    remembering = ", ".join(cell for cell in plain if shares[cell, long] < FORGOTTEN)
    if remembering:
        return f"no conclusion: the lags are too short; {remembering} is better than chance at lag {long}"
    return (
        f"conclusion: {', '.join(plain)} learned lag {short} and is at chance at lag {long}; "
        f"{', '.join(kept)} learned both: plain cells forget, gates keep"
    )
