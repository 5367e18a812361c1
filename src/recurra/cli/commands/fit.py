"""`recurra fit`: from a file to a trained model folder, one subcommand for each shape of sequence."""

from __future__ import annotations

from recurra.cli.support.command import App
from recurra.cli.support.suggest import SuggestingGroup
from recurra.cli.tasks import SHAPES, shape_of

app = App(cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def fit() -> None:
    """Train a model on a file.

    [bold]Examples[/bold]

      recurra fit classify reviews.csv --input text --target label --out my-model
      recurra fit regress essays.parquet --input text --target score --out my-model
      recurra fit generate novel.txt --out my-model
      recurra fit translate pairs.tsv --source english --target korean --out my-model
      recurra fit fill reviews.csv --input text --out my-filler
      recurra fit transcribe recordings.csv --input path --target text --out my-model
      recurra fit forecast load.csv --time date --target load --horizon 24 --out my-model
    """


for name in SHAPES:
    app.command(name)(shape_of(name).fit)
