"""Search spaces are declared with the parameters, and `--search` changes them."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Forecaster, SequenceClassifier
from recurra.errors import UsageError
from recurra.tasks import ESTIMATORS
from recurra.tasks.tuning import Range
from recurra.tasks.tuning.space import check_search, declared, parse_search


@pytest.mark.parametrize("estimator", ESTIMATORS.values())
def test_every_declared_value_is_accepted_by_its_parameter(estimator):
    space = declared(estimator)
    assert {"cell", "hidden_size", "num_layers", "dropout", "learning_rate", "batch_size"} <= space.keys()
    assert check_search(estimator(), space) == space
    known = estimator().get_params()
    outside = [name for name, search in space.items() if known[name] is not None and known[name] not in search]
    assert outside == []


def test_series_have_no_parameters_of_texts():
    texts = SequenceClassifier()._search_space(["good", "bad"], ["a", "b"])
    series = SequenceClassifier()._search_space([np.zeros((3, 1))] * 2, ["a", "b"])
    assert texts.keys() - series.keys() == {"tokens", "vocab_size", "embedding_size", "token_dropout"}
    assert SequenceClassifier()._search_defaults([np.zeros((3, 1))] * 2, ["a", "b"])["pooling"] == "max"


def test_contexts_fit_into_the_series():
    assert Forecaster(horizon=10)._search_space(np.zeros(200))["context"] == (None, 20, 40, 80)
    assert "context" not in Forecaster(horizon=10)._search_space(np.zeros(30))


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("hidden_size=64,128", (64, 128)),
        ("hidden-size=64..128", Range(64, 128)),
        ("layers=1,2", (1, 2)),
        ("learning_rate=1e-4..1e-2:log", Range(1e-4, 1e-2, log=True)),
        ("dropout=0..1e-1", Range(0.0, 0.1)),
        ("bidirectional=true,false", (True, False)),
        ("pooling=max,none", ("max", None)),
    ],
)
def test_options_are_parsed(text, search):
    (found,) = parse_search(SequenceClassifier(), [text]).values()
    assert found == search
    assert (
        [type(end) for end in vars(found).values()] == [type(end) for end in vars(search).values()]
        if (isinstance(search, Range))
        else list(map(type, found)) == list(map(type, search))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden_size=64", 'there is no such parameter, did you mean "hidden_size"'),
        ("hidden_size", "NAME=A,B,C"),
        ("hidden_size=", "NAME=A,B,C"),
        ("hidden_size=0,64", "hidden_size must be at least 1, got 0"),
        ("hidden_size=64..many", "must be a number, got 'many'"),
        ("hidden_size=64..32", "must be below the second"),
        ("dropout=0.5..1.5", r"dropout must lie in \[0, 1\), got 1.5"),
        ("learning_rate=0..1:log", "must be positive, got 0.0|must begin above 0"),
        ("learning_rate=0.1..1:lg", "LOW..HIGH or LOW..HIGH:log"),
        ("cell=lstm,gruu", "gruu"),
        ("cell=a..b", "has no range"),
        ("bidirectional=maybe", "true or false"),
        ("device=cpu,cuda", "cannot be compared"),
        ("seed=1,2", "cannot be compared"),
    ],
)
def test_errors_are_clear(text, message):
    with pytest.raises(UsageError, match=message):
        parse_search(SequenceClassifier(), [text])


@pytest.mark.parametrize("values", [5, {"a": 1}, [object()], []])
def test_values_of_python_are_checked(values):
    with pytest.raises(UsageError, match=r"hidden_size|values to try"):
        check_search(SequenceClassifier(), {"hidden_size": values})
