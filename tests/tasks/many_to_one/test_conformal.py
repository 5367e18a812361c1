"""Sets and intervals with a stated coverage."""

from __future__ import annotations

import json

import numpy as np
import pytest

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import ModelFolderError, UsageError
from recurra.tasks.many_to_one.conformal import MOST, Calibration


def noisy(rows: int, seed: int, classes: int = 3):
    """Sequences whose mean tells the class, with noise; and a number."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, rows)
    X = random.normal(size=(rows, 6, 1)) + 0.6 * label[:, None, None]
    return X, label, label + random.normal(size=rows)


@pytest.fixture(scope="module")
def models():
    X, label, number = noisy(400, 0)
    Xv, label_v, number_v = noisy(300, 1)
    quick = {"hidden_size": 6, "epochs": 3, "learning_rate": 0.02, "verbose": 0}
    clf = SequenceClassifier(**quick).fit(X, label, validation_data=(Xv, label_v))
    reg = SequenceRegressor(**quick).fit(X, number, validation_data=(Xv, number_v))
    return clf, reg


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (19, 0.9), (50, 0.8), (200, 0.95)])
def test_coverage_of_exchangeable_scores(count, coverage):
    random, repeats = np.random.default_rng(0), 4000
    inside = 0
    for _ in range(repeats):
        *scores, new = random.exponential(size=count + 1)
        inside += new <= Calibration.of(np.array(scores)[:, None]).limits(coverage)[0]
    exact = np.ceil((count + 1) * coverage - 1e-9) / (count + 1)  # the expected share, at least the coverage
    assert abs(inside / repeats - exact) < 4 * np.sqrt(exact * (1 - exact) / repeats)


def test_too_few_scores_and_wrong_coverages():
    calibration = Calibration.of(np.arange(8.0)[:, None])
    assert calibration.limits(0.9).tolist() == [np.inf]
    assert calibration.note(0.9, "all")[18:] == "needs a calibration on at least 9 sequences, and this model has 8: all"
    assert calibration.note(0.8, "all") == ""
    for wrong in (0, 1, -0.1, 90, "0.9", float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            calibration.limits(wrong)  # type: ignore[arg-type]
    assert len(Calibration.of(np.random.default_rng(0).random((MOST + 5, 2))).scores) == MOST


def test_sets_hold_their_coverage_and_grow_with_it(models):
    clf, _ = models
    X, label, _ = noisy(2000, 2)
    sizes = []
    for coverage in (0.5, 0.8, 0.95):
        found = clf.predict_set(X, coverage=coverage)
        share = np.mean([true in labels for true, labels in zip(label, found, strict=True)])
        assert abs(share - coverage) < 0.08 or (share > coverage and coverage == 0.5)  # never without the best class
        measured = clf.evaluate(X, label, coverage=coverage)
        assert measured["coverage"] == share
        assert measured["mean_set_size"] == np.mean([len(labels) for labels in found])
        sizes.append(measured["mean_set_size"])
    assert sizes == sorted(sizes)
    assert [labels[0] for labels in found] == clf.predict(X).tolist()  # the most probable first


def test_intervals_hold_their_coverage(models):
    _, reg = models
    X, _, number = noisy(2000, 2)
    for coverage in (0.5, 0.9):
        low, high = reg.predict_interval(X, coverage=coverage).T
        share = np.mean((low <= number) & (number <= high))
        assert abs(share - coverage) < 0.08
        measured = reg.evaluate(X, number, coverage=coverage)
        assert measured["coverage"] == pytest.approx(share, abs=1e-3)
        assert measured["mean_interval_width"] == pytest.approx((high - low).mean())
        assert measured["coverage_wanted"] == coverage
    np.testing.assert_allclose((low + high) / 2, reg.predict(X), rtol=1e-6)


def test_several_targets_have_their_own_intervals():
    X, label, number = noisy(200, 0)
    y = np.stack([number, 100 * label + number], 1)
    reg = SequenceRegressor(hidden_size=4, epochs=1, verbose=0).fit(X, y, validation_data=(X[:50], y[:50]))
    found = reg.predict_interval(X)
    assert found.shape == (200, 2, 2)
    widths = (found[..., 1] - found[..., 0])[0]
    assert reg.evaluate(X, y, coverage=0.9)["mean_interval_width"] == pytest.approx(widths.tolist())
    assert widths[1] > 5 * widths[0]


def test_without_held_out_data_it_is_refused_until_calibrated(tmp_path):
    X, label, _ = noisy(60, 0)
    clf = SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(X, label)
    for call in (lambda: clf.predict_set(X), lambda: clf.evaluate(X, label, coverage=0.9)):
        with pytest.raises(UsageError, match=r"no calibration.*\n.*--valid FILE.*calibrate"):
            call()
    clf.save(tmp_path / "model")
    assert not (tmp_path / "model" / "calibration.json").exists()
    clf = recurra.load(tmp_path / "model")
    Xv, label_v, _ = noisy(8, 1)
    with pytest.warns(UserWarning, match="at least 9 sequences, and this model has 8: every class is in each set"):
        found = clf.calibrate(Xv, label_v).predict_set(X[:2], coverage=0.9)
    assert [sorted(labels) for labels in found] == [[0, 1, 2]] * 2
    assert clf.evaluate(X, label, coverage=0.9)["mean_set_size"] == 3


def test_scores_are_saved_and_checked(models, tmp_path):
    _, reg = models
    X = noisy(5, 3)[0]
    reg.save(tmp_path / "model")
    np.testing.assert_array_equal(recurra.load(tmp_path / "model").predict_interval(X), reg.predict_interval(X))
    file = tmp_path / "model" / "calibration.json"
    for damaged in ({"scores": [[1.0], [2.0]]}, {"scores": [[2.0, 1.0]]}, {"scores": []}, {"other": 1}):
        file.write_text(json.dumps(damaged))
        with pytest.raises(ModelFolderError, match=r"calibration\.json"):
            recurra.load(tmp_path / "model")


def test_answers_of_the_service(models):
    clf, reg = models
    X = noisy(3, 4)[0]
    service = clf.service()
    found = service.answers(service.parse(X.tolist()), service.Options(coverage=0.8))
    assert [row["set"] for row in found] == [[str(c) for c in labels] for labels in clf.predict_set(X, coverage=0.8)]
    service = reg.service()
    found = service.answers(service.parse(X.tolist()), service.Options(coverage=0.8))
    assert [[row["lower"], row["upper"]] for row in found] == reg.predict_interval(X, coverage=0.8).tolist()
    assert "lower" not in service.answers(service.parse(X.tolist()), service.Options())[0]
