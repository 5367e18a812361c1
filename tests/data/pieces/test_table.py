"""Tables in pieces: every row once, in its place, converted once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.pieces import LargeTable, convert, table
from recurra.data.pieces.table import table_size
from recurra.errors import DataError

NAMES = ["text", "label"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PIECE_ROWS", 40)
    monkeypatch.setattr(table, "BATCH_ROWS", 16)
    monkeypatch.setattr(table, "SCAN_ROWS", 70)
    monkeypatch.setattr(convert, "GROUP_ROWS", 100)
    monkeypatch.setattr(convert, "PART_BYTES", 2000)


def rows(count: int, start: int = 0) -> list[dict]:
    return [{"id": i, "text": f"text {i}", "label": str(i % 3)} for i in range(start, start + count)]


def write(path: Path, some: list[dict]) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(some), path, row_group_size=90)
    else:
        lines = ["id,text,label", *(f"{row['id']},{row['text']},{row['label']}" for row in some)]
        path.write_text("".join(line + "\n" for line in lines))


def everything(found: LargeTable) -> list[tuple[str, str, str]]:
    """Text, label and place of all rows."""
    columns = [found["text"], found["label"]]
    parts = [[column.read(piece) for column in columns] for piece in range(len(found.pieces))]
    return [
        (texts.table.column(0)[i].as_py(), labels.table.column(0)[i].as_py(), texts.where(i))
        for texts, labels in parts
        for i in range(texts.table.num_rows)
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_pieces_hold_every_row_once(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "data" / f"a{suffix}", rows(250))
    write(tmp_path / "data" / f"b{suffix}", rows(30, 250))
    found = LargeTable(tmp_path / "data", NAMES, tmp_path / "run")
    assert max(piece.rows for piece in found.pieces) == 40
    assert found.rows == 280
    unit = "row" if suffix == ".parquet" else "line"
    place = [f"a{suffix}, {unit} {i + (1 if unit == 'row' else 2)}" for i in range(250)]
    place += [f"b{suffix}, {unit} {i + (1 if unit == 'row' else 2)}" for i in range(30)]
    expected = [(row["text"], row["label"], where) for row, where in zip(rows(280), place, strict=True)]
    assert everything(found) == expected
    assert "280 rows in 2 files" in found.summary
    scanned = list(found["label"].scan())
    labels = [(part.table["label"][i].as_py(), part.where(i)) for part in scanned for i in range(part.table.num_rows)]
    assert labels == [row[1:] for row in expected]
    one = pa.Table.from_batches(found.batches(1, [1], rows=3))
    assert one.to_pydict() == {"1": ["1", "2", "0"]}


def test_wide_rows_make_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [{"text": str(i) * 50, "label": "x", "other": "y" * 10_000} for i in range(80)]
    pq.write_table(pa.Table.from_pylist(some), tmp_path / "a.parquet", use_dictionary=False)
    monkeypatch.setattr(table, "PIECE_BYTES", 1000)
    found = LargeTable(tmp_path / "a.parquet", NAMES, tmp_path / "run")
    assert 8 <= found.pieces[0].rows <= 12
    rows, size = table_size(tmp_path / "a.parquet", NAMES)
    assert rows == 80
    assert 80 * 95 < size < 80 * 130


def test_a_conversion_that_was_stopped_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    write(path, rows(1000))
    original = convert._write
    calls = itertools.count()

    def third_fails(*given: object) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        original(*given)

    monkeypatch.setattr(convert, "_write", third_fails)
    with pytest.raises(KeyboardInterrupt):
        LargeTable(path, NAMES, tmp_path / "run")
    monkeypatch.setattr(convert, "_write", original)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.parquet")}
    assert len(before) == 2
    messages: list[str] = []
    found = LargeTable(path, NAMES, tmp_path / "run", note=messages.append)
    assert [row[0] for row in everything(found)] == [row["text"] for row in rows(1000)]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert messages == ["a.csv: converting to Parquet"]
    monkeypatch.setattr(table, "open_table", None)  # a converted file is not read again
    again = LargeTable(path, NAMES, tmp_path / "run", note=messages.append)
    assert everything(again) == everything(found)
    assert again.summary == found.summary
    monkeypatch.undo()
    assert (again.fingerprint(), len(messages)) == (found.fingerprint(), 1)
    write(path, rows(900))
    assert LargeTable(path, NAMES, tmp_path / "run").rows == 900


def test_the_fingerprint_depends_on_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, rows(50))
    one = LargeTable(path, NAMES, tmp_path).fingerprint()
    assert LargeTable(path, NAMES, tmp_path).fingerprint() == one
    write(path, rows(50, 1))
    assert LargeTable(path, NAMES, tmp_path).fingerprint() != one


def test_bad_data(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", rows(5))
    with pytest.raises(DataError, match=r'a\.csv has no column "txt"'):
        LargeTable(tmp_path / "a.csv", ["txt"], tmp_path / "run")
    write(tmp_path / "data" / "a.csv", rows(5))
    write(tmp_path / "data" / "b.parquet", rows(5))
    with pytest.raises(DataError, match=r"a\.csv is delimited text, but b\.parquet is Parquet"):
        LargeTable(tmp_path / "data", NAMES, tmp_path / "run")
    write(tmp_path / "empty.parquet", rows(1))
    pq.write_table(pq.read_table(tmp_path / "empty.parquet").slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="no rows"):
        LargeTable(tmp_path / "empty.parquet", NAMES, tmp_path / "run")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_remote_files(tmp_path: Path, suffix: str) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for i in range(2):
        write(tmp_path / f"a{suffix}", rows(60, 60 * i))
        memory.pipe(f"/large/{i}{suffix}", (tmp_path / f"a{suffix}").read_bytes())
    try:
        found = LargeTable("memory://large", NAMES, tmp_path / "run")
        assert [row[0] for row in everything(found)] == [row["text"] for row in rows(120)]
        assert found["text"].read(len(found.pieces) - 1).where(0).startswith(f"1{suffix}, ")
        assert LargeTable("memory://large", NAMES, tmp_path / "run").fingerprint() == found.fingerprint()
    finally:
        memory.rm("/large", recursive=True)
