"""Losses and metrics of users."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, fbeta_score, mean_absolute_error

import recurra
from killing import killed_after
from recurra import Forecaster, SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError

X = np.random.default_rng(0).normal(size=(60, 4, 1))
LABELS = np.where(X.sum((1, 2)) > 0.5, "up", "down")
NUMBERS = 7 + 3 * X.sum((1, 2))
QUICK: dict[str, Any] = {"hidden_size": 4, "epochs": 2, "batch_size": 16, "verbose": 0, "validation_fraction": 0.2}


def quantile(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    error = target - output
    return torch.maximum(0.9 * error, -0.1 * error)


class Largest:
    """A metric as those of torchmetrics: the largest error."""

    def reset(self) -> None:
        self.found = torch.zeros(())

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        self.found = torch.maximum(self.found, (preds - target).abs().max())

    def compute(self) -> torch.Tensor:
        return self.found


def weights(model: Any) -> list[np.ndarray]:
    return [value.numpy() for value in model.network_.state_dict().values()]


def same(one: Any, other: Any) -> bool:
    return all(map(np.array_equal, weights(one), weights(other)))


def test_the_loss_of_the_task_as_a_function_gives_the_same_bits():
    own = partial(torch.nn.functional.cross_entropy, reduction="none")
    plain = SequenceClassifier(**QUICK).fit(X, LABELS)
    given = SequenceClassifier(**QUICK, loss=own).fit(X, LABELS)
    assert same(plain, given)
    assert given.evaluate(X, LABELS)["loss"] == plain.evaluate(X, LABELS)["loss"]


def test_a_quantile_is_learnt_and_measured():
    given = {**QUICK, "epochs": 30, "learning_rate": 0.03, "dropout": 0.0}
    model = SequenceRegressor(**given, loss=quantile).fit(np.zeros((60, 2, 1)), NUMBERS)
    answer = model.predict(np.zeros((1, 2, 1)))[0]
    assert (answer > NUMBERS).mean() == pytest.approx(0.9, abs=0.06)
    scaled = [(values - model.target_mean_[0]) / model.target_scale_[0] for values in (answer, NUMBERS)]
    expected = quantile(*map(torch.as_tensor, scaled)).mean()
    assert model.evaluate(np.zeros((60, 2, 1)), NUMBERS)["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_functions_as_those_of_sklearn():
    beta = partial(fbeta_score, beta=2, pos_label="up")
    model = SequenceClassifier(**QUICK, metrics={"f2": beta, "balanced": balanced_accuracy_score}).fit(X, LABELS)
    weigh = np.linspace(0.5, 2, 60)
    found = model.evaluate(X, LABELS, weigh)
    predicted = model.predict(X)
    assert found["f2"] == pytest.approx(beta(LABELS, predicted, sample_weight=weigh))
    assert found["balanced"] == pytest.approx(balanced_accuracy_score(LABELS, predicted, sample_weight=weigh))
    assert all("f2" in figures for figures in found["baselines"].values())
    assert {"valid_f2", "valid_balanced"} <= model.history_[0].keys()
    assert model.metrics_["valid"]["f2"] == model.history_[model.best_epoch_ - 1]["valid_f2"]
    plain = SequenceClassifier(**QUICK).fit(X, LABELS)
    assert same(plain, model)


def test_objects_as_those_of_torchmetrics():
    model = SequenceRegressor(**QUICK, metrics=[Largest(), mean_absolute_error]).fit(X, NUMBERS)
    for _ in range(2):  # the object begins anew
        found = model.evaluate(X, NUMBERS)
        assert found["largest"] == pytest.approx(np.abs(model.predict(X) - NUMBERS).max(), rel=1e-5)
        assert found["mean_absolute_error"] == pytest.approx(found["mae"])
    assert clone(model).fit(X, NUMBERS).evaluate(X, NUMBERS)["largest"] == found["largest"]


def test_metrics_of_torchmetrics():
    model = SequenceClassifier(**QUICK, metrics={"area": torchmetrics.AUROC("multiclass", num_classes=2)})
    found = model.fit(X, LABELS).evaluate(X, LABELS)
    assert found["area"] == pytest.approx(found["roc_auc"], rel=1e-6)
    model = SequenceRegressor(**QUICK, metrics=torchmetrics.MeanAbsoluteError()).fit(X, NUMBERS)
    found = model.evaluate(X, NUMBERS)
    assert found["meanabsoluteerror"] == pytest.approx(found["mae"], rel=1e-5)


def test_several_targets():
    several = np.stack([NUMBERS, -NUMBERS], 1)
    model = SequenceRegressor(**QUICK, metrics=mean_absolute_error, loss=quantile).fit(X, several)
    found = model.evaluate(X, several)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(model.predict(X) - several).mean())


def test_networks_that_are_averaged_use_them():
    given = {"hidden_size": 3, "epochs": 1, "members": 2, "verbose": 0, "metrics": [Largest()], "loss": quantile}
    model = SequenceRegressor(**given).fit(X, NUMBERS)
    assert model.evaluate(X, NUMBERS)["largest"] > 0
    assert "valid_largest" in model.history_[0]


def test_a_run_that_was_killed_has_the_same_weights(tmp_path):
    def fit(folder: str, resume: bool) -> Any:
        model = SequenceRegressor(**QUICK, loss=quantile, metrics={"worst": Largest()})
        return model.fit(X, NUMBERS, checkpoint=tmp_path / folder, checkpoint_minutes=0, resume=resume)

    with killed_after(4):
        fit("run", resume=False)
    again, whole = fit("run", resume=True), fit("whole", resume=False)
    assert again.resumed_
    assert same(again, whole)
    timeless = [
        [{k: v for k, v in row.items() if "seconds" not in k and "per" not in k} for row in m.history_]
        for m in (again, whole)
    ]
    assert timeless[0] == timeless[1]


def test_a_loaded_model_says_what_it_lacks(tmp_path):
    model = SequenceRegressor(**QUICK, loss=quantile, metrics=[Largest()]).fit(X, NUMBERS)
    model.save(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "quantile" in card
    with pytest.warns(UserWarning, match=r"trained with loss=.*quantile, metrics=.*Largest, which its folder does not"):
        loaded = recurra.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert "largest" not in loaded.evaluate(X, NUMBERS)
    with pytest.raises(UsageError, match=r"loss is a function, not '.*quantile'\na model folder has only the name"):
        loaded.fit(X, NUMBERS)
    loaded.set_params(loss=quantile, metrics=[Largest()])
    assert loaded.evaluate(X, NUMBERS) == model.evaluate(X, NUMBERS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"loss": lambda output, target: output.sum()},
            r"one value per sequence, \(16,\), but it returned the shape \(\)",
        ),
        ({"loss": lambda output, target: 3.0}, "but it returned float"),
        ({"loss": 3}, "loss is a name or a function, got 3"),
        ({"metrics": [3]}, "metrics is a name or a function, got 3"),
        ({"metrics": {"r2": mean_absolute_error}}, "the task has a metric r2 already"),
        ({"metrics": [Largest(), Largest()]}, "two metrics have the name largest"),
        ({"metrics": {"text": lambda true, found: "much"}}, "the metric text must be one number, not 'much'"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        SequenceRegressor(**QUICK, **given).fit(X, NUMBERS)


def test_the_loss_of_other_tasks_stays_a_choice():
    with pytest.raises(UsageError, match="loss is one of"):
        Forecaster(loss="huge").fit(np.arange(99.0))
