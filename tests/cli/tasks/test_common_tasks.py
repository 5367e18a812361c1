"""Several labels, several numbers, categories and labels per step: every command, and a run that is killed."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import recurra

KETTLES = Path(recurra.__file__).parent / "data" / "samples" / "series" / "kettles_train.csv"
QUICK = ["--hidden-size", 4, "--epochs", 2, "--batch-size", 8]
LONG = ["--id", "kettle", "--time", "second"]


@dataclass
class Kind:
    """A task with targets or features of some form.

    `key` names the answer of a prediction and `metric` a figure of the evaluation. `wrong` is what a cell of the last
    row is replaced with, and `message` what evaluation then says.
    """

    task: str
    options: list
    key: str
    metric: str
    wrong: tuple[str, str]
    message: str


KINDS = {
    "several labels": Kind(
        "classify",
        [*LONG, "--features", "watts,lid", "--target", "warm,strong"],
        key="labels",
        metric="micro_f1",
        wrong=("warm", "often"),
        message="'often' is not 0 or 1",
    ),
    "several numbers": Kind(
        "regress",
        [*LONG, "--features", "watts", "--target", "litres,start"],
        key="value",
        metric="targets",
        wrong=("start", "cold"),
        message='"cold" is not a number',
    ),
    "categories": Kind(
        "regress",
        [*LONG, "--features", "temperature,lid", "--target", "litres"],
        key="value",
        metric="mae",
        wrong=("litres", "x"),
        message='"x" is not a number',
    ),
    "labels per step": Kind(
        "tag",
        [*LONG, "--features", "temperature,watts", "--target", "phase"],
        key="tag",
        metric="accuracy",
        wrong=("watts", "high"),
        message='"high" is not a number',
    ),
}


def number(cell: str) -> float:
    return float(cell or 0)  # some values of the sample are missing


def write(path: Path, change: tuple[str, str] | None = None) -> None:
    """Writes 40 kettles with more columns, which follow from those of the sample."""
    with KETTLES.open() as file:
        rows = list(csv.DictReader(file))
    kept = sorted({row["kettle"] for row in rows})[:40]
    rows = [row for row in rows if row["kettle"] in kept]
    for row in rows:
        first = next(other for other in rows if other["kettle"] == row["kettle"])
        start, watts = number(first["temperature"]), number(first["watts"])
        row["start"], row["warm"], row["strong"] = f"{start}", int(start > 25), int(watts > 2000)
        row["lid"] = "open" if int(row["kettle"]) % 2 else "closed"
        row["phase"] = "hot" if number(row["temperature"]) > 60 else "cold"
    if change:
        name, text = change
        for row in rows:
            if row["kettle"] == rows[-1]["kettle"]:
                row[name] = text
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("name", KINDS)
def test_every_command(recurra, killed, tmp_path, name):
    kind = KINDS[name]
    write(tmp_path / "kettles.csv")
    fit = ["fit", kind.task, "kettles.csv", *kind.options, *QUICK]
    code, _, err = recurra(*fit, "--out", "whole")
    assert code == 0, err
    killed(*fit, "--out", "resumed")
    assert recurra(*fit, "--out", "resumed", "--resume")[0] == 0
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", "resumed")]
    assert weights[0] == weights[1]

    code, out, err = recurra("evaluate", "whole", "kettles.csv", "--json")
    assert code == 0, err
    assert kind.metric in json.loads(out)
    code, out, _ = recurra("predict", "whole", "kettles.csv")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(answers) == (len((tmp_path / "kettles.csv").read_text().splitlines()) - 1 if kind.task == "tag" else 40)
    assert all(kind.key in answer for answer in answers)
    code, out, _ = recurra("inspect", "whole", "kettles.csv", "--row", 2, "--json")
    assert code == 0
    assert json.loads(out)["answer"]
    assert recurra("inspect", "whole", "kettles.csv", "--row", 2, "--out", "page.html")[0] == 0
    assert recurra("health", "whole", "kettles.csv", "--fail-on", "never")[0] == 0


@pytest.mark.parametrize("name", KINDS)
def test_wrong_input_is_named_with_its_line(recurra, tmp_path, name):
    kind = KINDS[name]
    write(tmp_path / "kettles.csv")
    assert recurra("fit", kind.task, "kettles.csv", *kind.options, *QUICK, "--out", "m")[0] == 0
    write(tmp_path / "wrong.csv", kind.wrong)
    code, out, err = recurra("evaluate", "m", "wrong.csv", "--json")
    assert (code, out) == (3, "")
    assert "wrong.csv, line " in err
    assert kind.message in err


def test_a_long_table_without_features_is_named(recurra, tmp_path):
    write(tmp_path / "kettles.csv")
    code, _, err = recurra("fit", "classify", "kettles.csv", *LONG, "--target", "warm")
    assert code == 2
    assert "name the columns of kettles.csv that are read at each step with --features" in err
