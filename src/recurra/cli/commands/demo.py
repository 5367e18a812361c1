"""`recurra demo`: trains a classifier of Korean film reviews."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say, show_table
from recurra.cli.support.files import Labelled
from recurra.cli.support.options import FileOptions, FitOptions
from recurra.cli.tasks.many_to_one import read_labelled
from recurra.cli.tasks.sources import Columns
from recurra.cli.tasks.training import train
from recurra.tasks.params import MAX_SEED

from .evaluate import metric_table

OUT = Path("recurra-demo")


def demo(
    out: Annotated[Path, typer.Option("--out", help="Model folder to write.")] = OUT,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same result.", min=0, max=MAX_SEED)] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=f"Replace a model in OUT; not needed for {OUT}.")
    ] = False,
) -> None:
    """Train on Korean film reviews; show metrics and ten predictions.

    [bold]Examples[/bold]

      recurra demo
      recurra demo --out my-demo --seed 1
    """
    from importlib.resources import as_file, files

    from recurra.io import CURVE
    from recurra.training.learning_curve import plot_history

    with as_file(files("recurra.data") / "samples" / "nsmc") as folder:
        options = FitOptions(out=out, random_state=seed, overwrite=overwrite or out == OUT)

        def read(path: Path, cache: Path | None) -> Labelled:
            return read_labelled("classify", path, Columns("document", ("label",)), FileOptions(), cache)

        estimator = train("classify", folder / "train.tsv", options, read)
        texts, truth = read(folder / "test.tsv", None).arguments
    metrics = estimator.evaluate(texts, truth)
    picture = out / CURVE
    plot_history(estimator.history_, picture, "Korean film reviews: learning curve")
    show_table("Test metrics", *metric_table(metrics))
    _show_predictions(estimator, texts, truth, seed)
    say(f"learning curve: {picture}")
    say(f'now try: echo "정말 재미있게 봤어요" | recurra predict {out} -')


def _show_predictions(estimator: Any, inputs: Any, truth: Any, seed: int) -> None:
    import numpy as np

    rows = np.random.default_rng(seed).choice(len(inputs), 10, replace=False)
    texts = [inputs[int(row)].as_py() for row in rows]
    words = {"0": "bad", "1": "good"}
    table = []
    for text, row, chances in zip(texts, rows, estimator.predict_proba(texts), strict=True):
        said, true = str(estimator.classes_[chances.argmax()]), str(truth[row])
        mark = "✓" if said == true else "✗"
        table.append([text, words[true], f"{words[said]} {chances.max():.0%}", mark])
    show_table("Ten predictions", ["review", "truth", "model", ""], table, numbers=False)
