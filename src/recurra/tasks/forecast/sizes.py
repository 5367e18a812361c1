"""How far a forecaster looks back: context, season and segment, from the training part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from recurra._util.messages import counted
from recurra._util.schema import Record, Size
from recurra.data.columns.panel import Panel
from recurra.errors import DataError

from .baselines.season import find_season
from .prepare import Preparation
from .split import Parts

MAX_STEPS = 1_000_000
"""Longest context, season and horizon; far above what is useful."""


class SizesConfig(Record):
    """Steps that a forecaster looks back on, of a season, and of a segment."""

    context: Size
    season: Size
    segment: Size

    def check(self) -> None:
        """See `Record.check`."""
        if not self.segment <= self.context <= MAX_STEPS or self.season > MAX_STEPS:
            raise ValueError(f"a segment is at most the context, and context and season at most {MAX_STEPS:,} steps")


class Sizes(NamedTuple):
    """Steps that a forecaster looks back on, of a season, and of a segment; and what a person should know of them."""

    context: int
    season: int
    segment: int
    notes: list[str]


def choose_sizes(
    panel: Panel,
    parts: Sequence[Parts],
    preparation: Preparation,
    horizon: int,
    context: int | None,
    segment: int | None,
) -> Sizes:
    """Chooses the sizes that are not given.

    Args:
        panel: the series.
        parts: their parts.
        preparation: what scales and fills them.
        horizon: steps to forecast.
        context: steps to look back on; None to choose.
        segment: steps read as one; None to choose.

    Raises:
        DataError: the training part is too short.
    """
    lengths = [p.train for p in parts]
    longest = max(lengths, default=0)
    whole = [(s, p.train) for s, p in zip(panel.series, parts, strict=True) if p.train > 2]
    filled = [preparation.frame(panel, s, n, n).steps[:n, : len(panel.columns.target)] for s, n in whole]
    chosen, season, suited = choose_context(lengths, horizon, lambda most: find_season(filled, most, horizon))
    needed = (context or 1) + horizon
    if longest < needed:
        of = max(len(s) for s in panel.series)
        raise DataError(
            f"context {context or 1} + horizon {horizon} = {needed:,} steps, but the longest series has "
            f"{longest:,} in its training part (of {of:,} in all)\n"
            "take a smaller horizon or context, a larger training part, or more data"
        )
    notes = []
    if context is None and most_context(lengths, horizon) < 2 * horizon:
        notes.append(f"the series are short: the context is {counted(chosen, 'step')} for a horizon of {horizon}")
    size = segment or (suited if context is None else choose_segment(context, season))
    context = context or chosen
    return Sizes(context, season, min(size, context), notes)


def most_context(lengths: Sequence[int], horizon: int) -> int:
    """The longest context that leaves the longest series a fair number of windows to learn from."""
    longest = max(lengths, default=0)
    return longest - horizon - max(1, (longest - horizon) // 4)


def choose_context(lengths: Sequence[int], horizon: int, season: Callable[[int], int]) -> tuple[int, int, int]:
    """A context for these lengths of training parts: long where there is much to learn from, never too long.

    Args:
        lengths: steps of each training part.
        horizon: steps to forecast.
        season: finds the season up to a greatest length.

    Returns:
        Context, season and segment.
    """
    longest = max(lengths, default=0)
    most = most_context(lengths, horizon)
    found = season(max(1, min(longest // 3, 1000)))
    wanted = max(2 * horizon, min(720, longest // 8), found * (2 if found <= longest // 4 else 1))
    context = max(1, min(wanted, most))
    segment = choose_segment(context, found)
    if context >= 2 * segment:
        context -= context % segment
    return context, found, segment


def choose_segment(context: int, season: int) -> int:
    """Steps read together: fifteen to thirty segments, in step with the season where that is near.

    Example:
        >>> choose_segment(720, 24), choose_segment(24, 12), choose_segment(62, 24)
        (48, 1, 4)
    """
    size = min(max(context // 15, 1), 48)
    for near in range(size, size // 2, -1):
        if season % near == 0 or near % season == 0:
            return near
    return size
