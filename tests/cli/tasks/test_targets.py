"""Several labels, and several numbers, for each sequence on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.io import read_folder

TEXTS = ["so glad", "so mad", "mad and glad", "nothing"] * 10
LABELS = [["joy"], ["anger"], ["anger", "joy"], []] * 10
QUICK = ["--hidden-size", 4, "--embedding-size", 4, "--tokens", "word", "--epochs", 2, "--batch-size", 8]


def write(path: Path, header: str, rows) -> Path:
    path.write_text(f"{header}\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def cells(tmp_path) -> Path:
    rows = [(text, "; ".join(row), n % 2) for n, (text, row) in enumerate(zip(TEXTS, LABELS, strict=True))]
    return write(tmp_path / "cells.csv", "text,topics,group", rows)


def fit(recurra, task: str, data: Path, *options) -> str:
    code, _, err = recurra("fit", task, data, "--input", "text", *options, *QUICK, "--out", "m")
    assert code == 0, err
    return err


def test_labels_in_a_cell(recurra, cells, tmp_path):
    err = fit(recurra, "classify", cells, "--target", "topics", "--labels-separator", ";")
    assert "10 of 40 sequences have no label" in err
    code, out, _ = recurra("evaluate", "m", cells, "--json", "--by", "group")
    found = json.loads(out)
    assert code == 0
    assert {"micro_f1", "macro_f1", "subset_accuracy", "loss", "groups"} <= found.keys()
    assert [(row["label"], row["n"]) for row in found["labels"]] == [("anger", 20), ("joy", 20)]
    assert "Each label" in recurra("evaluate", "m", cells)[1]
    code, out, _ = recurra("predict", "m", cells, "--proba")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 40
    for row in rows:
        assert row["labels"] == [name for name, p in row["probabilities"].items() if p > 0.5]
    assert recurra("predict", "m", cells, "--out", "found.csv")[0] == 0
    with (tmp_path / "found.csv").open() as file:
        assert [json.loads(row["labels"]) for row in csv.DictReader(file)] == [row["labels"] for row in rows]
    assert recurra("health", "m", cells, "--fail-on", "never")[0] == 0
    assert recurra("inspect", "m", "so glad", "--json")[0] == 0


def test_lists_and_columns_of_0_and_1_are_the_same_targets(recurra, cells, tmp_path, monkeypatch):
    fit(recurra, "classify", cells, "--target", "topics", "--labels-separator", ";")
    known = read_folder("m")
    assert known.config["provenance"]["labels_separator"] == ";"
    pq.write_table(pa.table({"text": TEXTS, "topics": LABELS}), tmp_path / "lists.parquet")
    fit(recurra, "classify", tmp_path / "lists.parquet", "--target", "topics", "--overwrite")
    lists = read_folder("m")
    monkeypatch.setenv("RECURRA_LARGE_MB", "0")  # larger tables are read as a whole too
    fit(recurra, "classify", tmp_path / "lists.parquet", "--target", "topics", "--overwrite")
    monkeypatch.delenv("RECURRA_LARGE_MB")
    assert read_folder("m").config["targets"] == lists.config["targets"]
    rows = [(text, int("anger" in row), int("joy" in row)) for text, row in zip(TEXTS, LABELS, strict=True)]
    marks = write(tmp_path / "marks.csv", "text,anger,joy", rows)
    fit(recurra, "classify", marks, "--target", "anger,joy", "--overwrite")
    columns = read_folder("m")
    assert columns.config["provenance"]["target_columns"] == ["anger", "joy"]
    metrics = [json.loads(one.files["metrics.json"]) for one in (known, lists, columns)]
    assert metrics[0]["valid"] == metrics[1]["valid"] == metrics[2]["valid"]
    assert known.config["targets"] == lists.config["targets"] == columns.config["targets"]
    assert recurra("evaluate", "m", marks, "--json")[0] == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [("x,2,1", "column anger: '2' is not 0 or 1"), ("x,yes,1", "column anger: 'yes' is not 0 or 1")],
)
def test_a_mark_that_is_not_0_or_1(recurra, tmp_path, row, message):
    (tmp_path / "marks.csv").write_text(f"text,anger,joy\na,0,1\n{row}\n" * 5)
    code, _, err = recurra("fit", "classify", "marks.csv", "--input", "text", "--target", "anger,joy", *QUICK)
    assert (code, message in err, "marks.csv, line 3" in err) == (3, True, True)


def test_an_unknown_label_is_named_with_its_line(recurra, cells, tmp_path):
    fit(recurra, "classify", cells, "--target", "topics", "--labels-separator", ";")
    (tmp_path / "other.csv").write_text("text,topics\na,joy\nb,joy;odd\n")
    code, _, err = recurra("evaluate", "m", "other.csv")
    assert (code, "other.csv, line 3" in err, "'odd' was not in the training data" in err) == (3, True, True)


def test_workers_refuse_several_targets(recurra, cells):
    fit(recurra, "classify", cells, "--target", "topics", "--labels-separator", ";")
    code, _, err = recurra("evaluate", "m", cells, "--workers", 2, "--cluster", "local")
    assert code == 2, err


def test_several_numbers(recurra, tmp_path):
    rows = [(text, n, 10 * n + 0.5, n % 2) for n, text in enumerate(TEXTS)]
    data = write(tmp_path / "numbers.csv", "text,a,b,group", rows)
    fit(recurra, "regress", data, "--target", "a,b")
    code, out, _ = recurra("predict", "m", data, "--coverage", 0.5)
    row = json.loads(out.splitlines()[0])
    assert code == 0
    assert list(row["value"]) == list(row["lower"]) == ["a", "b"]
    assert row["lower"]["a"] < row["value"]["a"] < row["upper"]["a"]
    found = json.loads(recurra("evaluate", "m", data, "--json", "--by", "group")[1])
    assert [row["target"] for row in found["targets"]] == ["a", "b"]
    assert recurra("predict", "m", data, "--out", "found.csv")[0] == 0
    assert (tmp_path / "found.csv").read_text().splitlines()[0] == '"row","value a","value b"'
    code, _, err = recurra("evaluate", "m", data, "--target", "a")
    assert (code, "y has 1 target, but the model was trained on 2" in err) == (3, True)


def test_several_targets_of_long_tables_and_items(recurra, tmp_path):
    rows = [(n, t, n % 4 + t / 10, n % 4, 2 * (n % 4), n % 2, int(n % 4 > 1)) for n in range(24) for t in range(3)]
    data = write(tmp_path / "long.csv", "id,t,x,y,z,odd,big", rows)
    columns = ["--id", "id", "--time", "t", "--features", "x"]
    for task, target, key in (("regress", "y,z", "value"), ("classify", "odd,big", "labels")):
        for given in (columns, ["--features", "x"]):
            options = ["--target", target, *given, "--hidden-size", 4, "--epochs", 1, "--out", "m", "--overwrite"]
            code, _, err = recurra("fit", task, data, *options)
            assert code == 0, err
            code, out, _ = recurra("predict", "m", data)
            found = json.loads(out.splitlines()[0])[key]
            assert code == 0
            assert list(found) == ["y", "z"] if task == "regress" else set(found) <= {"odd", "big"}
            assert recurra("evaluate", "m", data)[0] == 0


def test_a_missing_target_leaves_the_row_out(recurra, tmp_path):
    rows = [(text, n, "" if n == 3 else n) for n, text in enumerate(TEXTS)]
    data = write(tmp_path / "numbers.csv", "text,a,b", rows)
    fit(recurra, "regress", data, "--target", "a,b")
    assert json.loads(recurra("evaluate", "m", data, "--json")[1])["n"] == 39
