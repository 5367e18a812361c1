"""Partitions of a table: every row once, in order, with its place."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.pieces import LargeTable, partitions, table
from recurra.data.pieces.partitions import Partitions


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_row_is_in_one_partition(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(table, "PIECE_ROWS", 40)
    monkeypatch.setattr(table, "BATCH_ROWS", 16)
    monkeypatch.setattr(partitions, "FEW", 3)
    (tmp_path / "data").mkdir()
    for name, start, count in (("a", 0, 250), ("b", 250, 30), ("c", 280, 100)):
        rows = [{"text": f"text {i}", "label": i} for i in range(start, start + count)]
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"{name}{suffix}", row_group_size=90)
        else:
            lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
            (tmp_path / "data" / f"{name}{suffix}").write_text("".join(line + "\n" for line in lines))
    whole = LargeTable(tmp_path / "data", ["label", "text"], tmp_path / "run")
    found = Partitions(whole)
    assert 2 < len(found) <= 4
    assert found.first[-1] == 380
    seen, unit = [], "row" if suffix == ".parquet" else "line"
    for number in range(len(found)):
        assert len(seen) == found.first[number]
        for file in found.files(number, ["text"]):
            seen += zip(file.table["text"].to_pylist(), map(file.where, range(file.table.num_rows)), strict=True)
    places = [("a", 250), ("b", 30), ("c", 100)]
    shift = 1 if unit == "row" else 2
    where = [f"{name}{suffix}, {unit} {i + shift}" for name, count in places for i in range(count)]
    assert seen == [(f"text {i}", where[i]) for i in range(380)]
