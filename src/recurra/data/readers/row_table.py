"""Reads ordinary tables (one item per row, in columns of numbers and categories) as sequences of one step."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import counted, listed, plain_name
from recurra.data.columns.categories import NoCategoriesError, categories_of, features_of, find_categories
from recurra.data.columns.decimals import with_decimal_points
from recurra.data.columns.inputs import Arrays
from recurra.data.columns.numbers import parse_numbers
from recurra.data.files.table import DETECT, DataFile, ReadOptions, decoded
from recurra.errors import DataError, UsageError

from .sequence_file import SequenceFile, side_by_side
from .tables import read_filled


@dataclass(frozen=True)
class RowColumns:
    """The columns of an ordinary table by their role: names, or positions counted from 1.

    Args:
        features: columns of numbers and categories; empty for all columns that have no other role.
        target: column of targets, or several; `()` or None if there is none.
        categories: the values of each column of categories in the training data; None to detect them.
        names: names of the features in the training data, in the order of `features`; those of the table if empty.
        group: a further column that is not a feature, such as one of groups; None if there is none.

    Raises:
        UsageError: a feature is the target.
    """

    features: tuple[str, ...] = ()
    target: str | tuple[str, ...] | None = None
    categories: Mapping[str, Sequence[str]] | None = None
    names: tuple[str, ...] = ()
    group: str | None = None

    def __post_init__(self) -> None:
        features = [plain_name(name) for name in self.features]
        for target in self.targets:
            if plain_name(target) in features:
                raise UsageError(f"{target} cannot be a feature: it is the target, which the model would read")
        twice = next((name for i, name in enumerate(features) if name in features[:i]), None)
        if twice is not None:
            raise UsageError(f"{twice} cannot be a feature, for it is the feature already")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns: none, one or several."""
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    @property
    def others(self) -> list[str]:
        """The columns that are no features: targets and group, if they are given."""
        return [name for name in (*self.targets, self.group) if name is not None]


@dataclass(frozen=True)
class RowTable:
    """An ordinary table as sequences of one step.

    Attributes:
        file: the sequences. A column of numbers is one feature. A column of categories is one feature for each
            category, which is 1 where the row has this category and else 0.
        features: the columns that were read.
        categories: the values of each column of categories.
        group: the values of the column `group`, or None.
    """

    file: SequenceFile
    features: tuple[str, ...]
    categories: dict[str, list[str]]
    group: Any = None


def read_row_table(
    path: str | os.PathLike[str],
    columns: RowColumns,
    options: ReadOptions = DETECT,
    *,
    numbers: bool = False,
    cache_dir: Path | None = None,
) -> RowTable:
    r"""Reads a CSV, TSV, JSON Lines or Parquet file with one item per row.

    The rows of this kind of table have no order, so each is one sequence. It has one step, because the order of the
    columns means nothing either. A missing number is NaN. A missing category has the value 0 for all categories.

    Args:
        path: the file, or several files, see `read_table`.
        columns: the roles of the columns.
        options: options of reading the file.
        numbers: True if targets are numbers, False if they are classes.
        cache_dir: for large tables, see `read_table`.

    Raises:
        DataError: the file cannot be read, a cell is not a number, or a feature has too many different texts.
        UsageError: no features are given, and a column holds neither numbers nor categories.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "wine.csv")
        ...     _ = path.write_text("acid,colour,good\n1,red,yes\n2,white,no\n3,red,no\n,red,yes\n")
        ...     found = read_row_table(path, RowColumns(target="good"))
        >>> found.file.names, found.file.sequences.rows[1].tolist(), found.file.targets.tolist()
        (('acid', 'colour=red', 'colour=white'), [[2.0, 0.0, 1.0]], ['yes', 'no', 'no', 'yes'])
    """
    wanted = [*columns.others, *columns.features] if columns.features else None
    file, notes = read_filled(path, wanted, options, cache_dir=cache_dir)
    reader = _Rows(file, columns, notes)
    features, targets, group = reader.positions()
    taken = columns.names or tuple(file.table.column_names[i] for i in features)
    kinds = [reader.kind(i, name) for i, name in zip(features, taken, strict=True)]
    measured = [i for i, kind in zip(features, kinds, strict=True) if kind is None]
    measured += targets if numbers else []
    file, said = with_decimal_points(file, measured, options.decimal)
    values: dict[str, np.ndarray] = {}
    for i, name, kind in zip(features, taken, kinds, strict=True):
        values |= features_of(file, i, name, kind, notes)
    matrix, names = np.stack(list(values.values()), 1), tuple(values)
    notes += [*said, *([f"{counted(file.skipped, 'bad row')} left out"] if file.skipped else [])]
    made = SequenceFile(
        file.path,
        Arrays(list(matrix[:, None, :]), len(names), names),
        names,
        side_by_side([_targets(file, target, numbers) for target in targets]),
        file.where,
        None,
        (_how(columns), *notes),
    )
    categories = {name: kind for name, kind in zip(taken, kinds, strict=True) if kind is not None}
    return RowTable(made, taken, categories, None if group is None else file.table.column(group))


def _how(columns: RowColumns) -> str:
    """Returns a sentence about how the table is read."""
    if columns.features:
        return "each row is one item, a sequence of one step"
    return f"each row is one item, a sequence of one step; all columns but {listed(columns.others, 2)} are features"


@dataclass
class _Rows:
    """Finds the roles and the kinds of the columns of a table."""

    file: DataFile
    columns: RowColumns
    notes: list[str] = field(default_factory=list)

    def positions(self) -> tuple[list[int], list[int], int | None]:
        """Returns the positions of the features, of the targets and of the group in the table."""
        names, given = self.file.table.column_names, self.columns
        others = len(given.others)
        if given.features:
            features = list(range(others, others + len(given.features)))
            where = dict(zip(given.others, range(others), strict=True))
        else:
            where = {name: _position(self.file, name) for name in given.others}
            features = [i for i in range(len(names)) if i not in where.values() and not self._counts_rows(i)]
        if not features:
            raise DataError(f"{self.file.path.name} has no columns but the target: there is nothing to learn from")
        return features, [where[name] for name in given.targets], where.get(given.group or "")

    def _counts_rows(self, i: int) -> bool:
        """Returns whether a column counts the rows, which a model could learn where the rows are sorted."""
        column, rows = decoded(self.file.table.column(i)), self.file.table.num_rows
        try:
            numbers = np.asarray(pc.cast(column, pa.int64()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
        counts = column.null_count == 0 and rows > 2 and bool((np.diff(numbers) == 1).all())
        if counts:
            self.notes.append(f"column {self.file.table.column_names[i]} counts the rows and is left out")
        return counts

    def kind(self, i: int, name: str) -> list[str] | None:
        """Returns the categories of a column; None for a column of numbers.

        Args:
            i: position of the column.
            name: its name in the training data.
        """
        if self.columns.features or self.columns.categories is not None:
            return categories_of(self.file, i, name, self.columns.categories, booleans=True)
        try:
            return find_categories(self.file.table.column(i), booleans=True)
        except NoCategoriesError as error:
            raise UsageError(
                f"name a column of {self.file.path.name} with --input, for column {name} {error}\n"
                "For items in rows, give the columns of numbers and categories with --features; for one row a step "
                "also --id and --time."
            ) from None


def _position(file: DataFile, name: str) -> int:
    """Returns the position of a column in a table that was read as a whole."""
    from recurra.data.files.table import choose_columns

    return choose_columns(file.path, file.table.column_names, [name])[0]


def _targets(file: DataFile, i: int, numbers: bool) -> np.ndarray:
    """Returns the targets as numbers, or as texts with None for missing ones."""
    column = decoded(file.table.column(i))
    if numbers:
        return parse_numbers(column, name=file.table.column_names[i], where=file.where)
    found = [None if v is None or v != v or str(v).strip() == "" else str(v) for v in column.to_pylist()]
    return np.array(found, dtype=object)
