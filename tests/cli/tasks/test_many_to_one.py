"""Columns of `recurra fit classify` and `recurra fit regress`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from recurra.cli.app import app
from recurra.errors import UsageError


def fit(folder, task: str, values: list[str], *more: str) -> object:
    """Trains on a column; returns the error, or None."""
    rows = "".join(f"{value},{number % 2}\n" for number, value in enumerate(values))
    (folder / "a.csv").write_text("x,y\n" + rows)
    options = [
        "--input",
        "x",
        "--target",
        "y",
        "--epochs",
        "1",
        "--hidden-size",
        "4",
        "--out",
        str(folder / "m"),
        *more,
    ]
    return CliRunner().invoke(app, ["fit", task, str(folder / "a.csv"), *options]).exception


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_numbers_are_not_texts(tmp_path, task):
    error = fit(tmp_path, task, ["7.4", "", "-1", "2e3"] * 5)
    assert isinstance(error, UsageError)
    assert "column x of a.csv contains numbers such as 7.4, not texts" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("values", "more"), [(["0110", "1001"] * 10, ("--tokens", "char")), (["7.4", "good"] * 10, ())]
)
def test_digits_are_a_text_if_the_user_says_so(tmp_path, values, more):
    assert fit(tmp_path, "classify", values, *more) is None
    assert (tmp_path / "m" / "config.json").exists()


def test_sets_and_intervals_with_a_stated_coverage(recurra, tmp_path, monkeypatch):
    lines = [f"{'good' if i % 2 else 'bad'} film {i % 7},{'so good' if i % 2 else 'so bad'},{i % 2}" for i in range(60)]
    (tmp_path / "a.csv").write_text("text,label,score\n" + "\n".join(lines) + "\n")
    quick = ["--epochs", 2, "--hidden-size", 4, "--tokens", "word", "--valid", "a.csv", "--input", "text"]
    assert recurra("fit", "classify", "a.csv", *quick, "--target", "label")[0] == 0
    (answer,) = recurra("predict", "model", "good film", "--coverage", 0.8)[1].splitlines()
    assert json.loads(answer)["set"][0] == json.loads(answer)["label"]
    whole = json.loads(recurra("evaluate", "model", "a.csv", "--json", "--coverage", 0.8)[1])
    assert whole["coverage"] >= whole["coverage_wanted"] == 0.8
    assert 1 <= whole["mean_set_size"] <= 2
    monkeypatch.setattr("recurra.cli.support.files.STREAM_BYTES", 1)  # in parts, as a large table
    parts = json.loads(recurra("evaluate", "model", "a.csv", "--json", "--coverage", 0.8)[1])
    assert [parts[k] for k in ("coverage", "mean_set_size")] == [whole[k] for k in ("coverage", "mean_set_size")]
    code, _, err = recurra("predict", "model", "a.csv", "--coverage", 0.999, "--out", "p.csv")
    assert (code, "needs a calibration on at least 999 sequences, and this model has 60" in err) == (0, True)
    assert '"[""so good"", ""so bad""]"' in (tmp_path / "p.csv").read_text()
    assert recurra("fit", "regress", "a.csv", *quick, "--target", "score", "--out", "numbers")[0] == 0
    (answer,) = recurra("predict", "numbers", "good film", "--coverage", 0.9)[1].splitlines()
    found = json.loads(answer)
    assert found["lower"] < found["value"] < found["upper"]
    assert json.loads(recurra("predict", "numbers", "good", "--coverage", 0.999)[1])["lower"] is None
    assert recurra("predict", "numbers", "good", "--coverage", 1)[0] == 2
