"""A search finds a model, compares it with the defaults, and keeps to its limits."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import recurra
from recurra import Forecaster, LanguageModel, SequenceClassifier, Translator
from recurra.errors import DataError, UsageError
from recurra.tasks.tuning.parts import DIVISIONS, cut_rows
from recurra.tasks.tuning.result import counts, table

WORDS = ("good", "bad", "film", "very", "plot")
SEARCH = {"hidden_size": [2, 4], "learning_rate": "0.001..0.05:log"}
TINY: dict[str, Any] = {"tokens": "word", "embedding_size": 4, "epochs": 3, "batch_size": 32, "verbose": 0}


def texts(count: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(0)
    some = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(count)]
    return some, ["pos" if text.count("good") >= text.count("bad") else "neg" for text in some]


def tuned(count: int = 600, **options: Any) -> SequenceClassifier:
    return SequenceClassifier(**TINY).tune(*texts(count), **{"trials": 3, "search": SEARCH, "workers": 1} | options)


@pytest.fixture(scope="module")
def found():
    return tuned()


def test_the_first_trial_has_the_defaults(found):
    trials = found.tuning_["trials"]
    assert [row["trial"] for row in trials] == [0, 1, 2]
    assert (trials[0]["params"]["hidden_size"], trials[0]["params"]["learning_rate"]) == (128, 2e-3)
    assert all(row["params"]["hidden_size"] in (2, 4) for row in trials[1:])
    assert not {"tokens", "embedding_size", "epochs", "batch_size"} & found.tuning_["space"].keys()


def test_the_estimator_is_the_best_trial(found):
    tuning = found.tuning_
    values = {row["trial"]: row["value"] for row in tuning["trials"] if row["state"] == "complete"}
    assert tuning["validation"] == {"best": max(values.values()), "defaults": values[0]}
    assert values[tuning["best"]] == max(values.values())
    assert found.hidden_size == tuning["params"]["hidden_size"]
    assert found.metrics_["valid"]["accuracy"] == tuning["validation"]["best"]
    assert found.verbose == 0


def test_the_test_data_are_not_in_the_other_parts():
    X, y = texts(600)
    parts = SequenceClassifier()._search_parts(([f"{text} {i}" for i, text in enumerate(X)], y), None, None, 0)
    ((train, valid),) = parts.divisions
    sets = [set(part[0].rows) for part in (train, valid, parts.test)]
    assert list(map(len, sets)) == [486, 54, 60]
    assert len(set.union(*sets)) == 600
    assert parts.whole is None


def test_few_items_are_divided_several_ways():
    model = tuned(100, trials=2)
    parts = SequenceClassifier()._search_parts(texts(100), None, None, 0)
    assert [len(train[0]) for train, _ in parts.divisions] == [64] * DIVISIONS
    assert len(parts.whole[0]) == 80
    assert model.tuning_["trials"][0]["epochs"] == 3 * DIVISIONS
    assert model.data_["sequences"] + model.data_["validation sequences"] == 80


def test_the_same_seed_gives_the_same_search(found):
    def rows(model):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in model.tuning_["trials"]]

    again = tuned()
    assert rows(again) == rows(found)
    assert again.tuning_["test"] == found.tuning_["test"]


def test_given_data_are_used():
    X, y = texts(200)
    model = tuned(60, trials=1, validation_data=(X[:90], y[:90]), test_data=(X[90:], y[90:]))
    assert model.data_["sequences"] == 60
    assert model.data_["validation sequences"] == 90
    assert model.tuning_["test"]["best"]["accuracy"] == pytest.approx(model.evaluate(X[90:], y[90:])["accuracy"])
    assert model.tuning_["verdict"] == "The search found nothing better than the defaults."


def test_the_card_and_the_folder_record_the_search(found, tmp_path):
    found.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"## Search of parameters\n\n3 trials in \d\.\d minutes\. Data: 60 items", card)
    assert "| learning_rate | 0.001..0.05:log | " in card
    assert recurra.load(tmp_path / "model").tuning_["trials"] == found.tuning_["trials"]


def test_the_table_shows_the_best_first(found):
    columns, rows = table(found.tuning_)
    assert columns[:2] == ["trial", "validation accuracy"]
    assert [float(row[1]) for row in rows[:-1]] == sorted((float(row[1]) for row in rows[:-1]), reverse=True)
    assert sum(row[-1] == "defaults" for row in rows) == 1
    assert counts(found.tuning_).startswith("3 trials: ")


def test_a_folder_continues_a_search(tmp_path):
    tuned(trials=2, folder=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {"journal.log", "tune.png", "trial-0"}
    with pytest.raises(UsageError, match="contains an earlier search"):
        tuned(trials=3, folder=tmp_path)
    with pytest.raises(UsageError, match="cannot be continued, because these are different: data"):
        tuned(700, trials=3, folder=tmp_path, resume=True)
    again = tuned(trials=3, folder=tmp_path, resume=True)
    assert [row["trial"] for row in again.tuning_["trials"]] == [0, 1, 2]


def test_the_time_limit_gives_at_least_the_defaults():
    begin = time.monotonic()
    model = tuned(trials=None, minutes=1e-3, search={**SEARCH, "epochs": [100_000]})
    assert time.monotonic() - begin < 30
    assert model.tuning_["defaults"] == 0
    assert model.predict(["good"]).shape == (1,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0}, "minutes must be a positive number, got 0"),
        ({"trials": 1.5}, "trials must be a positive number, got 1.5"),
        ({"workers": True}, "workers must be a positive number"),
        ({"search": {"hiden_size": [1]}}, "no such parameter"),
        ({"checkpoint": "folder"}, "checkpoints are not for trials"),
        ({"time": "date"}, "the arguments do not fit this task: got an unexpected keyword argument 'time'"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(UsageError, match=message):
        tuned(100, **options)


def test_the_error_of_the_first_trial_ends_the_search():
    X, _ = texts(600)
    with pytest.raises(DataError, match="the target has only one class"):
        SequenceClassifier(**TINY).tune(X, ["same"] * len(X), trials=50, workers=1)


def test_some_trials_may_fail():
    model = tuned(search={**SEARCH, "learning_rate": [1e38]}, trials=2)
    assert [row["state"] for row in model.tuning_["trials"]] == ["complete", "failed"]
    assert "smaller learning rate" in model.tuning_["trials"][1]["error"]


def test_a_running_text_is_cut_at_its_end():
    text = "".join(f"line {i}\n" for i in range(2000))
    parts = LanguageModel()._search_parts((text,), None, None, 0)
    ((train, valid),) = parts.divisions
    assert train[0] + valid[0] + parts.test[0] == text
    assert parts.test[0].startswith("line ")


def test_translations_of_a_source_stay_together():
    X, y = [f"text {i % 300}" for i in range(600)], [f"other {i}" for i in range(600)]
    parts = Translator()._search_parts((X, y), None, None, 0)
    for train, valid in parts.divisions:
        assert not set(parts.test[0]) & {*train[0], *valid[0]}
        assert not set(train[0]) & set(valid[0])


def test_series_are_cut_by_time():
    y = np.sin(np.arange(300) * 2 * np.pi / 12)
    model = Forecaster(horizon=6, hidden_size=4, epochs=2, verbose=0).tune(y, trials=2, workers=1)
    assert tuple(model.split) == (0.8, 0.1, 0.1)
    assert model.tuning_["metric"] == "loss"
    assert model.evaluate(y)["part"] == "test"
    assert model.tuning_["test"]["best"]["mae"] == pytest.approx(model.evaluate(y)["mae"])
    assert model.predict().shape == (6,)


def test_too_few_items():
    with pytest.raises(DataError, match="cannot be divided"):
        cut_rows((["a"],), np.array([True]))


def test_functions_of_the_estimator_stay(tmp_path):
    own = partial(torch.nn.functional.cross_entropy, reduction="none")
    momentum = partial(torch.optim.SGD, momentum=0.9)
    given = {"trials": 1, "search": SEARCH, "workers": 1, "folder": tmp_path / "search"}
    clf = SequenceClassifier(**TINY, loss=own, optimizer=momentum).tune(*texts(200), **given)
    assert (clf.loss, clf.optimizer) == (own, momentum)
    same = {"loss": partial(own), "optimizer": partial(momentum)}  # other objects with the same names
    again = SequenceClassifier(**TINY, **same).tune(*texts(200), **given, resume=True)
    assert len(again.tuning_["trials"]) == len(clf.tuning_["trials"])
