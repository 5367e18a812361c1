"""Reads long tables (one row per time step) into one numeric sequence per id."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import counted, plain_name, shortened
from recurra.data.columns.categories import categories_of, features_of
from recurra.data.columns.decimals import with_decimal_points
from recurra.data.columns.inputs import Arrays
from recurra.data.columns.numbers import parse_numbers
from recurra.data.columns.timestamps import Spelling, TimeReading, Times, join_times, parse_times
from recurra.data.files.table import DETECT, DataFile, ReadOptions, decoded, encoded, is_blank, is_text
from recurra.errors import DataError, UsageError

from .sequence_file import SequenceFile, side_by_side
from .tables import read_filled

ELAPSED = "elapsed"
"""Name of the feature with the time since the step before."""


@dataclass(frozen=True)
class LongColumns:
    """The columns of a long table by their role: names, or positions counted from 1.

    Args:
        id: column of ids; rows with the same id are one sequence.
        features: columns with the numbers and categories of a step.
        time: column of numbers or dates, by which the rows of an id are sorted. Several columns if a time is written
            in parts, such as date and clock. None if the rows are in order.
        target: column of targets: the same in all rows of an id, or empty in some of them. Several columns for several
            targets, `()` or None if there is none.
        categories: the values of each column of categories in the training data; None to detect them.
        elapsed: whether the time since the step before is a feature: in seconds, or in the unit of `time`.
        of_steps: whether each row has its own target, in place of one target for all rows of an id.

    Raises:
        UsageError: there is no feature, a column has two roles, or `elapsed` is asked for without `time`.
    """

    id: str
    features: tuple[str, ...]
    time: str | tuple[str, ...] | None = None
    target: str | tuple[str, ...] | None = None
    categories: Mapping[str, Sequence[str]] | None = None
    elapsed: bool = False
    of_steps: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns: none, one or several."""
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    @property
    def times(self) -> tuple[str, ...]:
        """The time columns: none, one or several."""
        return (self.time,) if isinstance(self.time, str) else self.time or ()

    def __post_init__(self) -> None:
        if not self.features:
            raise UsageError("name at least one feature")
        if self.elapsed and not self.times:
            raise UsageError("--elapsed needs --time: the times between which it has passed")
        taken = {plain_name(name): role for name, role in ((self.id, "id"), *((t, "target") for t in self.targets))}
        for feature in map(plain_name, self.features):
            if feature in taken:
                given_away = "; the model would read the target" if taken[feature] == "target" else ""
                raise UsageError(f"{feature} cannot be a feature, for it is the {taken[feature]}{given_away}")
            taken[feature] = "feature already"
        if self.elapsed and ELAPSED in taken:
            raise UsageError(f"--elapsed adds a feature {ELAPSED}, and the table has a column with this name")

    @property
    def names(self) -> list[str]:
        """Names of all columns in the order id, features, time, target."""
        return [self.id, *self.features, *self.times, *self.targets]


def read_long(
    path: str | os.PathLike[str],
    columns: LongColumns,
    options: ReadOptions = DETECT,
    *,
    numbers: bool = False,
    reading: TimeReading | None = None,
    cache_dir: Path | None = None,
) -> SequenceFile:
    r"""Reads a CSV, TSV, JSON Lines or Parquet file with one row per time step.

    Rows may be in any order. The order of the sequences is that of the first rows of their ids. Times only determine
    the order of the steps. An empty cell of a feature is a missing value. A column of categories is one feature for
    each category, which is 1 where the step has this category and else 0. The columns `file` and `folder` are the names
    of the files and of their folders, unless the table has columns of these names, see `read_filled`.

    Args:
        path: the file.
        columns: the roles of the columns.
        options: options of reading the file.
        numbers: True if targets are numbers, False if they are classes.
        reading: options of reading the times.
        cache_dir: for large tables, see `read_table`.

    Raises:
        DataError: the file cannot be read, a cell is not a number or a time, an id is missing, or an id has a time
            twice or different targets. The message names the line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "log.csv")
        ...     _ = path.write_text("pump,hour,flow,state\nA,2,5,ok\nB,1,7,worn\nA,1,4,ok\n")
        ...     file = read_long(path, LongColumns("pump", ("flow",), "hour", "state"))
        >>> file.ids, [row.tolist() for row in file.sequences.rows], file.targets.tolist()
        (['A', 'B'], [[[4.0], [5.0]], [[7.0]]], ['ok', 'worn'])
    """
    file, empty = read_filled(path, columns.names, options, cache_dir=cache_dir)
    width = 1 + len(columns.features)
    goals = range(len(columns.names) - len(columns.targets), len(columns.names))
    kinds = [categories_of(file, i, file.table.column_names[i], columns.categories) for i in range(1, width)]
    measured = [i for i, kind in enumerate(kinds, 1) if kind is None] + [*(goals if numbers else ())]
    file, notes = with_decimal_points(file, measured, options.decimal)
    names = [file.table.column_names[i] for i in range(len(columns.names))]
    codes, ids = _ids(file, names[0])
    read: dict[str, np.ndarray] = {}
    for i, kind in enumerate(kinds, 1):
        read |= features_of(file, i, names[i], kind, notes)
    order, times, elapsed = _order(file, columns, codes, ids, reading)
    read |= elapsed
    values = np.stack(list(read.values()), 1)
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    sequences = np.split(values[order], bounds)
    if columns.of_steps:
        targets = _tags_of_steps(file, goals[0], names, order, bounds, notes) if goals else None
    else:
        targets = side_by_side([_targets(file, codes, ids, i, numbers) for i in goals])
    first = np.full(len(ids), len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))

    def where(row: int) -> str:
        return f"{file.where(int(first[row]))} ({names[0]} {ids[row]})"

    features, categories = tuple(read), {names[i]: kind for i, kind in enumerate(kinds, 1) if kind is not None}
    if not columns.times:
        notes.append(f"without --time, the steps of each {names[0]} are its rows in the order of the file")
    notes += [*empty, *([f"{counted(file.skipped, 'bad row')} left out"] if file.skipped else [])]
    notes += [times.note] if times is not None and times.note else []
    spelling: Spelling | None = None if times is None else times.spelling
    found = Arrays(sequences, len(features), features if categories or columns.elapsed else None)
    return SequenceFile(file.path, found, features, targets, where, ids, tuple(notes), spelling, categories, order)


def _order(
    file: DataFile, columns: LongColumns, codes: np.ndarray, ids: Sequence[Any], reading: TimeReading | None
) -> tuple[np.ndarray, Times | None, dict[str, np.ndarray]]:
    """Returns the rows sorted by id and time, the times, and the feature of the elapsed time if it is asked for."""
    if not columns.times:
        return np.argsort(codes, kind="stable"), None, {}
    first = 1 + len(columns.features)
    last = first + len(columns.times)
    parts = [file.table.column(i) for i in range(first, last)]
    name = ",".join(file.table.column_names[first:last])
    column, how = join_times(parts), {"name": name, "where": file.where, "reading": reading, "groups": codes}
    times = parse_times(column, **how, order_only=True)
    keys = times.instants.astype(np.int64) if times.dated else times.values
    order = np.lexsort((keys, codes))
    _refuse_same_times(file, name, parts, codes, keys, order, ids)
    if not columns.elapsed:
        return order, times, {}
    if times.dated and not times.spelling.format and is_text(column):
        times = parse_times(column, **how)  # refuses texts whose readings have the same order
    return order, times, {ELAPSED: _elapsed(times, column, codes, order)}


def _elapsed(times: Times, column: Any, codes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns the time of each row since the row before of the same id; 0 for the first row of an id."""
    steps = np.diff(times.instants[order]) / np.timedelta64(1, "s") if times.dated else np.diff(times.values[order])
    if not times.dated and pa.types.is_timestamp(column.type):  # nanoseconds
        steps = steps / 1e9
    found = np.zeros(len(order))
    found[order[1:]] = np.where(np.diff(codes[order]) == 0, steps, 0.0)
    return found


def _ids(file: DataFile, name: str) -> tuple[np.ndarray, list[Any]]:
    """Returns the number of each row's sequence, in order of appearance, and the ids of the sequences."""
    column = decoded(file.table.column(0))
    if is_text(column):
        column = pc.utf8_trim_whitespace(column)
    missing = np.flatnonzero(np.asarray(is_blank(column), dtype=bool))
    if missing.size:
        _fail(file, int(missing[0]), f"column {name} is empty: which sequence does the row belong to?")
    try:
        return encoded(column)
    except pa.ArrowNotImplementedError:
        _fail(file, 0, f"column {name}: values of type {column.type} cannot be ids")


def _refuse_same_times(
    file: DataFile,
    name: str,
    parts: Sequence[Any],
    codes: np.ndarray,
    keys: np.ndarray,
    order: np.ndarray,
    ids: Sequence[Any],
) -> None:
    same = (np.diff(codes[order]) == 0) & (np.diff(keys[order]) == 0)
    if not same.any():
        return
    pairs = np.sort(np.stack([order[:-1][same], order[1:][same]]), axis=0)
    first, second = (int(row) for row in pairs[:, pairs[1].argmin()])  # the first repetition in the file
    before = file.where(first).removeprefix(f"{file.path.name}, ")
    time = " ".join(str(part[second].as_py()) for part in parts)
    _fail(file, second, f"column {name}: {time} again for {ids[codes[second]]}, which has it in {before} already")


def _targets(file: DataFile, codes: np.ndarray, ids: Sequence[Any], i: int, numbers: bool) -> np.ndarray:
    """Returns the target of each id in the column `i`, from the rows that have one."""
    column, name = decoded(file.table.column(i)), file.table.column_names[i]
    if numbers:
        values: np.ndarray = parse_numbers(column, name=name, where=file.where)
        given, targets = ~np.isnan(values), np.full(len(ids), np.nan)
    else:
        found = [None if v is None or v != v or str(v).strip() == "" else str(v) for v in column.to_pylist()]
        values = np.array(found, dtype=object)
        given, targets = values != None, np.full(len(ids), None, dtype=object)  # noqa: E711  (element by element)
    rows = np.flatnonzero(given)
    targets[codes[rows][::-1]] = values[rows][::-1]  # reversed, so that the first row of an id is used
    other = rows[values[rows] != targets[codes[rows]]]
    if other.size:
        row = int(other[0])
        had, has = (shortened(str(v)) for v in (targets[codes[row]], values[row]))
        _fail(file, row, f"column {name}: {has} where {ids[codes[row]]} had {had}; a sequence has one target")
    return targets


def _tags_of_steps(
    file: DataFile, i: int, names: Sequence[str], order: np.ndarray, bounds: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Returns a list of tags for each id from the column `i`, with None for an empty cell.

    Raises:
        DataError: every cell is empty.
    """
    cells = decoded(file.table.column(i)).to_pylist()
    tags = np.array([None if v is None or v != v or str(v).strip() == "" else str(v).strip() for v in cells], object)
    missing = sum(tag is None for tag in tags)
    if missing == len(tags):
        raise DataError(f"{file.path.name}, column {names[i]}: every cell is empty; give a label for the rows")
    if missing:
        notes.append(f"{counted(missing, 'row')} without {names[i]}: read, but not used for training and metrics")
    parts = np.split(tags[order], bounds)
    found = np.empty(len(parts), object)
    for place, part in enumerate(parts):
        found[place] = part.tolist()
    return found


def _fail(file: DataFile, row: int, message: str) -> NoReturn:
    raise DataError(f"{file.where(row)}, {message}")
