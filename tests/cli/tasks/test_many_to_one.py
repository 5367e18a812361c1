"""Columns of `recurra fit classify` and `recurra fit regress`."""

from __future__ import annotations

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
