"""`recurra predict --keep`: columns of the input beside the predictions."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TEXTS, LABELS = ["so good", "really bad"] * 10, ["yes", "no"] * 10
QUICK = ["--epochs", 1, "--hidden-size", 4, "--out", "m"]


@pytest.fixture
def trained(recurra, tmp_path) -> Path:
    rows = "".join(f"{n:03d},{text},{label}\n" for n, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)))
    (tmp_path / "train.csv").write_text("id,text,label\n" + rows)
    options = ["--input", "text", "--target", "label", "--embedding-size", 4, "--tokens", "word"]
    assert recurra("fit", "classify", "train.csv", *options, *QUICK)[0] == 0
    return tmp_path / "train.csv"


def test_columns_keep_their_values_and_order(recurra, trained, tmp_path):
    code, out, err = recurra("predict", "m", trained, "--keep", "id,label,text")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert list(found[0]) == ["row", "id", "input label", "text", "label", "probability"]
    assert [row["id"] for row in found] == [f"{n:03d}" for n in range(20)]
    assert [row["input label"] for row in found] == LABELS
    plain = [json.loads(line) for line in recurra("predict", "m", trained)[1].splitlines()]
    assert [{key: row[key] for key in plain[0]} for row in found] == plain
    assert recurra("predict", "m", trained, "--keep", "id", "--out", "p.csv", "--proba")[0] == 0
    with (tmp_path / "p.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in found]


def test_types_are_kept(recurra, trained, tmp_path):
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(n) for n in range(20)]
    pq.write_table(pa.table({"text": TEXTS, "day": days, "n": list(range(20))}), tmp_path / "in.parquet")
    assert recurra("predict", "m", "in.parquet", "--keep", "day,n", "--out", "out.parquet")[0] == 0
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["day"].to_pylist() == days
    assert found["n"].to_pylist() == list(range(20))


def test_large_tables_are_read_in_parts(recurra, trained, monkeypatch):
    from recurra.cli.support import files
    from recurra.data.files import table

    whole = recurra("predict", "m", trained, "--keep", "id")[1]
    monkeypatch.setattr(files, "STREAM_BYTES", 0)
    monkeypatch.setattr(table, "BATCH_ROWS", 3)
    assert recurra("predict", "m", trained, "--keep", "id")[1] == whole


def test_long_tables_and_items(recurra, tmp_path):
    steps = "".join(f"p{n},{t},{n % 2 + t},{'ab'[n % 2]},site{n}\n" for n in range(20) for t in range(2))
    (tmp_path / "long.csv").write_text("pump,t,flow,state,site\n" + steps)
    options = ["--features", "flow", "--target", "state", *QUICK]
    assert recurra("fit", "classify", "long.csv", "--id", "pump", "--time", "t", *options)[0] == 0
    found = [json.loads(line) for line in recurra("predict", "m", "long.csv", "--keep", "site")[1].splitlines()]
    assert [row["site"] for row in found] == [f"site{n}" for n in range(20)]
    code, _, err = recurra("predict", "m", "long.csv", "--keep", "t")
    assert (code, "t of p0 is 0 and 1" in err) == (3, True)
    assert recurra("fit", "classify", "long.csv", *options, "--overwrite")[0] == 0
    (tmp_path / "items.csv").write_text("flow,site\n1,x\n,lost\n2,y\n")
    found = [json.loads(line) for line in recurra("predict", "m", "items.csv", "--keep", "site")[1].splitlines()]
    assert [row["site"] for row in found] == ["x", "y"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["so good", "--keep", "id"], 2, "--keep copies columns of a table"),
        (["train.csv", "--keep", "nothing"], 3, 'no column "nothing"'),
        (["train.csv", "--keep", "id", "--out", "folder"], 2, "--keep needs --out with the name of a file"),
    ],
)
def test_refused(recurra, trained, arguments, code, message):
    found, _, err = recurra("predict", "m", *arguments)
    assert (found, message in err) == (code, True), err
