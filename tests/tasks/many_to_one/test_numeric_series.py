"""Classifier and regressor on numeric series: missing values, defaults by kind, models of earlier versions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError

QUICK = {"hidden_size": 12, "epochs": 6, "learning_rate": 0.02, "verbose": 0}


def gaps(n: int = 80, seed: int = 0):
    """Noise whose class is whether values are missing: only a mask can tell."""
    random = np.random.default_rng(seed)
    X = [random.normal(100, 5, size=(random.integers(2, 9), 2)) for _ in range(n)]
    y = np.arange(n) % 2
    for x, label in zip(X, y, strict=True):
        x[random.integers(len(x)) if label else slice(0, 0), 1] = np.nan
    return X, y


@pytest.fixture(scope="module")
def model():
    return SequenceClassifier(**{**QUICK, "epochs": 16}).fit(*gaps())


def test_the_network_sees_what_is_missing(model):
    X, y = gaps(seed=1)
    assert model.score(X, y) > 0.95
    assert model.encoder_.masked.tolist() == [1]
    training = model.data_["sequences"]
    assert 0 < model.data_["missing values"] <= training / 2


def test_saved_and_loaded_models_agree_on_missing_values(model, tmp_path):
    X, _ = gaps(seed=2)
    X.append(np.zeros((0, 2)))
    X.append(np.full((3, 2), np.nan))
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.resolved_params_ == model.resolved_params_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert np.isfinite(model.predict_proba(X)).all()
    alone = np.concatenate([model.predict_proba([x]) for x in X])
    np.testing.assert_allclose(model.predict_proba(X), alone, atol=1e-6)


def stop_after(epochs):
    """In the place of a callback: saves the run, and breaks off after some epochs."""

    def save(self, trainer, pl_module):
        self.save(trainer)
        if trainer.current_epoch + 1 == epochs:
            raise InterruptedError

    return save


def test_same_seed_same_model_and_a_resumed_run_too(tmp_path, monkeypatch):
    X, y = gaps(40)
    runs = [SequenceClassifier(**QUICK, random_state=3).fit(X, y) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr("recurra.training.callbacks.SaveRun.on_train_epoch_end", stop_after(3))
        with pytest.raises(InterruptedError):
            SequenceClassifier(**QUICK, random_state=3).fit(X, y, checkpoint=tmp_path)
    resumed = SequenceClassifier(**QUICK, random_state=3).fit(X, y, checkpoint=tmp_path, resume=True)
    assert resumed.resumed_
    for other in (runs[1], resumed):
        for name, weights in runs[0].network_.state_dict().items():
            np.testing.assert_array_equal(weights, other.network_.state_dict()[name])
    other = SequenceClassifier(**QUICK, random_state=4).fit(X, y)
    assert other.predict_proba(X).tolist() != runs[0].predict_proba(X).tolist()


def test_defaults_depend_on_the_kind_and_what_is_given_stays():
    texts = SequenceClassifier(**{**QUICK, "epochs": 1}).fit(["a b", "b c"] * 20, [0, 1] * 20)
    series = SequenceClassifier(**{**QUICK, "epochs": 1}, pooling="mean", dropout=0.0).fit(*gaps(40))
    assert texts.resolved_params_ == SequenceClassifier.defaults["text"]
    with pytest.warns(DeprecationWarning, match="chosen_ is now resolved_params_"):
        assert texts.chosen_ == texts.resolved_params_
    few = {**SequenceClassifier.defaults["series"], "validation_fraction": 0.0}
    assert series.resolved_params_ == {**few, "pooling": "mean", "dropout": 0.0}
    assert series.data_["validation sequences"] == 0
    X = np.zeros((500, 1, 1))
    many = SequenceClassifier(**{**QUICK, "epochs": 1, "batch_size": 250}).fit(X, np.arange(500) % 2)
    assert many.data_["validation sequences"] == 50
    numbers = SequenceRegressor(**{**QUICK, "epochs": 1, "batch_size": 250}).fit(X[:100], np.arange(100.0))
    assert numbers.data_["validation sequences"] == 20
    assert texts.get_params()["pooling"] is None
    assert SequenceRegressor.defaults["text"]["dropout"] == 0.1


def test_models_of_earlier_versions_load(model, tmp_path):
    X, y = gaps()
    X = [np.nan_to_num(x, nan=100.0) for x in X]
    whole = SequenceClassifier(**QUICK).fit(X, y)
    whole.save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    config["params"] |= config.pop("chosen")  # every parameter had a value of its own
    del config["encoder"]["masked"]
    path.write_text(json.dumps(config))
    np.testing.assert_array_equal(recurra.load(tmp_path / "m").predict_proba(X), whole.predict_proba(X))


def test_infinite_values_are_refused(model):
    X, y = gaps(10)
    X[7][1, 0] = np.inf
    with pytest.raises(DataError, match=r"X\[7\], step 1, feature 0 is inf") as error:
        SequenceClassifier(**QUICK).fit(X, y)
    assert error.value.row == 7
    with pytest.raises(DataError, match=r"X\[7\]"):
        model.predict(X)


def test_scaling_is_fitted_on_the_training_part_only():
    X, y = gaps(40)
    X = [np.nan_to_num(x) for x in X]
    far = [x + 1e6 for x in X]
    model = SequenceClassifier(**{**QUICK, "epochs": 1}).fit(X, y, validation_data=(far, y))
    alone = SequenceClassifier(**{**QUICK, "epochs": 1, "validation_fraction": 0.0}).fit(X, y)
    np.testing.assert_array_equal(model.encoder_.mean, alone.encoder_.mean)


def test_order_test_and_the_cell_without_memory():
    random = np.random.default_rng(0)
    X = [np.sort(random.normal(size=12)) * (1 if i % 2 else -1) for i in range(200)]  # rises or falls
    y = np.arange(200) % 2
    model = SequenceClassifier(**{**QUICK, "epochs": 8}).fit(X, y)
    found = model.order_test(X, y)
    assert found["in order"]["accuracy"] > 0.95
    assert found["shuffled"]["accuracy"] < 0.75
    assert found["sentence"].startswith("The order of the steps matters to this model: accuracy is ")
    memoryless = SequenceClassifier("none", **{**QUICK, "epochs": 8}).fit(X, y)
    assert memoryless.score(X, y) < 0.75
    assert "does not clearly matter to this model" in memoryless.order_test(X, y)["sentence"]
    assert memoryless.order_test(X[:3], y[:3])["sentence"].endswith(
        "(too few sequences to tell). Compare with cell none."
    )
