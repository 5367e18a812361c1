"""Telling files apart, refusing those that cannot be read, and reading real ones."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.columns.numbers import parse_numbers
from recurra.data.readers.tables import DataFile, read_table
from recurra.errors import DataError

Write = Callable[..., Path]


def rows_of(file: DataFile) -> list[list]:
    return [list(row.values()) for row in file.table.to_pylist()]


def test_importing_the_reader_is_light() -> None:
    code = "import sys, recurra.data.readers.tables; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_file_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"there is no file .*gone\.csv"):
        read_table(tmp_path / "gone.csv")
    write("x", "reviews.csv")
    with pytest.raises(DataError, match=r'there is no file .*reveiws\.csv, did you mean "reviews\.csv"\?'):
        read_table(tmp_path / "reveiws.csv")
    with pytest.raises(DataError, match=r"there is no file .*x\.csv$"):
        read_table(tmp_path / "nowhere" / "x.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no files of data"):
        read_table(tmp_path / "empty")
    with pytest.raises(DataError, match="is not a regular file"):
        read_table("/dev/null")
    with pytest.raises(DataError, match="is empty"):
        read_table(write(""))
    with pytest.raises(DataError, match="is empty"):
        read_table(write(gzip.compress(b"\n"), "a.csv.gz"))


def test_unreadable_files_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a,b\n1,2\n")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read .*table\.csv: Permission denied"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.csv", "a.jsonl"])
def test_damaged_files_are_refused(write: Write, name: str) -> None:
    packed = gzip.compress(b"a,b\n" + np.random.default_rng(0).bytes(4000).hex().encode())
    content = {"a.csv.gz": packed[:-100], "a.parquet": b"PAR1 and no more"}.get(name, b"\x00\x01\x02\xff")
    with pytest.raises(DataError, match=r"cannot read|has NUL bytes"):
        read_table(write(content, name))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.ndjson", "a.dat"])
def test_formats_are_told_by_suffix(write: Write, name: str, packed: bool) -> None:
    rows = [["id", "text"], ["1", "good, really"], ["2", "bad"]]
    if "json" in name:
        text = "".join(json.dumps({"id": row[0], "text": row[1]}) + "\n" for row in rows[1:])
    else:
        text = "".join("\t".join(row) + "\n" for row in rows)
    path = write(gzip.compress(text.encode()) if packed else text, name + ".gz" * packed)
    file = read_table(path)
    assert file.table.column_names == ["id", "text"]
    assert rows_of(file) == rows[1:]
    assert file.skipped == 0
    assert file.where(1) == f"{path.name}, line {2 if 'json' in name else 3}"


def test_contents_outweigh_the_suffix(write: Write, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv").table.to_pydict() == {"x": [1, 2]}
    assert rows_of(read_table(write(gzip.compress(b"a,b\n1,2\n"), "b.csv"))) == [["1", "2"]]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ratings_train.txt", 150_000),
        ("ratings_test.txt", 50_000),
        ("small_train_20000.txt", 20_000),
        ("small_test_5000.txt", 5_000),
    ],
)
def test_nsmc_has_all_its_rows(data_dir: Path, name: str, rows: int) -> None:
    file = read_table(data_dir / "nsmc" / name, ["document", "label"])
    assert file.table.num_rows == rows
    assert set(file.table["label"].unique().to_pylist()) == {"0", "1"}
    assert max(map(len, file.table["document"].to_pylist())) < 160  # reviews are under 140 characters
    assert file.line_of(rows - 1) == rows + 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "columns", "first"),
    [
        ("euckr_crime_in_Seoul.csv", 31, 11, "중부서"),
        ("euckr_kosis-economic-index.csv", 644, 23, "1970.01"),
        ("euckr_subwaytime_two_header_rows.csv", 598, 52, "Jan-19"),
        ("utf8bom_CCTV_in_Seoul.csv", 25, 6, "강남구"),
        ("blns.txt", 666, 1, "#\tReserved Strings"),
    ],
)
def test_messy_files_load(data_dir: Path, name: str, rows: int, columns: int, first: str) -> None:
    table = read_table(data_dir / "messy" / name).table
    assert (table.num_rows, table.num_columns) == (rows, columns)
    assert table.column(0)[0].as_py() == first


@pytest.mark.data
def test_messy_numbers_and_names(data_dir: Path) -> None:
    file = read_table(data_dir / "messy" / "euckr_crime_in_Seoul.csv", ["절도 발생"])
    assert parse_numbers(file.table.column(0), name="절도 발생", where=file.where)[:2].tolist() == [
        1395,
        1070,
    ]
    file = read_table(data_dir / "messy" / "euckr_subwaytime_two_header_rows.csv", ["04:00:00~04:59:59 하차"])
    assert parse_numbers(file.table.column(0), name="하차", where=file.where)[:2].tolist() == [22, 0]
