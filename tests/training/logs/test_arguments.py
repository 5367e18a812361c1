"""The forms of the arguments `logger` and `callbacks`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from sklearn.base import clone

import recurra
from recurra import SequenceClassifier
from recurra.errors import ModelFolderError, UsageError
from recurra.training.logs.arguments import Named, callbacks_of, kinds_of, loggers_of

X = [np.random.default_rng(i).normal(size=(3, 2)) for i in range(60)]
Y = [int(x.sum() > 0) for x in X]


def classifier(**params: Any) -> SequenceClassifier:
    return SequenceClassifier(hidden_size=4, epochs=3, validation_fraction=0.2, verbose=0, **params)


def test_forms_of_loggers(tmp_path):
    own = CSVLogger(tmp_path)
    assert loggers_of(None) == []
    assert loggers_of("csv") == [Named("csv")]
    assert loggers_of(("wandb", own, "csv=a=b")) == [Named("wandb"), own, Named("csv", "a=b")]
    assert kinds_of(["mlflow=http://me:secret@host", own]) == ["mlflow", "CSVLogger"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "tensorbord",
            "logger is one of tensorboard, mlflow, wandb, csv, not 'tensorbord', did you mean \"tensorboard\"",
        ),
        ("csv=", "not 'csv='"),
        (["csv", "csv=here"], "the logger csv is given twice"),
        (3, "logger: builtins.int is not one of tensorboard, mlflow, wandb, csv, or a logger of pytorch_lightning"),
        ([Callback()], "logger: pytorch_lightning.callbacks.callback.Callback is not one of"),
    ],
)
def test_wrong_loggers(given, message):
    with pytest.raises(UsageError) as error:
        classifier(logger=given).fit(X, Y)
    assert message in str(error.value)


def test_wrong_callbacks(monkeypatch):
    with pytest.raises(UsageError, match=r"callbacks: builtins.str is not callbacks of pytorch_lightning.callbacks$"):
        callbacks_of("EarlyStopping")
    with pytest.raises(UsageError, match="callbacks cannot write checkpoints; use the argument checkpoint of fit"):
        callbacks_of([ModelCheckpoint()])
    other = type("EarlyStopping", (), {"__module__": "lightning.pytorch.callbacks"})()
    with pytest.raises(UsageError, match=r"\(classes of the package lightning are different\)"):
        callbacks_of(other)


def test_callbacks_see_the_metrics_and_are_not_saved(tmp_path):
    class Watch(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.seen.append(float(trainer.callback_metrics["valid_loss"]))

    watch = Watch()
    model = classifier(callbacks=[watch, EarlyStopping("valid_loss", patience=1, min_delta=10.0)]).fit(X, Y)
    assert model.n_iter_ == 2  # of 3
    assert watch.seen == pytest.approx([row["valid_loss"] for row in model.history_], rel=1e-6)
    model.save(tmp_path / "m")
    assert "| callbacks | Watch, EarlyStopping |" in (tmp_path / "m" / "README.md").read_text()
    assert recurra.load(tmp_path / "m").callbacks is None


def test_estimators_with_loggers_are_copied(tmp_path):
    for model in (classifier(logger=["csv"]), classifier(logger=CSVLogger(tmp_path), callbacks=EarlyStopping("loss"))):
        copied, read = clone(model), pickle.loads(pickle.dumps(model))  # noqa: S301
        assert model.get_params()["logger"] is model.logger
        assert kinds_of(copied.logger) == kinds_of(read.logger) == kinds_of(model.logger)


def test_a_model_folder_with_loggers_is_damaged(tmp_path):
    classifier().fit(X, Y).save(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    text = config.read_text()
    assert '"logger"' not in text
    config.write_text(text.replace('"params": {', '"params": {"logger": "nothing",', 1))
    with pytest.raises(ModelFolderError, match="logger is one of"):
        recurra.load(tmp_path / "m")
