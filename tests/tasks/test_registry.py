"""The registry is the one list of tasks. A task from outside the package needs one file."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import recurra
from recurra.errors import ModelFolderError, UsageError
from recurra.tasks import registry

X, Y = [[0.0] * n for n in range(1, 9)] * 8, [2.0 * n for n in range(1, 9)] * 8


@pytest.fixture
def toy(monkeypatch):
    """The estimator of the toy task, which is registered for one test."""
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    monkeypatch.delitem(sys.modules, "toy_task", raising=False)
    return import_module("toy_task").LengthRegressor


def test_a_task_from_outside_fits_saves_and_loads(toy, tmp_path):
    options = {"epochs": 40, "batch_size": 8, "learning_rate": 0.05, "hidden_size": 16}
    model = toy(**options, verbose=0, n_iter_no_change=None).fit(X, Y)
    assert model.predict([[0.0] * 5]) == pytest.approx([10], abs=1)
    model.save(tmp_path / "model")
    assert "# Length regressor: model" in (tmp_path / "model" / "README.md").read_text()
    loaded = recurra.load(tmp_path / "model")
    assert isinstance(loaded, toy)
    assert loaded.predict(X) == model.predict(X)
    assert recurra.tasks.ESTIMATORS["toy-length"] is toy
    registry._TASKS.pop("toy-length")
    with pytest.raises(ModelFolderError, match="the task 'toy-length', which this version does not know"):
        recurra.load(tmp_path / "model")


def test_names_are_unique(toy):
    task = registry.find("toy-length")
    registry.register(task)  # again
    with pytest.raises(UsageError, match=r"'tag' is taken by \.tag"):
        registry.register(task._replace(name="tag"))
    with pytest.raises(UsageError, match="there is no task 'fly'; the tasks are classify, regress"):
        registry.find("fly")


@pytest.mark.parametrize("task", registry.BUILT_IN, ids=lambda task: task.name)
def test_every_task_is_public(task):
    estimator = task.load()
    assert estimator.task == task.name
    assert getattr(recurra, task.class_name) is estimator
    assert task.class_name in recurra.__all__
    assert task.class_name in recurra.tasks.__all__


def test_type_checkers_see_the_public_names():
    for module in (recurra.tasks, recurra):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        (block,) = (node for node in tree.body if isinstance(node, ast.If))
        names = {a.asname for node in block.body if isinstance(node, ast.ImportFrom) for a in node.names} - {None}
        names |= {node.target.id for node in block.body if isinstance(node, ast.AnnAssign)}
        if module is recurra:
            names |= set(recurra.tasks.__all__) - {"ESTIMATORS", "Estimator"}  # `from .tasks import *`
        assert sorted(names) == module.__all__


def test_the_list_of_tasks_imports_none():
    code = "import sys, recurra.tasks.registry as r; assert r.tasks(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
