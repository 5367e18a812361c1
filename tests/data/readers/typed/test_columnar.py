"""Reading the columns of Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.readers.tables import read_table
from recurra.errors import DataError


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", None, "c"],
            "n": [1, 2, 3],
            "label": pa.array(["x", "y", "x"]).dictionary_encode(),
            "series": [[1.0], [], None],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=2)
    file = read_table(path, ["label", "3", "series"])
    assert file.table.column_names == ["label", "label", "series"]
    assert file.table.column(0).type == pa.string()
    assert file.table["series"].to_pylist() == [[1.0], [], None]
    assert file.summary == "a.parquet: 3 rows, Parquet, columns text, n, label, series"
    assert file.line_of(2) is None
    assert file.where(2) == "a.parquet, row 3"
    with pytest.raises(DataError, match='has no column "txt", did you mean "text"'):
        read_table(path, ["txt"])


def test_parquet_damaged_within_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [str(number) for number in range(10_000)]}), path)
    content = bytearray(path.read_bytes())
    content[40:4000] = b"\xff" * 3960
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*a\.parquet"):
        read_table(path)


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    arrays = [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])]
    pq.write_table(pa.table(arrays, names=["document", "document", "label"]), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", ["label"]).table.to_pydict() == {"label": ["c"]}
    for name in ("document", "2"):
        with pytest.raises(DataError, match=r"a\.parquet has 2 columns named document \(columns 1, 2\)"):
            read_table(tmp_path / "a.parquet", [name])


def test_texts_that_are_not_utf8_are_refused_with_their_place(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a\xff", b"b"]).buffers())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, rows 1 to 2, column text: .*UTF8"):
        read_table(tmp_path / "a.parquet")


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has columns \(text\) but no rows"):
        read_table(tmp_path / "a.parquet")
