"""`transcribe` on the command line: speech to text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, labels, read_columns
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, with_options
from recurra.cli.support.sounds import as_sounds, read_sounds
from recurra.errors import DataError, UsageError

from .many_to_one import Train
from .training import train as run

__all__ = ["OPTIONS", "fit", "inputs", "predict", "read"]

OPTIONS = ("input", "target", "beam", "length_bonus", "timestamps")
"""See `recurra.cli.tasks`."""

ROWS = 64  # transcribed together
Input = Annotated[str, typer.Option("--input", help="Column of sound files.", rich_help_panel="Data")]
Target = Annotated[str, typer.Option("--target", help="Column of their texts.", rich_help_panel="Data")]


@with_options(FitOptions)
def fit(
    train: Train,
    input: Input = "path",
    target: Target = "text",
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", help="Spectra (10 ms each) per time step of the network.", min=1, rich_help_panel="Network"
        ),
    ] = None,
    *,
    options: FitOptions,
) -> None:
    """Train a transcriber: speech to text.

    [bold]Examples[/bold]

      recurra fit transcribe train.csv --input path --target text --out my-model
      recurra fit transcribe train.csv --tokens word --valid dev.csv --out my-model
      recurra predict my-model recording.wav

    Each row of TRAIN has the name of a sound file (WAV, FLAC, OGG, …) and its text. Names are relative to the table.
    Rows without a text, or with a text that is too long for the recording, are left out.
    """
    from recurra._util.messages import counted

    params = {} if frames is None else {"frames": frames}
    model = run(
        "transcribe", train, options, lambda path, cache: _labelled(path, input, target, options, cache), params
    )
    for what, count in model.data_.items():
        if what.startswith("left out") and count:
            say(f"{counted(count, 'recording')} {what}")


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a labelled file for a model. By default the columns are those of the training data."""
    _decoding(estimator, options)
    input = options.input or estimator.provenance_.input_column or "path"
    target = options.target or estimator.provenance_.target_column or "text"
    return _labelled(path, input, target, options)


def predict(estimator: Any, source: str, options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields the text of each recording with its confidence, and with `--timestamps` the times of its tokens."""
    service = estimator.service()
    given = service.Options(beam=options.beam, length_bonus=options.length_bonus, timestamps=options.timestamps)
    for (chunk,) in inputs(estimator, source, options):
        for path, answer in zip(chunk, service.answers(chunk, given), strict=True):
            yield {"file": path.name, **answer}


def inputs(estimator: Any, source: str, options: PredictOptions) -> Iterator[tuple[list[Path]]]:
    """Yields the recordings of a source, in chunks."""
    if source == "-":
        raise UsageError("recordings cannot be read from standard input; name a file, a folder or a table")
    _decoding(estimator, options)
    sounds = read_sounds(options.input or estimator.provenance_.input_column or "path", source, options)
    if not isinstance(sounds, list):
        raise DataError(f"the column of {source} has no names of sound files; name the right column with --input")
    return ((sounds[start : start + ROWS],) for start in range(0, len(sounds), ROWS))


def _decoding(estimator: Any, options: PredictOptions) -> None:
    changes = {"beam_size": options.beam, "length_bonus": options.length_bonus}
    estimator.set_params(**{name: value for name, value in changes.items() if value is not None})


def _labelled(path: Path, input: str, target: str, options: FileOptions, cache: Path | None = None) -> Labelled:
    file = read_columns(path, [input, target], options, cache)
    sounds = as_sounds(file.table.column(0), path, file.where)
    texts = labels(file.table.column(1))
    return Labelled((sounds, texts), file.where, {"input_column": input, "target_column": target})
