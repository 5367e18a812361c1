"""Bidirectional experiment: filling blanks with context from both sides, or from one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from recurra._util.plotting import BLUE, GREY, ORANGE, VERMILION, bars, panels
from recurra.nn import ContextNetwork
from recurra.tasks import BlankFiller

from .network import fitting_size, parameter_count
from .result import Result, Row, Tell, silent
from .samples import fitted, reviews, rows_of, set_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "sees": "sees",
    "units": "units",
    "parameters": "parameters",
    "top1": "first",
    "top5": "among 5",
    "mrr": "MRR",
    "perplexity": "perplexity",
}
METRICS = ("top1", "top5", "mrr", "perplexity")
COLOURS = {"both": BLUE, "forward": ORANGE, "backward": VERMILION, "none": GREY[0]}


def bidirectional(
    texts: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    *,
    cell: str = "lstm",
    hidden_size: int = 64,
    tokens: str = "word",
    epochs: int | None = None,
    random_state: int = 0,
    rows: int | None = None,
    progress: Tell = silent,
) -> Result:
    """Trains blank fillers that read the words on both sides of a blank, only those before it, or only those after it.

    A second forward model has more units, so that its number of parameters equals that of the bidirectional model.

    Args:
        texts: training texts; None for a sample of Korean film reviews.
        test: test texts; every known word is predicted from the others. None to hold out a fifth of `texts`.
        cell: as in `BlankFiller`.
        hidden_size: units in each direction.
        tokens: as in `BlankFiller`.
        epochs: passes over the texts; None for the default of the estimator.
        random_state: seed of weights, dropout and the split.
        rows: number of texts of the sample to use; None for all.
        progress: called with a description, the amount of work done, and the total.

    Returns:
        A `Result` with a row for each of the four models, and one for prediction by word frequency only.

    Raises:
        DataError: the texts cannot be used.
        UsageError: an argument is out of its range.

    Example:
        >>> from recurra import lab
        >>> texts = ["the cat drinks milk", "the dog eats meat"] * 20
        >>> result = lab.bidirectional(texts, hidden_size=4, epochs=1)
        >>> [row["sees"] for row in result.rows][:2]
        ['both sides', 'before']
    """
    texts, test = _texts(texts, test, random_state, rows)
    options = {"cell": cell, "tokens": tokens, "epochs": epochs, "random_state": random_state, "verbose": 0}
    found: list[Row] = []

    def add(sees: str, direction: str, units: int) -> BlankFiller:
        progress(f"sees {sees}", len(found), 4)
        filler = fitted(BlankFiller(direction=direction, hidden_size=units, **options), texts)
        metrics = filler.evaluate(test)
        about = {"sees": sees, "direction": direction, "units": units, "parameters": parameter_count(filler.network_)}
        found.append({**about, **{name: metrics[name] for name in METRICS}})
        frequency.update({name: metrics[f"unigram_{name}"] for name in METRICS})
        return filler

    frequency: dict[str, float] = {}
    both = add("both sides", "both", hidden_size)
    add("before", "forward", hidden_size)
    add("before, as big", "forward", _as_many(both))
    add("after", "backward", hidden_size)
    found.append({"sees": "nothing (by frequency)", "direction": "none", **frequency})
    progress("done", 4, 4)
    settings = {**options, "hidden_size": hidden_size, "texts": len(texts), "test_texts": len(test)}
    notes = [
        "every known word of the test texts is predicted from the others; unknown words are left out",
        "units: in each direction; first, among 5: share of words at rank 1 and at ranks 1 to 5; MRR: mean of 1 / rank",
    ]
    return Result("bidirectional", "Effect of the words after a blank", COLUMNS, found, settings, _draw, notes=notes)


def _texts(
    texts: Sequence[str] | None, test: Sequence[str] | None, seed: int, rows: int | None
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Returns training and test texts."""
    if texts is None:
        data = reviews(rows)
        return data.x, data.x_test
    texts = rows_of(texts)
    if test is not None:
        return texts, rows_of(test)
    kept, aside = set_aside(len(texts), seed)
    return [texts[i] for i in kept], [texts[i] for i in aside]


def _as_many(both: BlankFiller) -> int:
    """Finds the number of units with which a forward network has the same number of parameters as `both`."""
    network = both.network_

    def count(units: int) -> int:
        with torch.device("meta"):
            return parameter_count(
                ContextNetwork(
                    both.encoder_.input_size,
                    both.embedding_size,
                    cell=both.cell,
                    hidden_size=units,
                    direction="forward",
                )
            )

    return fitting_size(count, parameter_count(network))


def _draw(result: Result) -> Figure:
    figure, (grid,) = panels(2, width=4)
    rows = result.rows
    names = [row["sees"].replace(", ", ",\n").replace(" (", "\n(") for row in rows]
    colours = [COLOURS[row["direction"]] for row in rows]
    bars(grid[0], names, [row["top5"] for row in rows], colours, "%.3f")
    grid[0].barh(range(len(rows)), [row["top1"] for row in rows], color="white", alpha=0.45, height=0.7)
    grid[0].set_xlabel("share of words found among five\n(light: at the first guess)")
    bars(grid[1], names, [row["perplexity"] for row in rows], colours, "%.0f")
    grid[1].set_xlabel("perplexity of a word (less is better)")
    grid[1].tick_params(labelleft=False)
    return figure
