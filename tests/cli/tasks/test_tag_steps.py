"""`recurra fit tag` on a table of numbers with a tag in each row, and the commands for its model."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from recurra import cli

QUICK = ["--hidden-size", "6", "--epochs", "2", "--batch-size", "8", "--learning-rate", "0.03"]
COLUMNS = ["--id", "run", "--time", "second", "--features", "x,y", "--target", "state"]


def table(rows: list[tuple]) -> str:
    return "\n".join(["run,second,x,y,state", *(",".join(map(str, row)) for row in rows)]) + "\n"


def drawn(runs: int, seed: int) -> list[tuple]:
    """Rows of several runs, in any order."""
    random, rows = np.random.default_rng(seed), []
    for run in range(runs):
        values = random.normal(size=(random.integers(3, 9), 2)).round(3)
        high = values[:, 0].cumsum() > 0
        rows += [(f"r{run}", t, *values[t], "high" if high[t] else "low") for t in range(len(values))]
    random.shuffle(rows)
    return [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    (folder / "train.csv").write_text(table(drawn(30, 0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["recurra", "fit", "tag", "train.csv", *COLUMNS, *QUICK, "--out", "m"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0
    return folder


def test_predictions_have_the_order_of_the_rows(recurra, folder, tmp_path):
    rows = drawn(4, 1)
    (tmp_path / "new.csv").write_text(table([(*row[:4], "") for row in rows]).replace("\n", "\n\n", 2))
    code, out, _ = recurra("predict", folder / "m", "new.csv", "--proba", "--keep", "second,x")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(row["row"], row["id"], row["second"], row["x"]) for row in found] == [
        (number, row[0], str(row[1]), str(row[2])) for number, row in enumerate(rows, 1)
    ]
    ordered = sorted(rows, key=lambda row: (row[0], row[1]))
    (tmp_path / "sorted.csv").write_text(table(ordered))
    code, out, _ = recurra("predict", folder / "m", "sorted.csv", "--proba")
    tags = {row[:2]: json.loads(line) for row, line in zip(ordered, out.splitlines(), strict=True)}
    for row, answer in zip(rows, found, strict=True):
        assert (answer["tag"], answer["confidence"]) == (tags[row[:2]]["tag"], tags[row[:2]]["confidence"])


def test_evaluate(recurra, folder, tmp_path):
    rows = [(*row[:4], "" if i == 0 else "odd" if i == 1 else row[4]) for i, row in enumerate(drawn(8, 2))]
    (tmp_path / "test.csv").write_text(table(rows))
    code, out, err = recurra("evaluate", folder / "m", "test.csv", "--json")
    metrics = json.loads(out)
    assert code == 0
    assert {"accuracy", "macro_f1", "baselines"} <= set(metrics)
    assert "1 row without state" in err
    assert "1 step with a tag that was not in the training data (odd): counted as errors" in err


def test_other_commands(recurra, folder):
    data = folder / "m", folder / "train.csv"
    assert recurra("inspect", *data, "--row", 2, "--out", "r.html")[0] == 0
    steps = [json.loads(line) for line in recurra("embed", *data, "--steps")[1].splitlines()]
    assert len(steps) == len(drawn(30, 0))
    assert "baselines" in recurra("health", *data)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table([("a", 1, 1, "2x", "on"), *(("a", i, 1, 2, "on") for i in range(2, 60))]), 'line 2, column y: "2x"'),
        (table([("a", 1, 1, 2, ""), ("a", 2, 1, 2, " ")]), "column state: every cell is empty"),
        (table([("a", 1, 1, 2, "on"), ("a", 1, 1, 2, "on")]), "line 3, column second: 1 again for a"),
        (table([("", 1, 1, 2, "on")]), "line 2, column run is empty"),
        (table([]), "no rows below them"),
    ],
)
def test_wrong_tables(recurra, tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    code, _, err = recurra("fit", "tag", "bad.csv", *COLUMNS)
    assert code == 3
    assert message in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id", "run"], "name the columns of numbers with --features"),
        (["--features", "x", "--target", "state"], "--features needs --id"),
        (["--features", "x", "--id", "run"], "name the column to predict with --target"),
        (["--features", "x", "--id", "run", "--target", "state,y"], "names 2 columns"),
        (["--features", "x", "--id", "run", "--target", "state", "--input", "y"], "not both"),
        (["--features", "x", "--id", "run", "--target", "state", "--characters", "char"], "--characters is for words"),
        (["--features", "x,state", "--id", "run", "--target", "state"], "the model would read the target"),
    ],
)
def test_wrong_options(recurra, folder, options, message):
    code, _, err = recurra("fit", "tag", folder / "train.csv", *options)
    assert code == 2
    assert message in err


def test_a_model_of_numbers_takes_no_texts(recurra, folder):
    assert recurra("predict", folder / "m", "-")[0] == 2
    code, _, err = recurra("predict", folder / "m", "some words")
    assert code == 3
    assert "not texts" in err
