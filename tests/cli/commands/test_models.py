"""`recurra info`, `recurra list` and `recurra compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recurra import SequenceClassifier, SequenceRegressor, SequenceTagger
from recurra.io import Provenance
from recurra.tasks.baselines import chance
from recurra.tasks.comparing import paired_test

TEXTS, LABELS = ["so good", "really bad", "good", "bad film"] * 10, ["yes", "no", "yes", "no"] * 10
SMALL: dict[str, Any] = {"hidden_size": 4, "embedding_size": 4, "verbose": 0, "batch_size": 8}


def saved(estimator: Any, path: Path) -> Path:
    estimator.provenance_ = Provenance(training_file="train.csv", input_column="text", target_column="label")
    estimator.save(path)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Two classifiers that encode texts differently, a regressor, and a file of labelled texts."""
    home = tmp_path_factory.mktemp("models")
    options = {**SMALL, "validation_fraction": 0.2}
    good = SequenceClassifier(tokens="word", epochs=40, learning_rate=0.05, token_dropout=0.0, **options)
    saved(good.fit(TEXTS, LABELS), home / "runs" / "words")
    saved(SequenceClassifier(tokens="char", epochs=1, **options).fit(TEXTS, LABELS), home / "runs" / "old" / "chars")
    saved(SequenceRegressor(epochs=1, **SMALL).fit(TEXTS, range(40)), home / "numbers")
    rows = "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
    (home / "test.csv").write_text("text,label\n" + rows)
    return home


def test_info(recurra, folder):
    code, out, _ = recurra("info", folder / "runs" / "words", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["task"], found["cell"], found["layers"], found["hidden_size"]) == ("classify", "lstm", 1, 4)
    assert found["reads"]["classes"] == ["no", "yes"]
    assert found["training data"]["target column"] == "label"
    assert found["metrics"]["valid"]["accuracy"] == 1.0
    assert found["bytes"] > 4 * found["weights"] > 0
    table = recurra("info", folder / "runs" / "words")[1]
    assert all(word in table for word in ("Sequence classifier", "no, yes", "train.csv", "accuracy 1.0000"))


def test_list(recurra, folder, monkeypatch):
    code, out, _ = recurra("list", folder, "--json")
    found = {row["model"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert list(found) == ["numbers", "runs/old/chars", "runs/words"]
    words = found["runs/words"]
    assert (words["task"], words["metric"], words["value"], words["training_file"]) == (
        *("classify", "accuracy", 1.0, "train.csv"),
    )
    for width in (44, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        table = recurra("list", folder)[1]
        assert "runs/old/chars" in table
        assert "accuracy 1.0000" in table
        assert ("written" in table) == (width == 120)


def test_list_of_damaged_and_foreign_folders(recurra, tmp_path):
    for name, text in (("foreign", '{"task": 1}'), ("broken", "{"), ("bare", '{"format": "recurra", "params": []}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    code, out, _ = recurra("list", "--json")
    assert (code, [json.loads(line)["model"] for line in out.splitlines()]) == (0, ["bare"])
    assert recurra("list")[0] == 0
    assert recurra("list", "foreign")[::2] == (0, "there is no model below foreign\n")
    assert recurra("list", "missing")[0] == 3


def test_compare(recurra, folder):
    models = folder / "runs" / "words", folder / "runs" / "old" / "chars"
    code, out, err = recurra("compare", *models, folder / "test.csv", "--json")
    found = json.loads(out)
    metrics = [json.loads(recurra("evaluate", model, folder / "test.csv", "--json")[1]) for model in models]
    assert code == 0, err
    for model, evaluated in zip(models, metrics, strict=True):
        assert found["metrics"][str(model)].items() <= evaluated.items()
    difference = metrics[0]["accuracy"] - metrics[1]["accuracy"]
    assert found["paired"]["difference"] == pytest.approx(difference)
    assert found["paired"]["low"] < difference < found["paired"]["high"]
    assert found["paired"]["p"] < 0.05
    assert f"{models[0]} is better" in found["sentence"]
    other = json.loads(recurra("compare", *models[::-1], folder / "test.csv", "--json")[1])
    assert other["paired"]["p"] == found["paired"]["p"]
    assert f"{models[0]} is better" in other["sentence"]
    assert "McNemar" in recurra("compare", *models, folder / "test.csv")[2]


def test_compare_refuses_models_of_different_tasks(recurra, folder):
    code, out, err = recurra("compare", folder / "numbers", folder / "runs" / "words", folder / "test.csv")
    assert (code, out) == (2, "")
    assert "for regress" in err


def test_compare_regressors_in_the_unit_of_the_target(recurra, folder, tmp_path):
    other = SequenceRegressor(epochs=1, **SMALL).fit(TEXTS, [1000.0 * n for n in range(40)])
    saved(other, tmp_path / "other")
    rows = "".join(f"{text},{n}\n" for n, text in enumerate(TEXTS))
    (tmp_path / "numbers.csv").write_text("text,label\n" + rows)
    found = json.loads(recurra("compare", folder / "numbers", "other", "numbers.csv", "--json")[1])
    one, two = found["metrics"].values()
    assert found["paired"]["difference"] == pytest.approx(one["mse"] - two["mse"])
    assert "numbers is better" in found["sentence"]


def test_compare_without_a_test(recurra, tmp_path):
    sentences, tags = [["Kim", "eats"], ["Lee", "sees", "Kim"]] * 6, [["B-P", "O"], ["B-P", "O", "B-P"]] * 6
    model = SequenceTagger(hidden_size=4, embedding_size=4, epochs=1, verbose=0).fit(sentences, tags)
    model.save(tmp_path / "a")
    model.save(tmp_path / "b")
    (tmp_path / "test.txt").write_text("Kim B-P\neats O\n\nLee B-P\n")
    code, _, err = recurra("compare", "a", "b", "test.txt")
    assert (code, "There is no test of the difference: f1" in err) == (0, True)


def test_paired_test():
    random = np.random.default_rng(0)
    one, other = (np.stack([random.random(60) < share, np.ones(60)], 1) for share in (0.9, 0.5))
    found = paired_test(one, other)
    assert found is not None
    better, worse = int((one[:, 0] > other[:, 0]).sum()), int((one[:, 0] < other[:, 0]).sum())
    from scipy.stats import binomtest, ttest_rel

    assert found.p == binomtest(better, better + worse).pvalue
    numbers = random.normal(size=(2, 60))
    found = paired_test(*(np.stack([values, np.ones(60)], 1) for values in numbers))
    assert found is not None
    expected: Any = ttest_rel(*numbers)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert paired_test(one[:4], other[:4]) is None
    assert paired_test(one, one) == (0, 0, 0, 1, "exact McNemar test", 60)
    assert chance(one, one) == 0
