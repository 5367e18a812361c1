"""Files of predictions that are written while the predictions arrive."""

from __future__ import annotations

import json
import tracemalloc

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from recurra.cli.support import files, rows
from recurra.cli.support.rows import write_rows
from recurra.errors import DataError, UsageError


def many(count: int):
    for i in range(count):
        yield {"row": i, "label": "a,b" if i % 2 else None, "words": ["x", "y"]}


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    options = pa_csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
    found = pa_csv.read_csv(path, parse_options=options).to_pylist()
    return [{**row, "label": row["label"] or None, "words": row["words"].split()} for row in found]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("count", [3, 4, 9])
def test_rows_are_written_in_parts(tmp_path, monkeypatch, suffix, count):
    monkeypatch.setattr(rows, "ROWS", 4)
    path = tmp_path / f"out{suffix}"
    assert write_rows(path, many(count)) == count
    assert read(path) == list(many(count))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_error_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 4)

    def failing():
        yield from many(10)
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        write_rows(tmp_path / "out.csv", failing())
    with pytest.raises(DataError, match="do not fit into one table"):
        write_rows(tmp_path / "out.parquet", ({"x": 1 if i < 5 else "one"} for i in range(10)))
    with pytest.raises(UsageError, match=r"should end in \.csv"):
        write_rows(tmp_path / "out.txt", many(1))
    assert list(tmp_path.iterdir()) == []


def test_a_column_may_be_empty_at_first(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 4)
    write_rows(tmp_path / "out.parquet", ({"x": None if i < 6 else "word"} for i in range(8)))
    assert pq.read_table(tmp_path / "out.parquet")["x"].to_pylist() == [None] * 6 + ["word"] * 2


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 500)
    peaks = []
    for count in (2_000, 20_000):
        tracemalloc.start()
        write_rows(tmp_path / "out.jsonl", many(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.fixture
def reviews(recurra, tmp_path):
    """A model, and a folder of tables."""
    lines = "".join(f"{text},{label}\n" for text, label in [("good film", "pos"), ("bad film", "neg")] * 15)
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / f"{name}.csv").write_text("text,label\n" + lines)
    options = ["--input", "text", "--target", "label", "--hidden-size", 4, "--epochs", 1, "--out", "model"]
    assert recurra("fit", "classify", "data", *options)[0] == 0
    return tmp_path


def test_predictions_of_a_folder_are_the_same_in_parts(recurra, reviews, monkeypatch):
    code, whole, err = recurra("predict", "model", "data")
    assert (code, "60 rows in 2 files" in err) == (0, True)
    assert [json.loads(line)["row"] for line in whole.splitlines()] == list(range(1, 61))
    monkeypatch.setattr(files, "STREAM_BYTES", 0)
    for source in ("data", "data/*.csv", (reviews / "data").as_uri()):
        code, parts, err = recurra("predict", "model", source)
        assert (code, parts) == (0, whole)
        assert "2 files, comma-separated, UTF-8, no quoting, columns text, label" in err
    code, out, _ = recurra("predict", "model", "data", "--proba", "--out", "out.parquet")
    assert (code, out) == (0, "")
    assert pq.read_table("out.parquet").column_names == [
        "row",
        "label",
        "probability",
        "probability neg",
        "probability pos",
    ]
    code, out, err = recurra("predict", "model", "data/none-*.csv")
    assert (code, out) == (3, "")
    (reviews / "data" / "c.csv").write_text("words\nx\ny\n")
    code, out, err = recurra("predict", "model", "data", "--out", "bad.csv")
    assert (code, 'c.csv has no column "text"' in err) == (3, True)
    assert not (reviews / "bad.csv").exists()
    code, out, err = recurra("evaluate", "model", "data/[ab].csv", "--json")
    assert (code, json.loads(out)["n"]) == (0, 60)
