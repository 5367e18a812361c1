"""Long tables of numbers with a tag in each row, for `recurra fit tag` and its models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from recurra.cli.support.files import Labelled
from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks.sources import Source, read_source
from recurra.errors import UsageError

from .columns import Columns


def is_table(options: Any) -> bool:
    """Returns whether the options of `fit` are those of a table of numbers.

    Raises:
        UsageError: columns of a table are named, but not its features.
    """
    if options.features and not options.id:
        raise UsageError("--features needs --id: the column that tells which sequence a row belongs to")
    if options.features:
        return True
    for name in ("id", "time", "elapsed"):
        if getattr(options, name):
            raise UsageError(f"--{name} is for tables of numbers; name the columns of numbers with --features")
    return False


def reader(train: Path, options: Any) -> Callable[[Path, Path | None], Labelled]:
    """Returns a function that reads a file for training, and later files as the file `train`."""
    columns = Columns.of(options)

    def read(path: Path, cache: Path | None) -> Labelled:
        nonlocal columns
        found = read_source("tag", path, columns, options, cache).labelled()
        if path is train:
            columns = columns.as_trained(found.names)
        return found

    return read


def labelled(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a labelled file for a model. By default the columns are those of the training data."""
    return _source(estimator, path, options, targets=True).labelled()


def _source(estimator: Any, source: Any, options: PredictOptions, *, targets: bool) -> Source:
    if source == "-":
        raise UsageError("this model was not trained on texts, and standard input is for texts only")
    columns = Columns.of(replace(options, input=None), estimator.provenance_)
    return read_source("tag", Path(str(source)), columns, options, targets=targets)


def chunks(estimator: Any, source: Any, options: PredictOptions) -> Iterator[tuple[Any, Any]]:
    """Yields chunks of sequences with their ids."""
    return _source(estimator, source, options, targets=False).chunks()


def predict(estimator: Any, source: Any, options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields id and tag of each row of a table, in the order of the rows; with `--proba` its probability too."""
    import numpy as np

    found = _source(estimator, source, options, targets=False)
    tags, sure, of_row = [], [], np.repeat(np.arange(len(found.sequences)), list(map(len, found.sequences.rows)))
    for chunk, _ in found.chunks():
        some, chances = estimator.predict_with_confidence(chunk)
        tags += [tag for row in some for tag in row]
        sure += [chance for row in chances for chance in row]
    assert found.order is not None and found.ids is not None  # noqa: PT018, S101  (those of a long table)
    for at in np.argsort(found.order).tolist():
        confidence = {"confidence": sure[at]} if options.proba else {}
        yield {"id": found.ids[int(of_row[at])], "tag": tags[at], **confidence}
