"""Predictions that Excel reads: when a byte order mark is written."""

from __future__ import annotations

import codecs
import csv

import pandas as pd
import pytest

QUICK = ("--epochs", "1", "--hidden-size", "4", "--out", "m")
ROWS = "글,감정\n" + "".join(
    f"{글} 영화,{감정}\n" for _ in range(8) for 글, 감정 in (("좋은", "긍정"), ("나쁜", "부정"))
)


@pytest.fixture
def trained(recurra, tmp_path):
    """Runs `recurra predict` on the table in an encoding; the content of the file that it writes."""
    (tmp_path / "train.csv").write_text(ROWS, encoding="utf-8")
    assert recurra("fit", "classify", "train.csv", "--input", "글", "--target", "감정", *QUICK)[0] == 0

    def predict(encoding, *options, out="p.csv", name="new.csv"):
        (tmp_path / name).write_text(ROWS, encoding=encoding)
        code, _, err = recurra("predict", "m", name, "--out", out, *options)
        assert code == 0, err
        content = (tmp_path / out).read_bytes()
        assert ("byte order mark" in err) == content.startswith(codecs.BOM_UTF8)
        return content

    return predict


@pytest.mark.parametrize(
    ("encoding", "options", "marked"),
    [
        ("utf-8", (), False),
        ("utf-8", ("--excel",), True),
        ("cp949", (), True),
        ("cp949", ("--no-excel",), False),
        ("utf-8-sig", (), True),
        ("utf-16", (), False),
    ],
)
def test_the_mark_is_written_for_excel(trained, tmp_path, encoding, options, marked):
    content = trained(encoding, *options)
    assert content.startswith(codecs.BOM_UTF8) == marked
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    assert len(rows) == 16
    assert rows[0]["label"] in ("긍정", "부정")
    frame = pd.read_csv(tmp_path / "p.csv")
    assert list(frame.columns) == ["row", "label", "probability"]
    assert frame["row"].tolist() == list(range(1, 17))


def test_other_formats_have_no_mark(trained, recurra):
    assert trained("cp949", out="p.tsv").startswith(codecs.BOM_UTF8)
    assert trained("cp949", out="p.jsonl").startswith(b"{")
    assert trained("cp949", out="p.parquet").startswith(b"PAR1")
    for out in ((), ("--out", "p.parquet")):
        code, _, err = recurra("predict", "m", "new.csv", *out, "--excel")
        assert code == 2
        assert "--excel goes with --out" in err


def test_a_marked_file_is_read_by_recurra(trained, recurra):
    trained("utf-8", "--excel", out="p.csv")
    code, _, err = recurra("fit", "fill", "p.csv", "--input", "label", *QUICK[:4], "--out", "f")
    assert "UTF-8 with BOM" in err
    assert code in (0, 3)
