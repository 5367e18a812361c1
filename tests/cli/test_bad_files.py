"""Files that cannot be used end with exit code 3 and one sentence, whatever the command."""

from __future__ import annotations

import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

QUICK = ("--epochs", "1", "--hidden-size", "4", "--out", "m")
FITS = {
    "classify": ("--input", "day", "--target", "shop"),
    "classify long": ("--id", "shop", "--features", "sold", "--target", "day"),
    "regress": ("--input", "day", "--target", "sold"),
    "forecast": ("--time", "day", "--target", "sold"),
    "generate": ("--input", "day"),
    "translate": ("--source", "day", "--target", "shop"),
    "fill": ("--input", "day"),
    "transcribe": ("--input", "day", "--target", "shop"),
}


@pytest.mark.parametrize("fit", FITS)
def test_a_table_with_a_header_only(recurra, tmp_path, fit):
    (tmp_path / "no_rows.csv").write_text("day,shop,sold,promotion\n")
    code, _, err = recurra("fit", fit.split()[0], "no_rows.csv", *FITS[fit], *QUICK)
    assert code == 3
    assert "no_rows.csv has columns" in err
    assert not (tmp_path / "m").exists()


ROWS = 24
DAY = datetime.date(2020, 1, 1)
COLUMNS = {
    "null": pa.nulls(ROWS),
    "timestamp": pa.array([datetime.datetime(2020, 1, 1)] * ROWS),
    "zoned": pa.array([datetime.datetime(2020, 1, 1)] * ROWS, pa.timestamp("us", "Asia/Seoul")),
    "date": pa.array([DAY + datetime.timedelta(i) for i in range(ROWS)]),
    "duration": pa.array([datetime.timedelta(1)] * ROWS),
    "binary": pa.array([b"\xff\0"] * ROWS),
    "decimal": pa.array([decimal.Decimal(i) for i in range(ROWS)]),
    "list": pa.array([[1.0, 2.0]] * ROWS),
    "null lists": pa.array([None] * ROWS, pa.list_(pa.float64())),
    "words": pa.array([["a", "b"]] * ROWS),
    "struct": pa.array([{"a": 1}] * ROWS),
    "large": pa.array(["a b", "c d"] * (ROWS // 2), pa.large_string()),
    "categories": pa.array(["a b", "c d"] * (ROWS // 2)).dictionary_encode(),
    "unsigned": pa.array([2**64 - 1] * ROWS, pa.uint64()),
    "infinite": pa.array([float("inf")] * ROWS),
}


QUICK_COLUMNS = ("binary", "struct", "infinite")


@pytest.mark.parametrize(
    "column", [name if name in QUICK_COLUMNS else pytest.param(name, marks=pytest.mark.slow) for name in COLUMNS]
)
def test_parquet_columns_of_every_type_in_every_role(recurra, tmp_path, column):
    own = {"text": ["a b", "c d"] * (ROWS // 2), "n": range(ROWS), "x": [float(i) for i in range(ROWS)]}
    pq.write_table(pa.table({**own, "odd": COLUMNS[column]}), tmp_path / "a.parquet")
    commands = [
        ("classify", "--input", "odd", "--target", "text"),
        ("classify", "--input", "text", "--target", "odd"),
        ("classify", "--id", "odd", "--features", "x", "--target", "text"),
        ("regress", "--input", "text", "--target", "odd"),
        ("regress", "--id", "n", "--features", "odd", "--target", "x"),
        ("translate", "--source", "odd", "--target", "text", "--hold-out", "0.3"),
        ("generate", "--input", "text", "--condition", "odd"),
        ("fill", "--input", "odd"),
        ("forecast", "--time", "n", "--target", "x", "--id", "odd", "--horizon", "2", "--context", "4"),
        ("forecast", "--time", "n", "--target", "odd", "--horizon", "2", "--context", "4"),
    ]
    for task, *options in commands:
        code, _, err = recurra("fit", task, "a.parquet", *options, *QUICK)
        assert code in (0, 2, 3), (task, options, err)


def test_every_list_is_missing(recurra, tmp_path):
    pq.write_table(pa.table({"document": COLUMNS["null lists"], "label": ["1", "2"] * 12}), tmp_path / "a.parquet")
    code, _, err = recurra("fit", "classify", "a.parquet", "--input", "document", "--target", "label", *QUICK)
    assert code == 3
    assert "a.parquet, column document: every value is missing" in err


def test_ids_that_are_dates_are_predicted(recurra, tmp_path):
    rows = 40
    table = {
        "day": [DAY + datetime.timedelta(i // 2) for i in range(rows)],
        "second": [i % 2 for i in range(rows)],
        "heat": [float(i % 7) for i in range(rows)],
        "state": ["ab"[i // 2 % 2] for i in range(rows)],
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    columns = ("--id", "day", "--time", "second", "--features", "heat", "--target", "state")
    assert recurra("fit", "classify", "a.parquet", *columns, *QUICK)[0] == 0
    code, out, err = recurra("predict", "m", "a.parquet")
    assert code == 0, err
    assert '"id": "2020-01-01"' in out.splitlines()[0]
    for suffix in ("csv", "jsonl", "parquet"):
        assert recurra("predict", "m", "a.parquet", "--out", f"p.{suffix}")[0] == 0
    assert '"id": "2020-01-20"' in (tmp_path / "p.jsonl").read_text()


def hours(separator, mark):
    """A table of hours with missing values, empty rows and a column of words."""
    rows = []
    for i in range(60):
        load = "?" if i in (20, 21) else f"{3 + i % 5 / 4:.2f}".replace(".", mark)
        rows.append(separator.join((f"2006-12-{1 + i // 24:02d} {i % 24:02d}:00:00", load, ("NW", "cv")[i % 2])))
    rows.insert(30, separator * 2)
    return "\n".join((separator.join(("when", "load", "wind")), *rows, separator * 2, separator * 2)) + "\n"


@pytest.mark.parametrize(("separator", "mark"), [(";", ","), (";", "."), ("\t", ","), (",", ".")])
def test_series_with_question_marks_decimal_commas_and_empty_rows(recurra, tmp_path, separator, mark):
    (tmp_path / "load.csv").write_text(hours(separator, mark))
    columns = ("--time", "when", "--target", "load", "--horizon", "2", "--context", "4")
    code, _, err = recurra("fit", "forecast", "load.csv", *columns, *QUICK)
    assert code == 0, err
    assert "3 empty rows left out" in err
    assert "2 missing values in load" in err
    assert ("numbers have a decimal comma" in err) == (mark == ",")
    code, out, err = recurra("predict", "m", "load.csv")
    assert code == 0, err
    assert 2.5 < float(json.loads(out.splitlines()[0])["forecast"]) < 4.5
    code, _, err = recurra("fit", "forecast", "load.csv", *columns, "--features", "wind", *QUICK, "--out", "m2")
    assert code == 0, err  # the words are categories


def test_the_decimal_mark_can_be_given(recurra, tmp_path):
    (tmp_path / "load.csv").write_text("id;x;y\n" + "".join(f"{i};1,{i:03d};{i % 3},500\n" for i in range(100, 130)))
    fit = ("fit", "regress", "load.csv", "--id", "id", "--features", "x", "--target", "y", *QUICK)
    code, _, err = recurra(*fit, "--decimal", ",")
    assert code == 0, err
    assert recurra(*fit, "--decimal", "x", "--overwrite")[0] == 2
