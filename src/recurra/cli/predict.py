"""`recurra predict`: what a model says about new sequences."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.errors import UsageError

from .console import say, show_json
from .evaluate import Model
from .files import read_columns, write_rows
from .options import Reading, takes


@takes(Reading)
def predict(
    model: Model,
    data: Annotated[str, typer.Argument(help="File, or - for one text a line on standard input.", metavar="DATA|-")],
    input: Annotated[str | None, typer.Option("--input", help="Column of sequences; as in training.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a .csv, .tsv, .jsonl or .parquet file instead.")
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of every class.")] = False,
    *,
    options: Reading,
) -> None:
    """Predict: one JSON object a line, in the order of the input.

    [bold]Examples[/bold]

      echo "a fine film" | recurra predict my-model -
      recurra predict my-model new.csv --out predictions.csv
    """
    from recurra.tasks import load

    estimator: Any = load(model)
    if proba and not hasattr(estimator, "predict_proba"):
        raise UsageError("--proba is for classifiers; this model predicts numbers")
    if data == "-":
        if estimator.encoder_.kind != "text":
            raise UsageError("the model was trained on numeric sequences; standard input takes texts only")
        chunks: Iterator[Any] = _lines_at_hand()
    else:
        name = input or estimator.data_.get("input column")
        if name is None:
            raise UsageError("the model does not know its column; name it with --input")
        column = read_columns(Path(data), name, None, options, task=estimator.task).inputs
        chunks = (column[i : i + 4096] for i in range(0, len(column), 4096))
    rows = _number(row for chunk in chunks for row in _predictions(estimator, chunk, proba))
    if out is None:
        for row in rows:
            show_json(row)
        sys.stdout.flush()
    else:
        _write(out, list(rows))


def _predictions(estimator: Any, chunk: Any, proba: bool) -> Iterator[dict[str, Any]]:
    """One dictionary for each sequence."""
    if not hasattr(estimator, "predict_proba"):
        for value in estimator.predict(chunk).tolist():
            yield {"value": value}
        return
    labels = [str(label) for label in estimator.classes_]
    for probabilities in estimator.predict_proba(chunk).astype(float).round(6).tolist():
        best = max(range(len(labels)), key=probabilities.__getitem__)
        row: dict[str, Any] = {"label": labels[best], "probability": probabilities[best]}
        if proba:
            row["probabilities"] = dict(zip(labels, probabilities, strict=True))
        yield row


def _number(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        yield {"row": number, **row}


def _lines_at_hand() -> Iterator[list[str]]:
    """Lists of lines, as many as have arrived: a slow writer gets its answers at once, a fast one in batches."""
    rest, broken = b"", 0
    while block := os.read(sys.stdin.fileno(), 1 << 20):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield [_decode(line) for line in lines]
            broken += sum(_is_broken(line) for line in lines)
            sys.stdout.flush()
    if rest:
        yield [_decode(rest)]
        broken += _is_broken(rest)
    if broken:
        say(f"{broken:,} lines were not valid UTF-8; their broken bytes were taken as unknown characters")


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _is_broken(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    flat = [
        {k: v for k, v in row.items() if k != "probabilities"}
        | {f"probability {label}": p for label, p in row.get("probabilities", {}).items()}
        for row in rows
    ]
    names = list(flat[0]) if flat else ["row"]
    write_rows(out, names, [[row[name] for row in flat] for name in names])
    say(f"{len(rows):,} predictions written to {out}")
