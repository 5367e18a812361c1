"""The choice of columns, the summary and the table, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.files import table as module
from recurra.data.readers.tables import DataFile, ReadOptions, read_table
from recurra.errors import DataError, ModelFolderError

SKIP = ReadOptions(skip_bad_rows=True)

Write = Callable[..., Path]


def rows_of(file: DataFile) -> list[list]:
    return [list(row.values()) for row in file.table.to_pylist()]


def test_columns_are_chosen_by_name_or_position(write: Write) -> None:
    path = write("id,text,2\n1,a,x\n2,b,y\n")  # a word above numbers: a header
    assert rows_of(read_table(path, ["text"])) == [["a"], ["b"]]
    assert read_table(path, ["2"]).table.to_pydict() == {"2": ["x", "y"]}  # a name before a position
    assert read_table(path, ["3", "1"]).table.to_pydict() == {"2": ["x", "y"], "id": ["1", "2"]}
    assert read_table(path, [" text "]).table.column_names == ["text"]
    twice = read_table(path, ["id", "1"]).table
    assert twice.column(0).to_pylist() == twice.column(1).to_pylist() == ["1", "2"]


def test_files_without_a_header_go_by_position(write: Write) -> None:
    path = write("1,a\n2,b\n")
    assert read_table(path, ["2"]).table.to_pydict() == {"2": ["a", "b"]}
    with pytest.raises(DataError, match=r"Its columns \(it has no header\) are: 1, 2"):
        read_table(path, ["text"])


def test_a_missing_column_names_those_there_are(write: Write) -> None:
    path = write("id,text,label\n1,a,x\n")
    with pytest.raises(DataError) as caught:
        read_table(path, ["lable"])
    assert str(caught.value) == (
        'table.csv has no column "lable", did you mean "label"?\nIts columns are: id, text, label'
    )
    with pytest.raises(DataError, match='has no column "4"\n'):
        read_table(path, ["4"])
    many = ",".join(f"c{number}" for number in range(500))
    with pytest.raises(DataError) as caught:
        read_table(write(f"{many}\n{many}\n"), ["zzz"])
    assert len(str(caught.value)) < 300


def test_a_header_alone_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"table.csv has columns \(text\) but no rows below them"):
        read_table(write("id,text\n"), ["text"])


def test_summaries_say_what_was_found(write: Write) -> None:
    text = "id\tdocument\n" + "1\ta\n" * 1200
    assert read_table(write(text, "a.txt")).summary == (
        "a.txt: 1,200 rows, tab-separated, UTF-8, no quoting, columns id, document"
    )
    text = "과목;점수\n" + '"국어";1\n' * 3 + "x\n"
    assert read_table(write(text.encode("cp949"), "b.csv"), options=SKIP).summary == (
        "b.csv: 3 rows, semicolon-separated, CP949 (Korean), quoted, 1 bad row left out, columns 과목, 점수"
    )
    assert read_table(write("one\n", "c.txt")).summary == (
        "c.txt: 1 row, one column, UTF-8, no quoting, no header, columns 1"
    )
    many = ",".join(f"c{number}" for number in range(30))
    assert read_table(write(f"{many}\n" + "1," * 29 + "1\n", "d.csv")).summary.endswith("c6, c7, … (30 in all)")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_large_tables_are_mapped_from_the_disk(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "SPILL_BYTES", 50_000)
    monkeypatch.setattr(module, "BATCH_ROWS", 1000)
    texts = [f"text {row}" for row in range(10_000)]
    if name == "a.parquet":
        pq.write_table(pa.table({"id": texts, "text": texts}), tmp_path / name, row_group_size=1000)
    elif name == "a.jsonl":
        write("".join(json.dumps({"text": text}) + "\n" for text in texts), name)
    else:
        write("id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(texts)), name)
    cache = tmp_path / "not" / "there yet"
    held = pa.total_allocated_bytes()
    table = read_table(tmp_path / name, ["text"], cache_dir=cache).table
    assert pa.total_allocated_bytes() - held < 50_000  # on the disk, not in memory
    assert table["text"].to_pylist() == texts
    assert [path.suffix for path in cache.iterdir()] == [".arrow"]

    bad = tmp_path / "file"
    bad.touch()
    with pytest.raises(ModelFolderError, match="file cannot be written: File exists"):
        read_table(tmp_path / name, cache_dir=bad)


def test_small_tables_leave_nothing_on_the_disk(write: Write, tmp_path: Path) -> None:
    read_table(write("a,b\n1,2\n"), cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
