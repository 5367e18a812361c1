"""Baselines: what they answer, how the network is judged by them, and where the verdict is shown."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import ModelFolderError
from recurra.inspect import health
from recurra.tasks.baselines import Measured, chance, compare

QUICK = {"hidden_size": 4, "epochs": 1, "verbose": 0}


def items(right, count):
    """The first `right` of `count` items are right."""
    return np.stack([np.arange(count) < right, np.ones(count)], 1)


def judged(own, other, count, *, constant, perfect=1.0):
    measured = [Measured({"accuracy": n / count}, items(n, count)) for n in (own, other)]
    found = compare(measured[0], {"rival": measured[1]._replace(constant=constant)}, "accuracy", True, perfect)
    return found.light


# the verdict


@pytest.mark.parametrize(
    ("own", "other", "count", "constant", "expected"),
    [
        (90, 50, 100, True, "green"),
        (90, 50, 100, False, "green"),
        (50, 50, 100, True, "red"),
        (49, 50, 100, False, "red"),
        (52, 50, 100, True, "red"),  # chance explains the two
        (52, 50, 100, False, "yellow"),
        (55, 50, 100, True, "green"),
        (12, 10, 20, True, "red"),
        (4, 0, 4, True, "green"),  # perfect
        (3, 0, 4, True, "yellow"),  # of four items nothing can be said
        (20, 20, 20, False, "green"),  # nothing is left to gain
    ],
)
def test_a_network_is_judged_by_more_than_chance(own, other, count, constant, expected):
    assert judged(own, other, count, constant=constant) == expected


def test_a_smaller_error_is_better():
    errors = np.random.default_rng(0).random(50)
    better = Measured({"loss": errors.mean()}, np.stack([errors, np.ones(50)], 1))
    worse = Measured({"loss": 2 * errors.mean()}, np.stack([2 * errors, np.ones(50)], 1))
    assert compare(better, {"mean": worse}, "loss", False).light == "green"
    found = compare(worse, {"mean": better}, "loss", False)
    assert found.light == "red"
    assert found.sentence == (
        f"The network is not better than the mean: loss {2 * errors.mean():.4f} against {errors.mean():.4f}."
    )
    assert compare(Measured({"loss": math.nan}), {"mean": better}, "loss", False).light == "red"


def test_the_margin_is_that_of_a_paired_t_test():
    from scipy.stats import t, ttest_rel

    random = np.random.default_rng(1)
    one, other = random.random(30), random.random(30)
    pair = [np.stack([values, np.ones(30)], 1) for values in (one, other)]
    expected = t.ppf(0.95, 29) * (one - other).std(ddof=1) / np.sqrt(30)
    assert chance(*pair) == pytest.approx(expected)
    p = ttest_rel(one, other, alternative="greater").pvalue
    assert (p < 0.05) == ((one - other).mean() > chance(*pair))


def test_the_sentence_names_the_best_of_several_simple_models():
    network = Measured({"loss": 0.5})
    rivals = {
        "mean": Measured({"loss": 0.9}, constant=True),
        "one": Measured({"loss": 0.4}),
        "two": Measured({"loss": 0.3}),
    }
    found = compare(network, rivals, "loss", False)
    assert found.sentence == "The network is not better than the two: loss 0.5000 against 0.3000."
    assert (found.best, found.light) == ("two", "red")
    found = compare(Measured({"loss": 0.2}), rivals | {"three": Measured({"loss": math.nan})}, "loss", False)
    assert found.best == "two"
    assert compare(Measured({"loss": 1.0}), rivals, "loss", False).sentence == (
        "The network is not better than the mean: loss 1.0000 against 0.9000; "
        "it is not better than the two: loss 1.0000 against 0.3000."
    )


# what the baselines are


def series(count, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(random.integers(3, 9), 2)) for _ in range(count)]


def test_the_baselines_of_series_are_the_majority_and_scikit_learns_regression(monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from recurra.tasks.many_to_one.simple import fit

    monkeypatch.setattr(fit, "choose_strength", lambda examples: 2.0)
    X, test = series(90), series(60, seed=1)
    y, expected = ([int(x.mean() > 0.2) + int(x[0, 0] > 1) for x in rows] for rows in (X, test))
    model = SequenceClassifier(**QUICK, validation_fraction=0).fit(X, y)
    found = model.evaluate(test, expected)["baselines"]
    majority = np.bincount(y).argmax()
    assert found["most frequent class"]["accuracy"] == np.mean(np.array(expected) == majority)
    by_name = {baseline.name: baseline for baseline in model.baselines_}
    for name in ("resampled values", "statistics and spectrum"):
        own = by_name[f"logistic regression on {name}"]

        def features(rows, own=own):
            encoded = model.encoder_.encode(rows)
            return np.concatenate([own.extract(row[None], np.array([len(row)])) for row in encoded])

        scaler = StandardScaler().fit(features(X))
        peer = LogisticRegression(C=2, max_iter=200).fit(scaler.transform(features(X)), y)
        score = peer.score(scaler.transform(features(test)), expected)
        assert found[own.name]["accuracy"] == pytest.approx(score)
        assert score > 0.7


def test_the_baselines_of_numbers_are_the_mean_and_ridge_regression():
    X, test = series(120), series(50, seed=1)
    y, expected = ([[10 + x[:, 0].sum(), -x[0, 1]] for x in rows] for rows in (X, test))
    model = SequenceRegressor(**QUICK, validation_fraction=0).fit(X, y)
    found = model.evaluate(test, expected)
    constant, _, linear = found["baselines"].values()
    errors = (np.array(expected) - np.mean(y, axis=0)) ** 2
    assert constant["mse"] == pytest.approx(errors.mean(), rel=1e-5)
    assert linear["r2"] > 0.7
    assert found["comparison"]["light"] == "red"
    assert "the ridge regression on statistics and spectrum" in found["comparison"]["sentence"]


def test_the_baseline_of_texts_is_tf_idf():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(["good", "bad", "film", "plot", "so"], 5)) for _ in range(150)]
    y = ["up" if text.count("good") > text.count("bad") else "down" for text in texts]
    model = SequenceClassifier(**QUICK, tokens="word").fit(texts[:100], y[:100])
    found = model.evaluate(texts[100:], y[100:])["baselines"]
    assert found["logistic regression on TF-IDF"]["accuracy"] > 0.9
    assert found["most frequent class"]["accuracy"] < 0.8
    numbers = SequenceRegressor(**QUICK, tokens="word").fit(texts[:100], [text.count("good") for text in texts[:100]])
    found = numbers.evaluate(texts[100:], [text.count("good") for text in texts[100:]])["baselines"]
    assert found["ridge regression on TF-IDF"]["r2"] > 0.8


def test_weights_count_in_the_baselines():
    X = series(100)
    y = np.array([int(i % 4 == 0) for i in range(100)])
    weights = np.where(y == 1, 9.0, 1.0)
    model = SequenceClassifier(**QUICK, validation_fraction=0).fit(X, y, sample_weight=weights)
    found = model.evaluate(X, y)["baselines"]["most frequent class"]["accuracy"]
    assert found == 0.25  # class 1 has the larger weight


def test_weights_of_0_leave_nothing_to_cross_validate():
    X, y = series(40), [i % 2 for i in range(40)]
    model = SequenceClassifier(**QUICK).fit(X, y, sample_weight=[1.0] * 2 + [0.0] * 38)
    assert model.metrics_["cross_validation"] == {}
    assert set(model.evaluate(X, y)["baselines"]) == {
        "most frequent class",
        "logistic regression on resampled values",
        "logistic regression on statistics and spectrum",
    }


def test_many_sequences_are_a_random_choice_of_them_and_the_folder_says_so(monkeypatch, tmp_path):
    from recurra.tasks.many_to_one.simple import fit

    monkeypatch.setattr(fit, "MAX_ROWS", 30)
    monkeypatch.setattr(fit, "FEWEST_ROWS", 20)
    X = series(80)
    model = SequenceClassifier(**QUICK, validation_fraction=0).fit(X, [int(x.mean() > 0) for x in X])
    model.save(tmp_path / "m")
    kept = json.loads((tmp_path / "m" / "baselines.json").read_text())
    assert [row["note"] for row in kept] == ["", *["fitted on 30 of 80 sequences"] * 2]
    assert "resampled values: fitted on 30 of 80 sequences." in (tmp_path / "m" / "README.md").read_text()


# where they are shown


def test_noise_is_not_praised(tmp_path, capfd):
    """Labels that have nothing to do with the data: fit, evaluate, the card and the health card say so."""
    X, y = series(200), np.random.default_rng(5).integers(0, 2, 200)
    options = {"hidden_size": 8, "epochs": 12, "batch_size": 16, "learning_rate": 0.01}
    model = SequenceClassifier(**options, validation_fraction=0.25).fit(X[:140], y[:140])
    said = capfd.readouterr().err
    assert said.startswith("The network is not ")
    assert said.count("\n") == 1
    assert model.metrics_["comparison"]["sentence"] == said.strip()
    assert model.metrics_["comparison"]["light"] == "red"
    assert model.evaluate(X[140:], y[140:])["comparison"]["light"] == "red"
    model.save(tmp_path / "m")
    assert said.strip() in (tmp_path / "m" / "README.md").read_text()
    again = recurra.load(tmp_path / "m")
    for card in (health(again), health(again, X[140:], y[140:])):
        assert card["baselines"].light == "red"
        assert card["baselines"].advice.startswith("The network is not ")
        assert not card.ok


def test_a_step_far_too_large_is_a_failure_to_learn(capfd):
    X = series(100)
    y = [int(x.mean() > 0) for x in X]
    for fraction in (0.0, 0.2):
        model = SequenceClassifier(
            hidden_size=8, epochs=5, learning_rate=100.0, batch_size=8, validation_fraction=fraction
        ).fit(X, y)
        said = capfd.readouterr().err
        assert said.startswith("The network did not learn: its training loss of ")
        assert "use another learning rate than 100" in said
        assert health(model)["baselines"].light == "red"
        assert health(model, X, y)["baselines"].light == "red"


def test_without_held_out_data_that_is_said(capfd):
    X = series(60)
    y = [int(x.mean() > 0) for x in X]
    model = SequenceClassifier(hidden_size=8, epochs=15, learning_rate=0.02, batch_size=8).fit(X, y)
    assert model.metrics_["valid"] == {}
    said = capfd.readouterr().err
    assert said.startswith("No data were held out: measure the network on other data (evaluate); in cross-validation")
    crossed = model.metrics_["cross_validation"]
    assert crossed["logistic regression on statistics and spectrum"]["accuracy"] > 0.8
    assert crossed["most frequent class"]["accuracy"] < 0.65
    card = health(model)
    assert any(words.startswith("comparison with simple models: No data were held out") for words in card.missing)
    assert health(model, X, y)["baselines"].light in ("green", "yellow", "red")


def test_data_that_differ_from_the_training_data_have_a_yellow_light():
    X = series(120)
    y = [int(x.mean() > 0) for x in X]
    options = {"hidden_size": 8, "epochs": 15, "learning_rate": 0.02, "batch_size": 8, "verbose": 0}
    model = SequenceClassifier(**options, validation_fraction=0.2).fit(X, y)
    test = series(60, seed=1)
    labels = [int(x.mean() > 0) for x in test]
    assert health(model, test, labels)["new data"].light == "green"
    card = health(model, test, [1 - label for label in labels])
    assert card["new data"].light == "yellow"
    assert card["new data"].where.startswith("loss ")
    assert "new data" not in [light.name for light in health(model).lights]


def test_a_model_of_an_earlier_version_has_no_baselines(tmp_path):
    X = series(40)
    y = [int(x.mean() > 0) for x in X]
    model = SequenceClassifier(**QUICK).fit(X, y)
    model.baselines_ = []
    del model.metrics_["comparison"]
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    found = set(again.evaluate(X, y))
    assert {"accuracy", "macro_f1", "loss", "n"} < found
    assert not {"baselines", "comparison"} & found
    assert any("earlier version" in words for words in health(again, X, y).missing)


@pytest.mark.parametrize(
    "damage",
    [
        "[",
        "{}",
        '[{"kind": "Estimator"}]',
        '[{"kind": "Constant", "name": "n", "note": "", "output": ["a"]}]',
        '[{"kind": "Constant", "name": "n", "note": "", "output": [NaN]}]',
        '[{"kind": "Constant", "name": 3, "note": "", "output": [1.0]}]',
        '[{"kind": "Constant", "name": "n", "note": ""}]',
        '[{"kind": "Constant", "name": "n", "note": "", "output": [1.0], "more": 1}]',
        '[{"kind": "Constant", "name": "n", "note": "", "output": [1.0, 2.0, 3.0]}]',
        '[{"kind": "LinearOnSeries", "name": "n", "note": "", "weight": [[1.0, 2.0]], "bias": [0.0, 0.0]}]',
        '[{"kind": "LinearOnTokens", "name": "n", "note": "", "weight": [[1, 2]], "bias": [0, 0], "idf": [1]}]',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    X = series(40)
    SequenceClassifier(**QUICK).fit(X, [int(x.mean() > 0) for x in X]).save(tmp_path / "m")
    (tmp_path / "m" / "baselines.json").write_text(damage)
    with pytest.raises(ModelFolderError):
        recurra.load(tmp_path / "m")
