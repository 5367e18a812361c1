"""Old names of parameters and attributes work with a warning."""

from __future__ import annotations

import inspect
import json
import warnings

import pytest
from sklearn.base import clone

import recurra
from recurra import SequenceClassifier

WARNING = "watch is now health_checks$"


def test_the_old_keyword_sets_the_parameter():
    with pytest.warns(DeprecationWarning, match=WARNING) as found:
        model = SequenceClassifier(watch=True, epochs=1)  # type: ignore[call-arg]
    assert found[0].filename == __file__
    assert (model.health_checks, model.epochs) == (True, 1)
    with pytest.warns(DeprecationWarning, match=WARNING):
        model.set_params(watch=False)
    assert model.health_checks is False
    with pytest.raises(TypeError, match="unexpected keyword argument 'wotch'"):
        SequenceClassifier(wotch=True)  # type: ignore[call-arg]


def test_the_old_attributes_are_the_new_ones():
    model = SequenceClassifier()
    with pytest.warns(DeprecationWarning, match=WARNING):
        model.watch = True
    with pytest.warns(DeprecationWarning, match=WARNING):
        assert model.watch is model.health_checks is True
    model.health_checks_ = [{"dead": 0.0}]
    with pytest.warns(DeprecationWarning, match="watch_ is now health_checks_$"):
        assert model.watch_ == [{"dead": 0.0}]


def test_only_the_new_name_is_a_parameter():
    model = SequenceClassifier(health_checks=True)
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["health_checks"] is True
    assert "watch" not in model.get_params()
    parameters = list(inspect.signature(SequenceClassifier).parameters)
    assert parameters[0] == "cell"
    assert "health_checks" in parameters


def test_a_folder_with_the_old_name_loads_without_a_warning(tmp_path):
    options = {"epochs": 1, "hidden_size": 4, "health_checks": True, "verbose": 0}
    model = SequenceClassifier(**options).fit(["a", "b"] * 8, [0, 1] * 8)
    model.save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    content = json.loads(config.read_text())
    content["params"]["watch"] = content["params"].pop("health_checks")
    config.write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = recurra.load(tmp_path / "model")
    assert loaded.health_checks is True
    assert loaded.health_checks_ == model.health_checks_
