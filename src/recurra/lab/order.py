"""Order experiment: effect of the order of the steps, with and without memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._util.plotting import bars, panels
from recurra.cells.registry import label, names
from recurra.data.encoders.text import new_tokenizer
from recurra.errors import UsageError
from recurra.tasks import SequenceClassifier

from .network import styles
from .result import Result, Row, Tell, silent
from .samples import Labelled, fitted, own, reviews, sawteeth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "data": "data",
    "cell": "cell",
    "trained": "trained on",
    "tested": "tested on",
    "accuracy": "accuracy",
    "loss": "loss (nats)",
    "chance": "by chance",
}
IN_ORDER, SHUFFLED = "in order", "shuffled"


def order(
    X: Any = None,
    y: Any = None,
    test: tuple[Any, Any] | None = None,
    *,
    cell: str = "lstm",
    tokens: str = "word",
    hidden_size: int = 64,
    epochs: int | None = None,
    random_state: int = 0,
    rows: int | None = None,
    progress: Tell = silent,
) -> Result:
    """Trains classifiers with memory on ordered and on shuffled sequences, and a classifier without memory.

    The order of the steps contains information if a model with memory is better than one without memory and than one
    trained on shuffled steps. A model relies on the order if its loss rises when the test sequences are shuffled.

    Args:
        X: sequences as in `SequenceClassifier.fit`; None for two data sets: synthetic waves that differ only in their
            order, and a sample of Korean film reviews.
        y: their classes.
        test: test data `(X, y)`; None for a fifth of the sequences.
        cell: name of a cell with memory, see `recurra.nn.CELLS`.
        tokens: unit of a step in texts: `"word"` or `"char"`.
        hidden_size: units per layer and direction.
        epochs: passes over the data; None for the default of the estimator.
        random_state: seed of weights and of the shuffling.
        rows: number of sequences of the samples to use; None for all.
        progress: called with a description, the amount of work done, and the total.

    Returns:
        A `Result` with four rows for each data set.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is out of its range.

    Example:
        >>> import numpy as np
        >>> from recurra import lab
        >>> rise = np.linspace(0, 1, 10) + np.random.default_rng(0).normal(scale=0.1, size=(60, 10))
        >>> X, y = [*rise[:30], *rise[30:, ::-1]], ["up"] * 30 + ["down"] * 30
        >>> result = lab.order(X, y, epochs=20, hidden_size=8)
        >>> [(row["cell"], row["trained"], row["tested"]) for row in result.rows][0]
        ('LSTM', 'in order', 'in order')
    """
    if cell not in names(memoryless=False):
        raise UsageError(f"cell is one with memory, {', '.join(names(memoryless=False))}, not {cell!r}")
    if tokens not in ("word", "char"):
        raise UsageError(f"tokens is word or char, not {tokens!r}: steps of other kinds change when they are moved")
    if (X is None) != (y is None):
        raise UsageError("X and y go together")
    samples = [sawteeth(rows, random_state), reviews(rows)] if X is None else []
    sets = samples or [own(X, y, test, random_state)]
    options = {"tokens": tokens, "hidden_size": hidden_size, "epochs": epochs, "random_state": random_state}
    found: list[Row] = []
    runs = [(cell, IN_ORDER), (cell, SHUFFLED), ("none", IN_ORDER)]
    for i, data in enumerate(sets):
        mixed = _shuffled(data, tokens, random_state)
        for j, (each, how) in enumerate(runs):
            progress(f"{data.name}: {label(each)}, {how}", i * len(runs) + j, len(sets) * len(runs))
            model = SequenceClassifier(cell=each, verbose=0, **options)
            found += _rows(model, each, how, mixed if how == SHUFFLED else data)
    progress("done", len(sets) * len(runs), len(sets) * len(runs))
    notes = [
        "a model trained on shuffled steps, like one without memory, uses the steps but not their order",
        "by chance: accuracy of the most frequent class; tested on "
        + ", ".join(f"{len(data.x_test):,} sequences ({data.name})" for data in sets),
    ]
    title = "Effect of the order of the steps"
    return Result("order", title, COLUMNS, found, {"cell": cell, **options, "rows": rows}, _draw, notes=notes)


def _rows(model: SequenceClassifier, cell: str, how: str, data: Labelled) -> list[Row]:
    found = fitted(model, data.x, data.y).order_test(data.x_test, data.y_test)
    if cell == "none" or how == SHUFFLED:
        found = {how: found[IN_ORDER]}  # the sequences are in their final order
    frequent = float(np.unique(data.y_test.astype(str), return_counts=True)[1].max() / len(data.y_test))
    about = {"data": data.name, "cell": label(cell), "trained": how, "chance": frequent, "n": len(data.y_test)}
    return [
        {**about, "tested": name, "accuracy": metrics["accuracy"], "loss": metrics["loss"]}
        for name, metrics in found.items()
        if name != "sentence"
    ]


def _shuffled(data: Labelled, tokens: str, seed: int) -> Labelled:
    """Returns the data with the steps of every sequence in random order."""
    random = np.random.default_rng(seed)
    return data._replace(
        x=[shuffle(x, tokens, random) for x in data.x], x_test=[shuffle(x, tokens, random) for x in data.x_test]
    )


def shuffle(sequence: Any, tokens: str, random: np.random.Generator) -> Any:
    """Shuffles the steps of a sequence: the words and punctuation marks of a text, or its characters.

    Example:
        >>> text = shuffle("it is, is it not", "word", np.random.default_rng(0))
        >>> sorted(text.split())
        [',', 'is', 'is', 'it', 'it', 'not']
    """
    if not isinstance(sequence, str):
        return sequence[random.permutation(len(sequence))]
    tokenizer = new_tokenizer(tokens)
    pieces = [p for p, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(sequence))]
    return (" " if tokens == "word" else "").join(pieces[i] for i in random.permutation(len(pieces)))


def _draw(result: Result) -> Figure:
    names = list(dict.fromkeys(row["data"] for row in result.rows))
    figure, (grid,) = panels(len(names), width=4.5)
    colours = {style["label"]: style["color"] for style in styles().values()}
    for axes, name in zip(grid, names, strict=True):
        rows = [row for row in result.rows if row["data"] == name]
        titles = [_title(row) for row in rows]
        bars(axes, titles, [row["accuracy"] for row in rows], [colours[row["cell"]] for row in rows], "%.3f")
        for bar, row in zip(axes.patches, rows, strict=True):
            bar.set_hatch({IN_ORDER: None, SHUFFLED: "//"}[row["tested"]])
            bar.set_edgecolor("white")
        axes.axvline(rows[0]["chance"], color="0.3", linewidth=1, linestyle="--", label="most frequent class")
        axes.set_xlim(0, 1.15)
        axes.set_xlabel(f"accuracy ({rows[0]['n']:,} test sequences)")
        axes.set_title(name, fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False)
    return figure


def _title(row: Row) -> str:
    if row["tested"] == IN_ORDER:
        return f"{row['cell']}\nin order"
    return f"{row['cell']}\nshuffled " + ("in both" if row["trained"] == SHUFFLED else "in the test")
