"""Several labels for each sequence: targets, metrics, training, answers, folders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

import recurra
from killing import killed_after
from recurra import SequenceClassifier, SequenceRegressor
from recurra.data.pieces import LargeTable, PieceColumn
from recurra.errors import DataError, UsageError
from recurra.tasks.many_to_one.labels.objective import LabelLoss, constant_labels
from recurra.tasks.many_to_one.labels.targets import LabelSets, as_label_lists, holds_labels

WORDS = {"joy": "glad", "anger": "mad", "fear": "scared"}
ROWS = [["joy"], [], ["anger", "joy"], ["fear"], ["anger", "fear"], ["joy"]]
TEXTS = [" ".join(["so", *(WORDS[label] for label in labels)]) for labels in ROWS] * 10
LABELS = ROWS * 10
MATRIX = np.array([[label in labels for label in sorted(WORDS)] for labels in LABELS]).astype(int)
SMALL: dict[str, Any] = {"hidden_size": 8, "embedding_size": 8, "tokens": "word", "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def model() -> SequenceClassifier:
    options = {**SMALL, "token_dropout": 0.0, "dropout": 0.0, "epochs": 30, "learning_rate": 0.05}
    return SequenceClassifier(**options, validation_fraction=0.2).fit(TEXTS, LABELS)


def test_answers_have_the_form_of_the_targets(model):
    assert model.classes_.tolist() == ["anger", "fear", "joy"]
    assert list(map(sorted, model.predict(TEXTS[:6]))) == ROWS
    chances = model.predict_proba(TEXTS[:6])
    assert ((chances > 0.5) == MATRIX[:6]).all()
    assert model.score(TEXTS, LABELS) == model.score(TEXTS, MATRIX) == 1.0
    assert SequenceClassifier().label_sets_ is None


@pytest.mark.parametrize(
    "targets",
    [
        [tuple(row) for row in LABELS],
        [set(row) for row in LABELS],
        pd.Series(LABELS),
        pa.array(LABELS),
        np.array([*LABELS, None], object)[:-1],
    ],
)
def test_forms_of_lists(targets):
    column = SequenceClassifier()._column(targets, len(LABELS))
    assert holds_labels(column)
    assert (LabelSets.of(column).encode(column).numpy() == MATRIX).all()


def test_lists_of_equal_length_are_labels_and_rows_of_0_and_1_a_matrix():
    assert as_label_lists([["a", "b"], ["b", "c"]]).tolist() == [["a", "b"], ["b", "c"]]
    assert as_label_lists([[3, 5], [5, 7]]).tolist() == [[3, 5], [5, 7]]
    assert as_label_lists([[0, 1], [1, 1]]) == [[0, 1], [1, 1]]
    assert as_label_lists([["a"], ["b"]]) == [["a"], ["b"]]  # one class for each sequence
    assert as_label_lists(np.array([["a", "b"], ["b", "c"]])).tolist() == [["a", "b"], ["b", "c"]]


@pytest.mark.parametrize("targets", [MATRIX, MATRIX.astype(bool), pd.DataFrame(MATRIX, columns=sorted(WORDS))])
def test_a_matrix(targets):
    clf = SequenceClassifier(**SMALL, epochs=1).fit(TEXTS, targets)
    found = clf.predict(TEXTS[:4])
    assert found.shape == (4, 3)
    assert set(found.ravel().tolist()) <= {0, 1}
    assert clf.classes_.tolist() == (sorted(WORDS) if isinstance(targets, pd.DataFrame) else [0, 1, 2])


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_sklearn(weighted):
    random = np.random.default_rng(0)
    target = (random.random((40, 4)) < 0.3).astype(np.float32)
    output = (target * 2 - 1 + random.normal(size=target.shape) * 1.5).astype(np.float32)
    weight = random.random(40) if weighted else None
    loss, found = LabelLoss(list("abcd")), output > 0
    metrics = loss.measure(output, target, weight)
    how: dict[str, Any] = {"sample_weight": weight, "zero_division": 0}
    assert metrics["micro_f1"] == pytest.approx(f1_score(target, found, average="micro", **how))
    assert metrics["macro_f1"] == pytest.approx(f1_score(target, found, average="macro", **how))
    assert metrics["subset_accuracy"] == pytest.approx(accuracy_score(target, found, sample_weight=weight))
    weights = None if weight is None else torch.from_numpy(weight)
    items = loss.items([(torch.from_numpy(output), torch.from_numpy(target), weights)])
    assert items[:, 0].sum() / items[:, 1].sum() == pytest.approx(metrics["micro_f1"])
    rows = loss.details(output, target, weight)["labels"]
    each = f1_score(target, found, average=None, **how)
    assert [row["f1"] or 0 for row in rows] == pytest.approx(each.tolist())


def test_the_constant_answer_has_the_best_f1_of_all_constant_answers():
    random = np.random.default_rng(1)
    target = (random.random((50, 4)) < [0.4, 0.3, 0.1, 0.02]).astype(np.float32)
    output = np.tile(constant_labels(target, np.ones(50)), (50, 1)).astype(np.float32)
    loss = LabelLoss(list("abcd"))
    sets = [[bool(n >> i & 1) for i in range(4)] for n in range(16)]
    scores = [loss.measure(np.tile(np.where(s, 1.0, -1.0), (50, 1)), target, None)["micro_f1"] for s in sets]
    assert loss.measure(output, target, None)["micro_f1"] == max(scores)


def test_evaluate_and_baselines(model):
    found = model.evaluate(TEXTS, LABELS, by=["x", "y"] * 30)
    assert found["micro_f1"] == found["macro_f1"] == found["subset_accuracy"] == found["micro_recall"] == 1.0
    assert [(row["label"], row["n"]) for row in found["labels"]] == [("anger", 20), ("fear", 20), ("joy", 30)]
    assert list(found["baselines"]) == ["most frequent labels", "logistic regression on TF-IDF"]
    assert found["comparison"]["figure"] == "micro_f1"
    assert [row["n"] for row in found["groups"]] == [30, 30]
    assert "micro_f1" in model.order_test(TEXTS, LABELS)["sentence"]
    assert [row["class"] for row in model.metrics_["classes"]] == model.classes_.tolist()


def test_a_saved_model_answers_the_same(model, tmp_path):
    model.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    assert loaded.predict(TEXTS) == model.predict(TEXTS)
    assert (loaded.predict_proba(TEXTS) == model.predict_proba(TEXTS)).all()
    assert loaded.evaluate(TEXTS, LABELS) == model.evaluate(TEXTS, LABELS)
    matrix = SequenceClassifier(**SMALL, epochs=1).fit(TEXTS, MATRIX)
    matrix.save(tmp_path / "matrix")
    assert (recurra.load(tmp_path / "matrix").predict(TEXTS) == matrix.predict(TEXTS)).all()


def test_service_steps_and_trace(model):
    service = model.service()
    (answer,) = service.answers(["so mad glad"], service.Options(proba=True))
    assert answer["labels"] == ["anger", "joy"]
    assert set(answer["probabilities"]) == set(WORDS)
    assert service.about()["several_labels"]
    assert recurra.trace(model, ["so mad glad"]).subject.answers[0].startswith("anger (")
    assert recurra.trace(model, ["so"]).subject.answers == ["no label"]
    reach = recurra.gradient_reach(model, TEXTS[:4], LABELS[:4])
    assert reach is not None


def test_the_onnx_graph_gives_the_same_labels(model, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(recurra.export(model, tmp_path / "m.onnx"))
    text = "so mad glad"
    tokens = model.encoder_.encode([text])[0][None].astype(np.int64)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"tokens": tokens, "lengths": np.array([3])}), strict=True))
    assert found["labels"].tolist() == [[1, 0, 1]]
    np.testing.assert_allclose(found["probabilities"], model.predict_proba([text]), atol=1e-5)


def test_a_resumed_run_gives_the_same_weights(tmp_path):
    clf = SequenceClassifier(**SMALL, epochs=3)
    whole = clf.fit(TEXTS, LABELS).predict_proba(TEXTS)
    with killed_after(10):
        clf.fit(TEXTS, LABELS, checkpoint=tmp_path)
    clf.fit(TEXTS, LABELS, checkpoint=tmp_path, resume=True)
    assert clf.resumed_
    assert (clf.predict_proba(TEXTS) == whole).all()


def test_training_that_starts_from_a_model_adds_labels(model):
    clf = SequenceClassifier(**SMALL, epochs=1, start_from=model)
    clf.fit(["so odd", "glad"] * 10, [["new", "joy"], ["joy"]] * 10)
    assert clf.classes_.tolist() == ["anger", "fear", "joy", "new"]
    with pytest.raises(DataError, match="one of the models has several labels"):
        clf.fit(TEXTS, ["a", "b"] * 30)


def test_loss_and_metrics_of_a_user():
    def twice(output, target):
        return 2 * torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none")

    clf = SequenceClassifier(**SMALL, epochs=1, validation_fraction=0.2, loss=twice, metrics=[hamming_loss])
    clf.fit(TEXTS, LABELS)
    found = clf.evaluate(TEXTS, LABELS)
    assert found["hamming_loss"] == pytest.approx(hamming_loss(MATRIX, clf.predict_proba(TEXTS) > 0.5))
    assert "valid_hamming_loss" in clf.history_[0]


def test_partial_fit_takes_parts_with_some_of_the_labels():
    clf = SequenceClassifier(**SMALL)
    clf.partial_fit(TEXTS[:6], LABELS[:6], classes=["anger", "fear", "joy", "other"])
    clf.partial_fit(["so glad", "so"], [["joy"], []])
    assert clf.classes_.tolist() == ["anger", "fear", "joy", "other"]
    assert clf.predict_proba(TEXTS[:2]).shape == (2, 4)


def test_series_train_one_network():
    clf = SequenceClassifier()
    assert not clf._may_have_members(clf._column(LABELS, 60))
    assert clf._may_have_members(clf._column(["a", "b"] * 30, 60))


def test_networks_that_are_averaged():
    rows = np.random.default_rng(0).normal(size=(40, 6, 2)).astype(np.float32)
    several = [[name for name, there in zip("ab", row.mean(0) > 0, strict=True) if there] for row in rows]
    clf = SequenceClassifier(hidden_size=4, epochs=2, members=3, preset="steps", verbose=0).fit(rows, several)
    values = torch.from_numpy(((rows - clf.encoder_.mean) / clf.encoder_.scale).astype(np.float32))
    with torch.no_grad():
        alone = [torch.sigmoid(member(values, torch.full((40,), 6))) for member in clf.network_.members]
    np.testing.assert_allclose(clf.predict_proba(rows), torch.stack(alone).mean(0), atol=1e-5)
    assert {"micro_f1", "loss_steps"} <= {name.removeprefix("valid_") for name in clf.history_[0]}
    assert clf.evaluate(rows, several)["micro_f1"] > 0


@pytest.mark.parametrize("given", ["balanced", {"joy": 5.0, "fear": 0.0}])
def test_weights_of_labels(given):
    clf = SequenceClassifier(**SMALL, epochs=1, class_weight=given, validation_fraction=0.0).fit(TEXTS, LABELS)
    weights = clf._label_weights.numpy()
    if given == "balanced":
        sums = weights * np.stack([1 - MATRIX, MATRIX]).sum(1)
        np.testing.assert_allclose(sums, 30, rtol=1e-5)
    else:
        assert weights.tolist() == [[1, 1, 1], [1, 0, 5]]
    output, target = torch.randn(60, 3), torch.from_numpy(MATRIX).float()
    each = torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none").numpy()
    expected = (each * np.where(MATRIX, weights[1], weights[0])).mean(1)
    np.testing.assert_allclose(clf._training_objective().losses(output, target), expected, rtol=1e-5)
    np.testing.assert_allclose(clf._objective().losses(output, target), each.mean(1), rtol=1e-5)


@pytest.mark.parametrize(("weight", "share"), [(None, 0.25), ("balanced", 0.5)])
def test_weights_move_the_probability_of_a_rare_label(weight, share):
    texts, labels = ["so odd"] * 60, [["rare", "other"]] * 15 + [["other"]] * 15 + [[]] * 30
    options = {**SMALL, "epochs": 20, "learning_rate": 0.02, "validation_fraction": 0.0, "dropout": 0.0}
    model = SequenceClassifier(**options, class_weight=weight).fit(texts, labels)
    assert model.predict_proba(["so odd"])[0, 1] == pytest.approx(share, abs=0.07)


def test_sets_hold_all_labels_with_the_stated_share():
    random = np.random.default_rng(0)
    rows = random.normal(size=(900, 5, 3)).astype(np.float32)
    several = (rows.mean(1) + random.normal(size=(900, 3)) * 0.3 > 0).astype(int)
    clf = SequenceClassifier(hidden_size=8, epochs=6, validation_fraction=0.3, verbose=0).fit(rows[:600], several[:600])
    for coverage in (0.8, 0.95):
        found = clf.evaluate(rows[600:], several[600:], coverage=coverage)
        sets = clf.predict_set(rows[600:], coverage)
        held = [set(np.flatnonzero(row)) <= set(labels) for row, labels in zip(several[600:], sets, strict=True)]
        assert found["coverage"] == np.mean(held) == pytest.approx(coverage, abs=0.05)
        assert found["mean_set_size"] == np.mean([len(labels) for labels in sets])
    service = clf.service()
    (answer,) = service.answers([rows[0]], service.Options(coverage=0.95))
    assert answer["set"] == [str(label) for label in clf.predict_set(rows[:1], 0.95)[0]]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([["a"], ["a", None]] * 30, "hold a missing value or a list"),
        ([["a"], ["a", ["b"]]] * 30, "hold a missing value or a list"),
        ([["a"], ["a", "a"]] * 30, "only one label, a"),
        ([[]] * 60, "no sequence has a label"),
        (np.zeros((60, 2)), "no sequence has a label"),
        (np.arange(120).reshape(60, 2), "values other than 0 and 1"),
    ],
)
def test_wrong_targets(targets, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**SMALL, epochs=1).fit(TEXTS, targets)


def test_large_tables_are_refused(tmp_path):
    pq.write_table(pa.table({"text": TEXTS, "labels": LABELS}), tmp_path / "a.parquet")
    table = LargeTable(tmp_path / "a.parquet", ["text", "labels"], tmp_path / "pieces")
    with pytest.raises(DataError, match="several labels for each sequence need data that fit into memory"):
        SequenceClassifier(**SMALL).fit(PieceColumn(table, 0), PieceColumn(table, 1), checkpoint=tmp_path / "run")


def test_what_does_not_go_with_labels(model):
    own = {"class_weight": "balanced", "loss": torch.nn.functional.binary_cross_entropy_with_logits}
    with pytest.raises(UsageError, match="class_weight of several labels weighs the loss of each label"):
        SequenceClassifier(**SMALL, **own).fit(TEXTS, LABELS)
    with pytest.raises(UsageError, match="class_weight names the class 'odd'"):
        SequenceClassifier(**SMALL, class_weight={"odd": 2}).fit(TEXTS, LABELS)
    with pytest.raises(UsageError, match="several labels are evaluated on all data at once"):
        model.running_evaluation()
    with pytest.raises(DataError, match="the label 'odd' was not in the training data"):
        model.evaluate(TEXTS[:2], [["joy"], ["odd", "joy"]])
    with pytest.raises(DataError, match="2 columns of labels, but the model was trained on 3"):
        model.evaluate(TEXTS, MATRIX[:, :2])
    with pytest.raises(DataError, match="trained on one class for each"):
        SequenceClassifier(**SMALL, epochs=1).fit(TEXTS, ["a", "b"] * 30).evaluate(TEXTS, LABELS)
    with pytest.raises(DataError, match="unequal length"):
        SequenceRegressor(**SMALL).fit(TEXTS, LABELS)
