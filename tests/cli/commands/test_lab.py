"""`recurra lab`: tables, JSON, pictures, a user's own data, and clear messages before anything runs."""

from __future__ import annotations

import json
import sys

import pytest

from recurra.cells import registry

QUICK = ("--lags", "10", "--cells", "gru", "--quick")


def test_vanishing_as_a_table(recurra, tmp_path):
    code, out, err = recurra("lab", "vanishing", *QUICK)
    assert code == 0
    assert "GRU" in out
    assert "verdict" in out
    assert "parameters)" in err
    assert "written: vanishing.png" in err
    assert (tmp_path / "vanishing.png").read_bytes().startswith(b"\x89PNG")


def test_vanishing_for_machines(recurra, tmp_path):
    picture = tmp_path / "a.svg"
    code, out, _ = recurra("lab", "vanishing", *QUICK, "--json", "--out", picture, "--steps", 20, "--seed", 3)
    found = json.loads(out)
    assert code == 0
    assert [row["lag"] for row in found["rows"]] == [10]
    assert found["settings"]["steps"] == 20
    assert found["settings"]["seed"] == 3
    assert {curve["when"] for curve in found["curves"]} == {"start", "trained"}
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_a_cell_of_a_users_own(recurra, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registry, "_registered", {})
    own = "from recurra.cells import GRU\n\nclass Own(GRU):\n    name = 'own_of_lab'\n"
    (tmp_path / "own_cell_of_lab.py").write_text(own)
    arguments = ("--lags", "10", "--cell", "rnn,own_cell_of_lab:Own", "--quick", "--steps", 2)
    code, out, _ = recurra("lab", "vanishing", *arguments, "--json")
    assert code == 0
    assert [row["cell"] for row in json.loads(out)["rows"]] == ["RNN", "OWN_OF_LAB"]


def test_order_of_a_users_own(recurra, tmp_path):
    rows = "".join(f"{'a b c' if i % 2 else 'c b a'},{i % 2}\n" for i in range(40))
    (tmp_path / "mine.csv").write_text("text,label\n" + rows)
    own = ("--data", "mine.csv", "--test", "mine.csv", "--input", "text", "--target", "label")
    code, out, err = recurra("lab", "order", *own, "--epochs", 1, "--hidden-size", 4, "--json")
    assert (code, "mine.csv: 40 rows" in err) == (0, True)
    assert {row["n"] for row in json.loads(out)["rows"]} == {40}


def test_both_directions_of_a_users_own(recurra, tmp_path):
    (tmp_path / "mine.txt").write_text("the cat drinks milk\nthe dog eats meat\n" * 10)
    given = ("--data", "mine.txt", "--epochs", 1, "--hidden-size", 4, "--json")
    code, out, _ = recurra("lab", "bidirectional", *given)
    assert code == 0
    assert json.loads(out)["settings"]["texts"] == 16


def test_capacity_of_a_users_own(recurra, tmp_path):
    (tmp_path / "mine.txt").write_text("the cat drinks milk\nthe dog eats meat\n" * 30)
    given = ("--data", "mine.txt", "--parameters", "2000,3000", "--cells", "gru", "--quick", "--json")
    code, out, _ = recurra("lab", "capacity", *given)
    assert code == 0
    assert [round(row["parameters"], -3) for row in json.loads(out)["rows"]] == [2000, 3000]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("vanishing", "--lags", "ten"), 2, "--lags takes whole numbers"),
        (("vanishing", "--lags", "5"), 2, "10 steps or more"),
        (("vanishing", "--problem", "sum"), 2, "adding, copy, order, all"),
        (("vanishing", "--out", "a.gif"), 2, ".png, .svg, .pdf"),
        (("vanishing", "--out", "none/a.png"), 3, "there is no folder none"),
        (("order", "--input", "text"), 2, "--input goes with --data"),
        (("order", "--data", "none.csv", "--input", "a", "--target", "b"), 3, "none.csv"),
        (("capacity", "--data", "none.txt"), 3, "none.txt"),
        (("bidirectional", "--test", "a.txt"), 2, "--test goes with --data"),
        (("vanishing", "--cell", "none_here:Own"), 2, "--cells: 'none_here' cannot be imported: ModuleNotFoundError"),
        (("order", "--cell", "json:Own"), 2, "--cell: the module 'json' has no cell 'Own'; it has no cells"),
        (
            ("capacity", "--cells", "recurra.cells.gru:Own"),
            2,
            "'recurra.cells.gru' has no cell 'Own'; its cells are GRU",
        ),
    ],
)
def test_clear_messages(recurra, arguments, code, words):
    found, out, err = recurra("lab", *arguments)
    assert (found, out) == (code, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vanishing", "order", "capacity", "bidirectional"])
def test_every_experiment_has_a_small_version(recurra, tmp_path, name):
    code, out, err = recurra("lab", name, "--quick")
    assert code == 0
    assert len(out.splitlines()) > 5
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert "\r" not in err
