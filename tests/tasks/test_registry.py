"""The registry is the one list of tasks, and a task from outside the package needs one line in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import recurra
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.errors import ModelFolderError, UsageError
from recurra.tasks import Estimator, registry
from recurra.tasks.fitting import Prepared
from recurra.tasks.registry import Task


# --8<-- [start:task]
class StepCounter(nn.Module):
    """Estimates a number from the length of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, lengths):
        return self.scale * lengths


class LengthObjective:
    """Squared error."""

    watch, watch_greater, perfect = "loss", False, None

    def loss(self, network, batch):
        errors = (network(batch.lengths) - batch.targets) ** 2
        return errors.sum(), torch.tensor(float(len(errors)))

    def observe(self, network, batch):
        return tuple(map(float, self.loss(network, batch)))

    def figures(self, observed):
        return {"loss": sum(o[0] for o in observed) / sum(o[1] for o in observed)}


class LengthRegressor(Estimator):
    """A whole task in one class: a number that grows with the length of a sequence."""

    task = "toy-length"

    def fit(self, X, y, *, validation_data=None, checkpoint=None, checkpoint_minutes=10.0, resume=False):
        return self._fit(
            X,
            y,
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
        )

    def _prepare(self, X, y, *, validation_data, seed, checkpoint):
        store = SequenceStore.build([[np.asarray(x, np.float32)[:, None] for x in X]])
        batches = Batches(store, targets=torch.tensor(y), batch_size=self.batch_size, shuffle=True, seed=seed)
        return Prepared(batches, None, {"sequences": len(X)})

    def predict(self, X):
        batches = Batches.of_list([np.asarray(x, np.float32)[:, None] for x in X], batch_size=8)
        found = self._run(batches, lambda network, batch: network(batch.lengths).tolist())
        return [found[row] for row in range(len(X))]

    def _build(self):
        return StepCounter()

    def _objective(self):
        return LengthObjective()

    def _state(self):
        return {}, {}

    def _load_state(self, config, files):
        pass

    def _card_info(self):
        return "series", "[[1.0, 2.0]]"


# --8<-- [end:task]


# --8<-- [start:register]
TOY = Task("toy-length", f"{__name__}:LengthRegressor", "Length regressor")
# --8<-- [end:register]


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    registry.register(TOY)


def test_a_task_from_outside_fits_saves_and_loads(toy, tmp_path):
    X = [[0.0] * n for n in range(1, 9)] * 8
    model = LengthRegressor(epochs=20, batch_size=8, learning_rate=0.1, verbose=0, n_iter_no_change=None)
    model.fit(X, [2.0 * len(x) for x in X])
    assert model.predict([[0.0] * 5]) == pytest.approx([10], abs=0.5)
    model.save(tmp_path / "model")
    assert "# Length regressor: model" in (tmp_path / "model" / "README.md").read_text()
    loaded = recurra.load(tmp_path / "model")
    assert isinstance(loaded, LengthRegressor)
    assert loaded.predict(X) == model.predict(X)
    assert recurra.tasks.ESTIMATORS["toy-length"] is LengthRegressor
    registry._TASKS.pop("toy-length")
    with pytest.raises(ModelFolderError, match="the task 'toy-length', which this version does not know"):
        recurra.load(tmp_path / "model")


def test_names_are_unique(toy):
    registry.register(TOY)  # again
    with pytest.raises(UsageError, match=r"'tag' is taken by \.tag"):
        registry.register(TOY._replace(name="tag"))
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
