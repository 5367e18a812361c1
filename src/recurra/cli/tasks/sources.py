"""Reads files of sequences with one target each; the kind of a file selects the reader."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recurra.cli.support.console import say
from recurra.cli.support.files import (
    Labelled,
    column_chunks,
    is_streamed,
    labels,
    listed,
    located,
    read_columns,
    read_numbers,
    several_labels,
)
from recurra.cli.support.options import FileOptions
from recurra.cli.support.sounds import as_sounds, sounds_at
from recurra.errors import DataError, UsageError

from .tables.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from recurra.data.readers.sequence_file import SequenceFile
    from recurra.data.readers.tables import DataFile

ROWS = 4096  # predicted together


@dataclass(frozen=True)
class Source:
    """Sequences from a file, and their targets if they were requested; `order` as in `SequenceFile`."""

    sequences: Any
    targets: np.ndarray | None
    where: Callable[[int], str]
    names: dict[str, Any] = field(default_factory=dict)
    ids: Sequence[Any] | None = None
    groups: Sequence[Any] | np.ndarray | None = None
    order: np.ndarray | None = None

    def labelled(self) -> Labelled:
        """Returns the arguments of `fit` and `evaluate`."""
        return Labelled((self.sequences, self.targets), self.where, self.names, self.groups)

    def chunks(self) -> Iterator[tuple[Any, Sequence[Any] | None]]:
        """Yields chunks of sequences with their ids, for `predict`."""
        for start in range(0, len(self.sequences), ROWS):
            part, ids = slice(start, start + ROWS), self.ids
            yield self.sequences[part], ids and ids[part]


def read_source(
    task: str, path: Path, columns: Columns, options: FileOptions, cache: Path | None = None, *, targets: bool = True
) -> Source:
    """Reads a file by its kind and reports its size.

    Args:
        task: `"classify"`, `"regress"`, or `"tag"` for a target in each row of a long table.
        path: the file.
        columns: of tables; the other kinds say themselves what is what.
        options: how to read tables.
        cache: folder for large tables.
        targets: whether the targets are wanted too.

    Raises:
        DataError: the file cannot be read.
        UsageError: columns are missing, or are none of the file's.
    """
    if not targets and (sounds := sounds_at(str(path))) is not None:
        return Source(sounds, None, lambda row: sounds[row].name)
    archives = _archives(path)
    if archives:
        if columns.by is not None:
            raise UsageError(f"{path.name} has no columns; --by is for tables")
        return _from_archives(task, path, archives, options, targets)
    if columns.of_items and (columns.features or columns.targets):
        return _from_items(task, path, columns, options, cache, targets)
    if columns.features:
        return _from_long(task, path, columns, options, cache, targets)
    return _from_column(task, path, columns, options, cache, targets)


def refuse_numbers(sequences: Any, path: Path, columns: Columns) -> None:
    """Raises an error if the texts are numbers, which have an order that their digits do not show.

    Args:
        sequences: what `read_source` found.
        path: the file.
        columns: of tables.
    """
    import pyarrow as pa

    from recurra.data.columns.numbers import is_number

    if not isinstance(sequences, pa.Array | pa.ChunkedArray):
        return
    words = [word for value in sequences.slice(0, ROWS).drop_null().to_pylist() if (word := str(value).strip())]
    if words and all(map(is_number, words)):
        raise UsageError(
            f"column {columns.input} of {path.name} contains numbers such as {words[0]:.20}, not texts\n"
            "Items with numbers in columns: --features. Sequences of numbers: one row for each step with --id and "
            "--features, or lists of numbers in the column. If the digits are a text, add --tokens char."
        )


def read_chunks(
    task: str, path: Path, columns: Columns, options: FileOptions, *, sounds: bool
) -> Iterator[tuple[Any, Sequence[Any] | None]]:
    """Yields chunks of sequences with their ids, for `predict`. A column of a large table is read in parts.

    Args:
        task: see `read_source`.
        path: see `read_source`.
        columns: see `read_source`.
        options: see `read_source`.
        sounds: True if the model takes recordings.
    """
    if not columns.one_row_each(path) or sounds or not is_streamed(path, options):
        yield from read_source(task, path, columns, options, targets=False).chunks()
        return
    name = str(columns.input)
    for part in column_chunks(path, [name], options, ROWS):
        yield sequences_of(part, path, name), None


ARCHIVES = (".ts", ".npz")
"""Suffixes of files that say themselves what is a sequence and what is a target."""


def _archives(path: Path) -> list[Path]:
    """Returns the files of a data set, if they are archives of sequences and not tables.

    Raises:
        DataError: some files of a folder or pattern are archives and others are not, or there are no files.
    """
    from recurra.data.files.places import find_files
    from recurra.data.files.remote import url_of
    from recurra.data.readers.sniff import table_suffix

    files = [path] if url_of(path) is not None else [Path(str(file)) for file in find_files(path)]
    kinds = {table_suffix(file): file.name for file in reversed(files)}
    if not set(kinds) & set(ARCHIVES):
        return []
    if len(kinds) > 1:
        one, other = sorted(kinds.values())[:2]
        raise DataError(
            f"{path} has files of different kinds, {one} and {other}\nName one kind with a pattern, such as "
            f"'{path.name}/*{Path(one).suffix}'."
        )
    return files


def _from_archives(task: str, path: Path, files: Sequence[Path], options: FileOptions, targets: bool) -> Source:
    from recurra.data.readers.npz import read_npz
    from recurra.data.readers.sequence_file import joined
    from recurra.data.readers.sniff import table_suffix
    from recurra.data.readers.ts import read_ts

    read = [read_npz(file) if table_suffix(file) == ".npz" else read_ts(file, options.encoding) for file in files]
    return _measured(task, joined(path, read), {}, targets and Columns())


def _from_long(
    task: str, path: Path, columns: Columns, options: FileOptions, cache: Path | None, targets: bool
) -> Source:
    from recurra.data.readers.long_table import LongColumns, read_long

    if columns.id is None:
        raise UsageError("--features needs --id: the column that tells which sequence a row belongs to")
    if targets and not columns.targets:
        raise UsageError("name the column to predict with --target")
    categories = None if columns.known is None else columns.known.categories or {}
    goals = columns.targets if targets else ()
    of_steps = task == "tag"
    if of_steps and len(goals) > 1:
        raise UsageError(f"tag learns one label for each row, and --target names {len(goals)} columns")
    times = listed(columns.time)
    chosen = LongColumns(columns.id, columns.features, times, goals, categories, columns.elapsed, of_steps)
    file = read_long(path, chosen, options.how(), numbers=task == "regress", reading=columns.reading, cache_dir=cache)
    format = {} if file.spelling is None or not file.spelling.format else {"time_format": file.spelling.format}
    kinds = {"categories": dict(file.categories)} if file.categories else {}
    source = _measured(task, file, columns.remembered | format | kinds, targets and columns)
    return source if columns.by is None else replace(source, groups=_groups_of_ids(path, columns, options, file))


def _from_items(
    task: str, path: Path, columns: Columns, options: FileOptions, cache: Path | None, targets: bool
) -> Source:
    from recurra.data.readers.row_table import RowColumns, read_row_table

    if targets and not columns.targets:
        raise UsageError("name the column to predict with --target")
    known = columns.known
    trained = () if known is None else tuple(known.feature_columns or ())
    names = trained if len(trained) == len(columns.features) else ()
    categories = None if known is None else known.categories or {}
    goals = columns.targets if targets else ()
    chosen = RowColumns(columns.features, goals, categories, names, columns.groups if targets else None)
    found = read_row_table(path, chosen, options.how(), numbers=task == "regress", cache_dir=cache)
    known_targets = columns.remembered_targets if targets else {}
    remembered = {"feature_columns": list(found.features), "categories": found.categories, **known_targets}
    source = _measured(task, found.file, {k: v for k, v in remembered.items() if v}, targets and columns)
    return source if found.group is None else replace(source, groups=labels(found.group))


def _groups_of_ids(path: Path, columns: Columns, options: FileOptions, file: SequenceFile) -> list[Any]:
    """Returns the group of each sequence of a long table: the first value of its rows that is not missing.

    Raises:
        DataError: a sequence has several values.
    """
    from recurra.data.readers.tables import read_filled

    table = read_filled(path, [str(columns.id), str(columns.groups)], options.how())[0].table
    known: dict[str, str] = {}
    for name, group in zip(labels(table.column(0)), labels(table.column(1)), strict=True):
        if group is not None and known.setdefault(name, group) != group:
            raise DataError(f"{path.name}: {columns.by} of {name} is {known[name]} and {group}; give one per sequence")
    return [known.get(str(name)) for name in file.ids or ()]


def _measured(task: str, file: SequenceFile, names: dict[str, Any], columns: Columns | Literal[False]) -> Source:
    """Returns sequences, and with `columns` their targets."""
    from recurra.data.readers.sequence_file import labelled, without_values

    say(file.summary)
    if said := without_values(file.sequences, file.where):
        say(said)
    for note in file.notes:
        say(f"{file.path.name}: {note}")
    found = labelled(file, task == "regress") if columns else None
    if columns and found is not None and task == "classify":
        found = several_labels(found, columns.targets, columns.separator, file.where)
    return Source(file.sequences, found, file.where, names, file.ids, order=file.order)


def _from_column(
    task: str, path: Path, columns: Columns, options: FileOptions, cache: Path | None, targets: bool
) -> Source:
    from recurra.data.columns.numbers import parse_numbers
    from recurra.data.readers.sequence_file import side_by_side

    wanted = {"--input": columns.input, **({"--target": columns.targets} if targets else {})}
    for option, name in wanted.items():
        if not name and option == "--input" and (columns.id or columns.time):
            raise UsageError(f"name the columns of {path.name} that are read at each step with --features")
        if not name:
            hint = " (or for one row a step: --id, --features and --time)" if option == "--input" else ""
            raise UsageError(f"name a column of {path.name} with {option}{hint}")
    names, numbers = columns.of_rows if targets else [str(columns.input)], task == "regress"
    goals = range(len(names) - len(columns.targets), len(names)) if targets else range(0)
    texts = len(names) - len(goals)
    file = read_numbers(path, names, texts, options, cache) if numbers else read_columns(path, names, options, cache)
    sequences, found = sequences_of(file, path, str(columns.input)), None
    if targets:
        values = [file.table.column(i) for i in goals]
        if numbers:
            read = [parse_numbers(one, name=names[i], where=file.where) for i, one in zip(goals, values, strict=True)]
            found = side_by_side(read)
        else:
            found = several_labels(
                side_by_side([labels(one) for one in values]), columns.targets, columns.separator, file.where
            )
    groups = labels(file.table.column(1)) if targets and columns.by else None
    return Source(sequences, found, file.where, columns.remembered, groups=groups)


def sequences_of(file: DataFile, path: Path, name: str) -> Any:
    """Returns the sequences of the first column: texts as an Arrow column, arrays, or names of recordings."""
    import pyarrow as pa

    from recurra.data.columns.inputs import Texts, as_sequences
    from recurra.data.readers.sequence_file import without_values

    sequences: Any = as_sounds(file.table.column(0), path, file.where)
    if not isinstance(sequences, list) and pa.types.is_nested(sequences.type):
        with located(file.where):
            sequences = as_sequences(sequences)
        if isinstance(sequences, Texts):  # no row has a value that tells texts from numbers
            raise DataError(f"{path.name}, column {name}: every value is missing")
        if sequences.missing:
            say(f"{path.name}: {sequences.missing:,} missing values")
        if said := without_values(sequences, file.where):
            say(said)
    return sequences
