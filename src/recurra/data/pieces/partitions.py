"""Divides a table into partitions of neighbouring rows, which several processes read independently."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa

from recurra.data.files.table import DataFile

from .table import LargeTable, Piece

FEW = 64
"""Tables with at most so many pieces have one piece in each partition, so that several processes get work."""
MOST_PIECES = 16
"""Most pieces in a partition: 524,288 rows, or 256 MB. A process that ends costs the work on one partition."""


class Partitions:
    r"""The partitions of a table. They depend on the data only, not on the number of processes.

    Args:
        table: the table.

    Attributes:
        first: number of the first row of each partition, and at the end the number of rows.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.csv")
        ...     _ = path.write_text("text,label\ngood,1\nbad,0\n", encoding="utf-8")
        ...     partitions = Partitions(LargeTable(path, ["text"], Path(folder, "run")))
        ...     len(partitions), [file.table["text"].to_pylist() for file in partitions.files(0, ["text"])]
        (1, [['good', 'bad']])
    """

    def __init__(self, table: LargeTable) -> None:
        self.table = table
        self._size = max(1, min(-(-len(table.pieces) // FEW), MOST_PIECES))
        rows = (sum(piece.rows for piece in self._pieces(number)) for number in range(len(self)))
        self.first = list(itertools.accumulate(rows, initial=0))

    def __len__(self) -> int:
        return -(-len(self.table.pieces) // self._size)

    def files(self, number: int, columns: Sequence[str]) -> Iterator[DataFile]:
        """Yields the rows of a partition, some thousand at a time, with their places in the user's files.

        Args:
            number: the partition.
            columns: some of the columns that were given to the table.
        """
        wanted = [self.table.columns.index(column) for column in columns]
        for piece in _joined(self._pieces(number)):
            skip = 0
            for batch in self.table.batches(piece, wanted):
                table = pa.Table.from_batches([batch]).rename_columns(list(columns))
                yield self.table.file(piece, table, skip)
                skip += batch.num_rows

    def _pieces(self, number: int) -> list[Piece]:
        return self.table.pieces[number * self._size : (number + 1) * self._size]


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yields the pieces, with neighbours of one row group as one piece, which is read in one pass."""
    for _, some in itertools.groupby(pieces, key=lambda piece: (piece.part, piece.group)):
        group = list(some)
        yield group[0]._replace(rows=sum(piece.rows for piece in group))
