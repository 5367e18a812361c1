"""Names of the columns of a table of sequences with one target each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.cli.support.files import listed
from recurra.errors import ModelFolderError, UsageError

if TYPE_CHECKING:
    from recurra.data.columns.timestamps import TimeReading
    from recurra.io import Provenance


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table.

    `input` is for one sequence per row, `features` with `id` for one step per row, and `features` without `id` for one
    item per row. Several `targets` are several numbers, or columns of 0 and 1 for several labels. `separator` is the
    text between the labels in one column. With `elapsed` the time since the step before is a feature. `by` is the
    column of groups, for an evaluation. `known` is the record of the training data.
    """

    input: str | None = None
    targets: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    features: tuple[str, ...] = ()
    reading: TimeReading | None = None
    by: str | None = None
    known: Provenance | None = None
    separator: str | None = None
    elapsed: bool = False

    @classmethod
    def of(cls, options: Any, known: Provenance | None = None) -> Columns:
        """The columns given on the command line, and for the others those of the model's training data."""
        from recurra.data.columns.timestamps import TimeReading

        features = listed(options.features)
        reading = TimeReading.of(options.time_format, options.day_first, options.month_first)
        by = getattr(options, "by", None)
        targets = listed(options.target)
        given = cls(options.input, targets, options.id, options.time, features, reading, by, known)
        if given.input and features:
            raise UsageError("give --input for one row a sequence, or --features for one row a step, not both")
        if known is None:
            return replace(given, elapsed=getattr(options, "elapsed", False))
        given = given.after(known.time_format)
        if not targets:
            targets = tuple(known.target_columns or ([known.target_column] if known.target_column else ()))
        given = replace(given, targets=targets, separator=known.labels_separator, elapsed=bool(known.elapsed))
        if given.input or (given.features and given.id):
            return given
        if known.feature_columns:
            return cls(
                None,
                given.targets,
                given.id or known.id_column,
                given.time or known.time_column,
                given.features or tuple(known.feature_columns),
                given.reading,
                by,
                known,
                given.separator,
                given.elapsed,
            )
        return given if given.features else replace(given, input=known.input_column)

    def as_trained(self, names: dict[str, Any]) -> Columns:
        """Returns the columns for a validation file, which is read as the training file.

        Args:
            names: fields of the `Provenance` of the training file.
        """
        from recurra.io import Provenance

        found = self.after(names.get("time_format"))
        if self.id is not None and "categories" in names:
            return replace(found, known=Provenance(**names))
        if not self.of_items or "feature_columns" not in names:
            return found
        return replace(found, features=tuple(names["feature_columns"]), known=Provenance(**names))

    def after(self, time_format: str | None) -> Columns:
        """Returns the same columns, with the time format of earlier data as the first choice."""
        from recurra.data.columns.timestamps import Spelling

        if self.reading is None or not time_format:
            return self
        known = Spelling(time_format)
        try:
            known.check()
        except UsageError as error:
            raise ModelFolderError(f"the time format of the model cannot be used: {error}") from None
        return replace(self, reading=self.reading.after(known))

    @property
    def of_items(self) -> bool:
        """Whether a table has one item per row: there is neither a column of sequences nor one of ids.

        Without any names this is only possible for training data, whose columns are then detected.
        """
        if self.input is not None or self.id is not None or self.time is not None:
            return False
        return bool(self.features) or self.known is None

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that a prediction reads of a table with numbers in columns."""
        return tuple(name for name in (self.id, *self.features, *listed(self.time)) if name)

    @property
    def groups(self) -> str | None:
        """The column of groups; None if there is none.

        Raises:
            UsageError: it is the column of sequences or of targets.
        """
        if self.by is not None and self.by in (self.input, *self.targets):
            raise UsageError(f"--by {self.by} is the column of sequences or of targets; give another column")
        return self.by

    @property
    def of_rows(self) -> list[str]:
        """Columns of tables with one row per sequence, for an evaluation: sequences, groups if given, and targets."""
        return [str(name) for name in (self.input, self.groups, *self.targets) if name]

    def one_row_each(self, path: Path) -> bool:
        """Returns whether a file is a table with a sequence in each row, in the column `input`."""
        from recurra.data.readers.sniff import table_suffix

        return self.input is not None and not self.features and table_suffix(path) not in (".ts", ".npz")

    @property
    def remembered(self) -> dict[str, Any]:
        """The names as fields of `Provenance`."""
        if self.features:
            columns = {"id_column": self.id, "time_column": self.time, "feature_columns": list(self.features)}
            columns |= {"elapsed": self.elapsed or None}
        else:
            columns = {"input_column": self.input}
        return {name: value for name, value in {**columns, **self.remembered_targets}.items() if value}

    @property
    def remembered_targets(self) -> dict[str, Any]:
        """The names of the targets as fields of `Provenance`."""
        several = len(self.targets) > 1
        names = {"target_columns": list(self.targets)} if several else {"target_column": (self.targets or (None,))[0]}
        return {**names, "labels_separator": self.separator}


def tags_steps(estimator: Any) -> bool:
    """Returns whether a model is a tagger that was trained on numbers."""
    return estimator.task == "tag" and estimator.encoder_.kind == "series"
