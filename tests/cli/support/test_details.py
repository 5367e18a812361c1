"""Tables of detailed metrics: wide characters, many classes, groups, plots."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from recurra.cli.support.details import show_details
from recurra.tasks.many_to_one.metrics.classes import describe_classes
from recurra.tasks.many_to_one.metrics.groups import described

QUICK = ["--hidden-size", 4, "--epochs", 1, "--tokens", "word"]


def metrics(names: list[str], rows: int = 400) -> dict:
    random = np.random.default_rng(0)
    target = random.integers(0, len(names), rows)
    output = random.normal(size=(rows, len(names)))
    return {"n": rows, "macro_f1": 0.5, **describe_classes(names, output, target, None)}


def test_korean_names_are_aligned(capsys):
    show_details(metrics(["긍정", "부정적인 평가", "neutral"]))
    found = capsys.readouterr().out
    tables = [[line for line in part.splitlines() if line[:1] in "┏┃┡│└"] for part in found.split("┏")]
    assert len(tables) == 4
    for table in tables[1:]:
        body = [line for line in table if line[:1] in "│└"]
        assert len({cell_len(line) for line in body}) == 1
    for words in ("│ 부정적인 평가 │", "macro average", "true \\ predicted", "Calibration, expected error 0."):
        assert words in found


def test_many_classes(capsys):
    found = metrics([f"class {n}" for n in range(40)])
    show_details(found)
    shown = capsys.readouterr().out
    assert "The 20 of 40 classes with the lowest F1 (--json has all)" in shown
    assert f"Most frequent confusions; {len(found['confusions'])} different ones in all" in " ".join(shown.split())
    first = found["confusions"][0]
    rows = [line.split("│")[1:-1] for line in shown.split("Most frequent")[1].splitlines() if line[:1] == "│"]
    assert [cell.strip() for cell in rows[0]] == [first["class"], first["predicted"], str(first["n"])]
    assert len([row for row in rows if len(row) == 3]) == 10


def test_a_reason(capsys):
    output, target = np.array([[2.0, 1, 0], [0, 1, 0]]), np.array([0, 1])
    show_details({"n": 2, "macro_f1": 1.0, **describe_classes(["a", "b", "c"], output, target, None)})
    out, err = capsys.readouterr()
    assert "roc_auc is not defined: the class c does not occur in these data" in err
    assert "–" in out


def test_groups(capsys):
    found: dict[str | None, Any] = {str(n): (n, {"accuracy": 0.5, "r2": float("nan")}) for n in range(1, 51)}
    show_details({"groups": described({**found, None: (1, {"accuracy": 1.0, "r2": 0.0})}), "by": "n"})
    out, err = capsys.readouterr()
    assert "Each n, the largest 30 of 51 (--json has all)" in " ".join(out.split())
    assert "groups of fewer than 30 sequences, whose metrics depend on chance: 29, 28, " in err
    json.dumps(described(found), allow_nan=False)


@pytest.fixture
def table(tmp_path):
    rows = [
        f"영화 {'좋다' if n % 2 else '나쁘다'} {n},{'긍정' if n % 2 else '부정'},{'부산' if n % 3 else '서울'},{n}"
        for n in range(90)
    ]
    (tmp_path / "d.csv").write_text("text,label,city,score\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("task", "target"), [("classify", "label"), ("regress", "score")])
def test_by_and_plot(recurra, table, monkeypatch, task, target):
    """The groups of a table are the same at once and in parts."""
    assert recurra("fit", task, "d.csv", "--input", "text", "--target", target, *QUICK, "--out", "m")[0] == 0
    code, out, err = recurra("evaluate", "m", "d.csv", "--by", "city", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["by"] == "city"
    assert [(row["group"], row["n"], row["small"]) for row in found["groups"]] == [
        ("부산", 60, False),
        ("서울", 30, False),
    ]
    name = {"classify": "accuracy", "regress": "mae"}[task]
    assert sum(row["n"] * row[name] for row in found["groups"]) / 90 == pytest.approx(found[name])
    monkeypatch.setattr("recurra.cli.support.files.STREAM_BYTES", 0)
    code, out, err = recurra("evaluate", "m", "d.csv", "--by", "city", "--json")
    assert code == 0, err
    for one, other in zip(json.loads(out)["groups"], found["groups"], strict=True):
        assert one.pop("group") == other.pop("group")
        assert one == pytest.approx(other, rel=1e-6)
    for column, said, exit_code in ((target, "give another column", 2), ("nothing", 'no column "nothing"', 3)):
        code, _, err = recurra("evaluate", "m", "d.csv", "--by", column)
        assert (code, said in err) == (exit_code, True), err
    if task == "classify":
        code, _, err = recurra("evaluate", "m", "d.csv", "--plot", "c.txt")
        assert (code, "c.txt should end in .svg, .png, .pdf" in err) == (2, True)
        code, _, err = recurra("predict", "m", "d.csv", "--plot", "c.svg")
        assert (code, "--plot of a classifier is an option of recurra evaluate" in err) == (2, True)
        code, out, err = recurra("evaluate", "m", "d.csv", "--plot", "c.svg")
        assert code == 0, err
        assert "picture written to c.svg" in err
        assert (table / "c.svg").read_text(encoding="utf-8").count("<svg") == 1
        assert "\nEach class:\n" in (table / "m" / "README.md").read_text(encoding="utf-8")
        assert "| 긍정 | " in (table / "m" / "README.md").read_text(encoding="utf-8")


def test_by_of_long_tables(recurra, tmp_path):
    lines = [
        f"{n},{t},{n % 2 + t / 9},{'ab'[n % 2]},{'' if n == 0 or t else f'g{n % 3}'}"
        for n in range(36)
        for t in range(4)
    ]
    (tmp_path / "long.csv").write_text("id,t,x,label,group\n" + "\n".join(lines) + "\n", encoding="utf-8")
    columns = ["--id", "id", "--time", "t", "--features", "x", "--target", "label"]
    assert recurra("fit", "classify", "long.csv", *columns, *QUICK[:4], "--out", "m")[0] == 0
    code, out, err = recurra("evaluate", "m", "long.csv", "--by", "group", "--json")
    assert code == 0, err
    assert [(row["group"], row["n"]) for row in json.loads(out)["groups"]] == [
        ("g1", 12),
        ("g2", 12),
        ("g0", 11),
        (None, 1),
    ]
    for column, said, exit_code in (("x", "give one per sequence", 3), ("label", "give another column", 2)):
        code, _, err = recurra("evaluate", "m", "long.csv", "--by", column)
        assert (code, said in err) == (exit_code, True), err
