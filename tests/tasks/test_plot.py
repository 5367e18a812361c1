"""What a notebook shows of a fitted estimator: learning curve, confusion matrix and tables."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError

QUICK = {"hidden_size": 4, "epochs": 2, "verbose": 0}
TEXTS, LABELS = ["ab", "cd", "ef"] * 20, ["x", "y", "<z>"] * 20


@pytest.fixture(scope="module")
def model():
    return SequenceClassifier(**QUICK).fit(TEXTS, LABELS)


def test_learning_curve_and_confusion_matrix(model, tmp_path):
    figure = model.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "validation score", "true class"]
    assert figure._repr_png_().startswith(b"\x89PNG")
    matrix = np.array(model.metrics_["confusion_matrix"])
    assert matrix.sum() == sum(row["n"] for row in model.metrics_["classes"])
    model.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    assert loaded.metrics_["confusion_matrix"] == matrix.tolist()
    assert len(loaded.plot().axes) == 3


def test_without_validation_data_there_is_the_loss_only():
    model = SequenceRegressor(**QUICK, validation_fraction=0).fit(np.zeros((6, 3, 1)), np.arange(6.0))
    assert [axes.get_ylabel() for axes in model.plot().axes] == ["loss"]
    model.history_.clear()
    with pytest.raises(UsageError, match="no learning curve"):
        model.plot()


def test_tables_of_a_notebook(model, tmp_path):
    assert model.history_ == list(model.history_)
    assert model.history_._repr_html_().count("<tr>") == 3
    model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").history_._repr_html_() == model.history_._repr_html_()
    trace = recurra.trace(model, TEXTS[:2])
    assert "encoder.recurrent" in trace._repr_html_()
    assert "Health of Sequence classifier" in recurra.inspect.health(model, TEXTS, LABELS)._repr_html_()
    found = recurra.inspect.attribute(model, TEXTS[:3])
    assert found._repr_html_().count("<span") == 3
    assert "<z>" not in found._repr_html_()
    assert "<table>" in recurra.gradient_reach(model, TEXTS[:3])._repr_html_()
