"""Folders, patterns and URLs of tables as one data set."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from recurra.data.readers.tables import read_table, stream_table
from recurra.errors import DataError

ROWS = [{"text": f"text {i}", "label": i % 2} for i in range(6)]


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def write_part(path: Path, rows: list[dict]) -> None:
    """Writes rows in the format that the name tells."""
    suffix = next(s for s in path.suffixes if s not in (".gz", ".bz2", ".xz", ".zst"))
    table = pa.Table.from_pylist(rows)
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    elif suffix == ".arrow":  # a stream, as Hugging Face data sets have it
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        separator = {".csv": ",", ".tsv": "\t"}.get(suffix)
        lines = [json.dumps(row) for row in rows]
        if separator:
            lines = ["text" + separator + "label", *(f"{row['text']}{separator}{row['label']}" for row in rows)]
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
        path.write_bytes(pack.get(path.suffix, bytes)("".join(f"{line}\n" for line in lines).encode()))


@pytest.mark.parametrize(
    "names",
    [
        ["a.csv", "b.tsv", "deep/c.csv"],
        ["a.csv.gz", "b.csv.bz2", "c.csv.xz", "d.csv.zst"],
        ["a.jsonl", "b.ndjson.gz"],
        ["a.parquet", "deep/b.parquet"],
        ["a.feather", "b.arrow"],
    ],
)
def test_a_folder_is_one_table(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden.csv").write_text("nothing\n")
    for name, some in zip(names, np.array_split(np.array(ROWS), len(names)), strict=True):
        write_part(tmp_path / name, some.tolist())
    file = read_table(tmp_path, ["text", "label"])
    assert file.table["text"].to_pylist() == [row["text"] for row in ROWS]
    assert [int(label) for label in file.table["label"].to_pylist()] == [row["label"] for row in ROWS]
    assert f"6 rows in {len(names)} files" in file.summary
    last = Path(names[-1]).name
    header = 0 if file.delimiter is None else 1
    unit = "row" if last.endswith(("parquet", "feather", "arrow")) else "line"
    assert file.where(5) == f"{last}, {unit} {6 // len(names) + header}"
    found = [
        (part.table["text"][i].as_py(), part.where(i))
        for part in stream_table(tmp_path, ["text"])
        for i in range(part.table.num_rows)
    ]
    assert found == [(row["text"], file.where(i)) for i, row in enumerate(ROWS)]


def test_a_pattern_selects_files(tmp_path: Path) -> None:
    for i in range(3):
        write_part(tmp_path / f"part-{i}.csv", ROWS[i : i + 1])
    write_part(tmp_path / "other.csv", ROWS)
    assert read_table(f"{tmp_path}/part-*.csv").table["text"].to_pylist() == ["text 0", "text 1", "text 2"]
    assert read_table(tmp_path / "part-[02].csv", ["text"]).table.num_rows == 2
    with pytest.raises(DataError, match=r"none-\*\.csv names no file of data"):
        read_table(f"{tmp_path}/none-*.csv")
    odd = tmp_path / "odd[1].csv"  # a file whose name looks like a pattern
    write_part(odd, ROWS)
    assert read_table(odd).table.num_rows == 6


def test_errors_name_the_file(tmp_path: Path) -> None:
    write_part(tmp_path / "a.csv", ROWS)
    (tmp_path / "b.csv").write_text("words,label\nx,1\ny,0\n")
    with pytest.raises(DataError, match=r'b\.csv has no column "text"'):
        read_table(tmp_path, ["text"])
    with pytest.raises(DataError, match=r'b\.csv has no column "text"'):
        list(stream_table(tmp_path, ["text"]))
    (tmp_path / "b.csv").write_text("text,label\nx,1\ny,0,7\n")
    with pytest.raises(DataError, match=r"b\.csv, line 3: 3 columns where 2 are expected"):
        read_table(tmp_path, ["text"])
    (tmp_path / "b.csv").unlink()
    write_part(tmp_path / "c.parquet", ROWS)
    for read in (read_table, lambda path: list(stream_table(path))):
        with pytest.raises(DataError, match=r"a\.csv is delimited text, but c\.parquet is Parquet"):
            read(tmp_path)


def test_types_that_differ_between_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "b.parquet")
    assert read_table(tmp_path).table["x"].to_pylist() == [1.0, 0.5]
    pq.write_table(pa.table({"x": ["word"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c\.parquet: column x has values of type string, but double in a\.parquet"):
        read_table(tmp_path)
    folder = tmp_path / "json"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"x": 1}\n')
    (folder / "b.jsonl").write_text('{"x": "word"}\n')
    assert read_table(folder).table["x"].to_pylist() == ["1", "word"]


def test_dialects_are_detected_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\n" + "좋은 영화;1\n" * 3, encoding="cp949")
    (tmp_path / "b.csv").write_text("label,text\n" + '0,"bad, really"\n' * 3, encoding="utf-8")
    file = read_table(tmp_path, ["text", "label"])
    assert file.table["text"].to_pylist() == ["좋은 영화"] * 3 + ["bad, really"] * 3
    assert file.where(4) == "b.csv, line 3"


def test_a_row_longer_than_a_block_is_read_once(tmp_path: Path) -> None:
    rows = [f"{i}\t{'x' * (6_000_000 if i == 50_000 else 100)}" for i in range(60_000)]
    (tmp_path / "a.tsv").write_text("n\ttext\n" + "\n".join(rows) + "\n")
    found = [n for part in stream_table(tmp_path / "a.tsv", ["n"]) for n in part.table["n"].to_pylist()]
    assert found == [str(i) for i in range(60_000)]


def test_urls_are_read_through_fsspec(tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("a.csv", "b.csv.gz"):
        write_part(tmp_path / name, ROWS)
        memory.pipe(f"/reviews/{name}", (tmp_path / name).read_bytes())
    memory.pipe("/reviews/_SUCCESS", b"")
    write_part(tmp_path / "a.parquet", ROWS)
    memory.pipe("/columns/a.parquet", (tmp_path / "a.parquet").read_bytes())
    try:
        for path in ("memory://reviews", "memory://reviews/*.csv*", Path("memory://reviews")):
            file = read_table(path, ["text"])
            assert file.table.num_rows == 12
            assert file.where(7) == "b.csv.gz, line 3"
        assert read_table("memory://reviews/a.csv").table["label"].to_pylist() == ["0", "1"] * 3
        assert read_table("memory://columns").table["label"].to_pylist() == [0, 1] * 3
        with pytest.raises(DataError, match="there is no file memory://nowhere"):
            read_table("memory://nowhere/a.csv")
    finally:
        memory.rm("/reviews", recursive=True)
        memory.rm("/columns", recursive=True)
    with pytest.raises(DataError, match="nosuch://x cannot be read: Protocol not known"):
        read_table("nosuch://x")
