"""Detailed metrics of classifiers are those of scikit-learn, at once and in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from recurra.tasks.many_to_one.metrics import groups, roc
from recurra.tasks.many_to_one.metrics.classes import BINS, describe_classes, running_report


def example(classes: int, rows: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs that are better than chance, true classes and weights."""
    random = np.random.default_rng(seed)
    target = random.integers(0, classes, rows)
    output = random.normal(size=(rows, classes)).astype(np.float32) * 2
    output[np.arange(rows), target] += 1
    return output, target, random.integers(0, 4, rows) / 2 + 0.25


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learn_agrees(classes, weighted):
    output, target, weight = example(classes)
    weight = weight if weighted else None
    found = describe_classes([f"c{n}" for n in range(classes)], output, target, weight)
    p, answer = softmax(output.astype(np.float64), axis=1), output.argmax(1)
    how: Any = {"sample_weight": weight}
    precision, recall, f1, _ = sk.precision_recall_fscore_support(target, answer, **how)
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert [row[name] for row in found["classes"]] == pytest.approx(values)
    assert found["macro_precision"] == pytest.approx(np.mean(precision))
    assert found["macro_recall"] == pytest.approx(np.mean(recall))
    total = np.ones(len(target)) if weight is None else weight
    assert [row["n"] for row in found["classes"]] == pytest.approx(np.bincount(target, total))
    np.testing.assert_allclose(found["confusion_matrix"], sk.confusion_matrix(target, answer, **how))
    if classes == 2:
        area = sk.roc_auc_score(target, p[:, 1], **how)
    else:
        areas = [sk.roc_auc_score(target == n, p[:, n], **how) for n in range(classes)]
        assert [row["roc_auc"] for row in found["classes"]] == pytest.approx(areas)
        area = np.mean(areas) if weighted else sk.roc_auc_score(target, p, multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(area)
    assert "roc_auc_note" not in found
    assert found["log_loss"] == pytest.approx(sk.log_loss(target, p, **how))


def test_calibration():
    output, target, _ = example(3, 4000)
    found = describe_classes(["a", "b", "c"], output, target, None)
    p, right = softmax(output.astype(np.float64), axis=1).max(1), output.argmax(1) == target
    accuracy, probability = calibration_curve(right, p, n_bins=10)
    bins = found["calibration"]
    assert [row["accuracy"] for row in bins] == pytest.approx(accuracy)
    assert [row["probability"] for row in bins] == pytest.approx(probability)
    assert sum(row["n"] for row in bins) == 4000
    shares = np.array([row["n"] for row in bins]) / 4000
    assert found["calibration_error"] == pytest.approx(np.dot(shares, np.abs(accuracy - probability)))


@pytest.mark.parametrize("kept", [0, 5000, 1 << 18])
@pytest.mark.parametrize("classes", [2, 5])
def test_parts(classes, kept, monkeypatch):
    """The first parts, later parts or no part at all have so many scores that they are counted in histograms."""
    monkeypatch.setattr("recurra.tasks.many_to_one.metrics.roc.KEPT", kept)
    output, target, _ = example(classes, 3000)
    names = list("abcde")[:classes]
    whole = describe_classes(names, output, target, None)
    first, second = running_report(names), running_report(names)
    first.add(output[:7], target[:7])
    first.add(output[7:1000], target[7:1000])
    second.add(output[1000:], target[1000:])
    first.merge(second)
    parts = first.result()
    margin = parts.pop("roc_auc_margin", 0.0)
    assert (0 < margin < 0.002) == (kept <= 5000)
    assert not margin or f"at most {margin:.1g} from the exact value" in parts.pop("roc_auc_note")
    assert abs(parts.pop("roc_auc") - whole.pop("roc_auc")) <= margin
    for one, other in zip(parts["classes"], whole["classes"], strict=True):
        assert one.pop("roc_auc") == pytest.approx(other.pop("roc_auc"), abs=3 * margin)
    for name in ("classes", "confusion_matrix", "confusions"):
        assert parts.pop(name) == whole.pop(name)
    for one, other in zip(parts.pop("calibration"), whole.pop("calibration"), strict=True):
        assert one == pytest.approx(other)
    assert parts == pytest.approx(whole)


@pytest.mark.parametrize("report", ["whole", "parts"])
def test_absent_classes(report):
    """Outputs of four classes; data with some of them. No value is NaN."""
    output, target, _ = example(4)
    output[:, 3] = -50  # never the answer
    for absent, words in (([3], "the class d does"), ([1, 2, 3], "the classes b, c, d do")):
        keep = ~np.isin(target, absent)
        if report == "whole":
            found = describe_classes(list("abcd"), output[keep], target[keep], None)
        else:
            running = running_report(list("abcd"))
            running.add(output[keep], target[keep])
            found = running.result()
        assert found["roc_auc"] is None
        assert found["roc_auc_note"] == f"not defined: {words} not occur in these data"
        row = found["classes"][3]
        assert row == {"class": "d", "n": 0, "precision": None, "recall": None, "f1": None, "roc_auc": None}
        assert (found["classes"][0]["roc_auc"] is None) == (len(absent) == 3)
        assert found["classes"][0]["recall"] is not None
        json.dumps(found, allow_nan=False)
    assert found["classes"][1]["precision"] == 0.0  # it is an answer, but never right


def test_certain_answers():
    """Probabilities of exactly 0 and 1 in single precision."""
    target = np.array([0, 1, 2, 0, 1, 2])
    output = np.full((6, 3), -500, np.float32)
    output[np.arange(6), [0, 1, 2, 0, 1, 1]] = 500
    found = describe_classes(["a", "b", "c"], output, target, None)
    json.dumps(found, allow_nan=False)
    p = softmax(output.astype(np.float64), axis=1)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(target, p, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(1000 / 6)
    assert found["confusions"] == [{"class": "c", "predicted": "b", "n": 1}]


def test_the_guide_has_the_numbers_of_the_code():
    guide = (Path(__file__).parents[4] / "docs" / "guides" / "classify.md").read_text(encoding="utf-8")
    most = roc.MOST_COUNTS // (2 * roc.BINS)
    for words in (f"{roc.KEPT:,} scores", f"{roc.BINS:,} bins", f"fewer for more than {most} classes", "ten bins"):
        assert words in " ".join(guide.split())
    assert f"fewer than {groups.SMALL} sequences" in guide
    assert BINS == 10


def test_many_classes_have_no_matrix(monkeypatch):
    monkeypatch.setattr("recurra.tasks.many_to_one.metrics.classes.MOST_CLASSES", 4)
    output, target, _ = example(5)
    found = describe_classes(list("abcde"), output, target, None)
    assert found["confusion_matrix"] is None
    counts = [row["n"] for row in found["confusions"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == (output.argmax(1) != target).sum()
