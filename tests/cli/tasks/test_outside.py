"""A task from outside the package has all commands: by `--import`, or as an entry point of an installed package."""

from __future__ import annotations

import json
import sys
import warnings

import pytest

from recurra.tasks import registry

X, Y = [[0.0] * n for n in range(1, 9)] * 8, [2.0 * n for n in range(1, 9)] * 8
OPTIONS = ["--epochs=40", "--batch-size=8", "--learning-rate=0.05", "--hidden-size=16", "--valid=data.jsonl"]


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """Neither imported nor registered yet."""
    monkeypatch.setattr(registry, "_TASKS", {task.name: task for task in registry.BUILT_IN})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "toy_task", raising=False)


def use_commands(run, folder, *options: str) -> None:
    """Trains, measures and inspects a model of the toy task on the command line."""
    rows = [json.dumps({"x": x, "y": y}) for x, y in zip(X, Y, strict=True)]
    (folder / "data.jsonl").write_text("\n".join(rows))
    columns = ["--input", "x", "--target", "y"]
    code, _, err = run(*options, "fit", "toy-length", "data.jsonl", *columns, *OPTIONS)
    assert (code, "model saved to model" in err) == (0, True), err
    code, out, err = run(*options, "evaluate", "model", "data.jsonl", "--order-test", "--json")
    assert (code, err.count("data.jsonl")) == (0, 1), err
    found = json.loads(out)
    assert found["n"] == len(X)
    assert found["loss"] == found["order_test"]["in order"]["loss"] < 1
    code, out, _ = run(*options, "predict", "model", "data.jsonl")
    assert json.loads(out.splitlines()[4]) == {"row": 5, "steps": pytest.approx(10, abs=1)}
    assert run(*options, "predict", "model", "data.jsonl", "--top", "2")[0] == 2  # does not fit the task
    code, out, _ = run(*options, "inspect", "model", "data.jsonl", "--row", "5", "--out", "page.html", "--json")
    assert (code, json.loads(out)["answer"][-6:]) == (0, " steps")
    assert len(json.loads(out)["layers"]) == 6  # four gates and two states
    assert "Length regressor" in (folder / "page.html").read_text()
    code, _, err = run(*options, "embed", "model", "data.jsonl")
    assert (code, "a length regressor gives no vectors: it has no transform" in err) == (2, True)


def test_import_makes_a_task_known(recurra, tmp_path):
    code, out, err = recurra("fit", "toy-length")
    assert (code, "No such command 'toy-length'" in err) == (2, True)
    use_commands(recurra, tmp_path, "--import", "toy_task")
    code, out, _ = recurra("--import", "toy_task", "fit", "--help")
    assert (code, "Train a regressor of lengths." in out) == (0, True)
    registry._TASKS.pop("toy-length")
    code, _, err = recurra("predict", "model", "data.jsonl")
    assert (code, "recurra --import MODULE" in err) == (4, True)


def test_import_searches_the_current_folder(recurra, tmp_path):
    (tmp_path / "own_cells.py").write_text("import recurra\nFOUND = True\n")
    assert recurra("--import", "own_cells", "--import=json", "lab", "--help")[0] == 0
    assert sys.modules.pop("own_cells").FOUND
    code, _, err = recurra("--import", "no_such_module", "lab")
    assert (code, "--import no_such_module failed: ModuleNotFoundError" in err) == (2, True)


def install(folder, *entries: str) -> None:
    """Makes entry points known, as an installed package does."""
    (folder / "toy-1.dist-info").mkdir()
    (folder / "toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (folder / "toy-1.dist-info" / "entry_points.txt").write_text("\n".join(["[recurra.tasks]", *entries]))


def test_installed_packages_make_tasks_known(recurra, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "toy-length = toy_task:TASK", "broken = no_such_module:TASK")
    monkeypatch.syspath_prepend(tmp_path / "site")
    use_commands(recurra, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = recurra("fit", "--help")
    assert (code, "Train a regressor of lengths." in out) == (0, True)
    assert "warning: the task 'broken' (no_such_module:TASK) cannot be used: No module" in err
