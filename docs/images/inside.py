"""Makes the pictures of docs/guides/inside.md.

    python docs/images/inside.py MODELS REVIEWS

MODELS is a folder with the models last-rnn, last-lstm and last-gru, each made by

    recurra fit classify ratings.txt --input document --target label --cell CELL --pooling last --out MODELS/last-CELL

REVIEWS is a table of reviews that none of them was trained on, with the columns document and label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import recurra
from recurra.data.readers.tables import read_table
from recurra.inspect import half_lives, impulse_response, memory_horizon, plots

HERE = Path(__file__).parent
CELLS = {"rnn": ("RNN", "#C44601", "-"), "lstm": ("LSTM", "#1D2430", "--"), "gru": ("GRU", "#0072B2", "-.")}
LONG, COUNT, ALL = 80, 64, 2000


def main(models: Path, reviews: Path) -> None:
    """Prints the figures of the guide and draws its pictures."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "recurra"  # the same file from the same figures
    table = read_table(reviews, ["document", "label"])
    texts, labels = (column.to_pylist() for column in table.table.columns)
    known = [(text, str(label)) for text, label in zip(texts, labels, strict=True) if text]
    long = [text for text, _ in known if len(text) > LONG][:COUNT]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for cell, (name, colour, dash) in CELLS.items():
        model = recurra.load(models / f"last-{cell}")
        reach = recurra.gradient_reach(model, long, of="score")
        print(f"{name}: {reach.verdict}")
        curve = reach.parts["encoder.recurrent"]["gradient"].values.ravel()
        axes.plot(curve / curve[0], dash, color=colour, label=name)
        horizon = memory_horizon(model, *map(list, zip(*known[:ALL], strict=True)))
        print(f"{name}: {horizon}".split("\n")[0])
    axes.set(yscale="log", ylim=(1e-6, 3), xlabel="steps back", ylabel="share of the gradient left")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(HERE / "inside-reach.svg", metadata={"Date": None})

    model = recurra.load(models / "last-gru")
    gates, pushes = half_lives(model, long), impulse_response(model, long[:8])
    print(gates, pushes, sep="\n")
    plots.plot_half_lives(gates, pushes).savefig(HERE / "inside-memory.svg", metadata={"Date": None})
    found = [np.median(memory.half_life) for memory in (gates, pushes)]
    print(f"GRU, median half-life: {found[0]:.2f} steps by the gate, {found[1]:.2f} by a push")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
