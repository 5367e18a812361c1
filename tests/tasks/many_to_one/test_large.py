"""Training on data larger than memory: what is learned, resumed runs, and wrong data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recurra import SequenceClassifier, SequenceRegressor
from recurra.data.pieces import LargeTable, pools, table
from recurra.errors import DataError, UsageError
from recurra.tasks.many_to_one import large

PARAMS = {"hidden_size": 8, "embedding_size": 8, "epochs": 2, "batch_size": 16, "random_state": 0, "verbose": 0}
WORDS = {"pos": "good", "neg": "bad", "rare": "odd"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PIECE_ROWS", 50)
    monkeypatch.setattr(pools, "POOL_PIECES", 3)
    monkeypatch.setattr(large, "SAMPLE_PIECES", 4)
    monkeypatch.setattr(large, "SAMPLE_ROWS", 120)
    monkeypatch.setattr(large, "VALID_ROWS", 30)


def write(path: Path, count: int = 600, **columns: list) -> Path:
    random = np.random.default_rng(0)
    labels = [["pos", "neg"][i] for i in random.integers(0, 2, count)]
    texts = [
        f"{WORDS[label]} film {' very' * int(n)}" for label, n in zip(labels, random.integers(0, 6, count), strict=True)
    ]
    found = {"text": texts, "label": labels, "score": [len(text) / 10 for text in texts], **columns}
    pq.write_table(pa.table(found), path, row_group_size=200)
    return path


def columns(path: Path, target: str = "label"):
    found = LargeTable(path, ["text", target], path.parent / "converted")
    return found["text"], found[target]


def test_classes_tokens_and_validation_rows(tmp_path: Path) -> None:
    labels: list[str | None] = ["pos", "neg"] * 300
    labels[590] = "rare"  # not in the sample
    labels[3] = labels[4] = None
    texts = [f"{WORDS[label] if label else 'x'} film" for label in labels]
    path = write(tmp_path / "a.parquet", text=texts, label=labels)
    model = SequenceClassifier(**{**PARAMS, "epochs": 6}, learning_rate=0.02).fit(*columns(path))
    assert model.classes_.tolist() == ["neg", "pos", "rare"]
    assert model.data_["validation sequences"] == 30
    assert model.data_["sequences"] == 600 - 2 - 30
    assert model.data_["left out for a missing target"] == 2
    assert model.metrics_["valid"]["accuracy"] == 1.0
    assert {b.name for b in model.baselines_} == {"most frequent class", "logistic regression on TF-IDF"}
    assert model.predict(["good film", "bad film"]).tolist() == ["pos", "neg"]


def test_training_rows_are_those_that_are_not_held_out(tmp_path: Path) -> None:
    X, y = columns(write(tmp_path / "a.parquet"))
    model = SequenceClassifier(**PARAMS)
    config = large.CheckpointConfig.to(tmp_path / "run", 0, False)
    prepared = large.prepare(model, X, y, None, None, 0, config)
    folder = next((tmp_path / "run" / "pieces").glob("encoded-*"))
    learnt = large._load(model, folder)
    assert sum(len(rows) for rows in learnt.held.values()) == 30
    rows = 0
    for piece in range(len(X.table.pieces)):
        shard = large.encode(model, X, y, piece, learnt.held.get(piece))
        assert not set(shard.rows.tolist()) & set(learnt.held.get(piece, np.zeros(0)).tolist())
        texts = X.read(piece).table.column(0).to_pylist()
        expected = np.concatenate(model.encoder_.encode([texts[row] for row in shard.rows]))
        assert np.array_equal(shard.values, expected)
        rows += len(shard.rows)
    assert rows == prepared.train.count == 570
    prepared.close()


@pytest.mark.parametrize("weight", [None, "balanced", {"pos": 3.0, "neg": 1.0}])
def test_class_weights_are_those_of_all_data(tmp_path: Path, weight) -> None:
    labels = ["pos"] * 150 + ["neg"] * 450
    X, y = columns(write(tmp_path / "a.parquet", label=labels))
    model = SequenceClassifier(**PARAMS, class_weight=weight)
    prepared = large.prepare(model, X, y, None, None, 0, large.CheckpointConfig())
    batch = next(iter(prepared.train))
    if weight is None:
        assert batch.weights is None
    else:
        expected = {"pos": 2.0, "neg": 2 / 3} if weight == "balanced" else weight
        wanted = [expected[model.classes_[target]] for target in batch.targets]
        assert batch.weights.tolist() == pytest.approx(wanted)
    prepared.close()


def test_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    model = SequenceRegressor(**PARAMS).fit(*columns(path, "score"))
    scores = np.array(pq.read_table(path)["score"])
    assert model.target_mean_[0] == pytest.approx(scores.mean())
    assert model.target_scale_[0] == pytest.approx(scores.std())
    assert np.isfinite(model.metrics_["valid"]["mae"])
    with pytest.raises(DataError, match=r"a\.parquet, row 1: the target must be numbers"):
        SequenceRegressor(**PARAMS).fit(*columns(path, "label"))


class StopError(Exception):
    pass


def test_a_resumed_run_is_the_same_and_encodes_nothing_twice(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "a.parquet")
    whole = SequenceClassifier(**PARAMS).fit(*columns(path))
    encoded: list[int] = []
    original, seek = large.encode, pools.PoolBatches.__iter__
    monkeypatch.setattr(
        large, "encode", lambda e, X, y, piece, held: encoded.append(piece) or original(e, X, y, piece, held)
    )

    def stopping(batches):
        for step, batch in enumerate(seek(batches)):
            if step == 15:
                raise StopError
            yield batch

    options = {"checkpoint": tmp_path / "run", "checkpoint_minutes": 0, "resume": True}
    monkeypatch.setattr(pools.PoolBatches, "__iter__", stopping)
    with pytest.raises(StopError):
        SequenceClassifier(**PARAMS).fit(*columns(path), **options)
    monkeypatch.setattr(pools.PoolBatches, "__iter__", seek)
    before = len(encoded)
    assert 0 < before < 12
    with monkeypatch.context() as patch:
        patch.setattr(large, "_learn", None)  # the sample and the targets are not read again
        resumed = SequenceClassifier(**PARAMS).fit(*columns(path), **options)
    assert resumed.resumed_
    assert len(encoded) == len(set(encoded)) == 12
    for name, weight in whole.network_.state_dict().items():
        assert torch.equal(weight, resumed.network_.state_dict()[name])
    assert resumed.metrics_["valid"] == whole.metrics_["valid"]


def test_other_data_or_tokens_are_encoded_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    run = tmp_path / "run"

    def encoded() -> set[str]:
        return {folder.name for folder in (run / "pieces").iterdir()}

    SequenceClassifier(**PARAMS).fit(*columns(path), checkpoint=run)
    first = encoded()
    with pytest.raises(UsageError, match="earlier run"):
        SequenceClassifier(**PARAMS).fit(*columns(path), checkpoint=run)
    with pytest.raises(UsageError, match="training data"):
        SequenceClassifier(**{**PARAMS, "random_state": 1}).fit(*columns(path), checkpoint=run, resume=True)
    (run / "last.ckpt").unlink()
    write(path, 500)
    SequenceClassifier(**PARAMS).fit(*columns(path), checkpoint=run)
    assert len(encoded()) == 1
    assert encoded() != first


def test_wrong_data(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    X, y = columns(path)
    model = SequenceClassifier(**PARAMS)
    with pytest.raises(DataError, match="columns of the same LargeTable"):
        model.fit(X, ["pos"] * 600)
    with pytest.raises(UsageError, match="sample_weight is not supported"):
        model.fit(X, y, np.ones(600))
    with pytest.raises(DataError, match="columns of the same"):
        model.fit(X, columns(path)[1])
    found = LargeTable(path, ["score", "label"], tmp_path)
    with pytest.raises(DataError, match="column score does not hold texts"):
        model.fit(found["score"], found["label"])
    with pytest.raises(DataError, match="every target is missing"):
        model.fit(*columns(write(tmp_path / "b.parquet", label=pa.nulls(600, pa.string()))))
    with pytest.raises(DataError, match="only one class"):
        model.fit(*columns(write(tmp_path / "c.parquet", label=["pos"] * 600)))


def test_the_time_limit_includes_the_preparation(tmp_path: Path, monkeypatch) -> None:
    def stop(network, objective, batches, valid, settings, **options):
        assert 0 < settings.max_minutes < 5
        raise StopError

    path, now = write(tmp_path / "a.parquet"), iter(range(0, 6000, 60))
    monkeypatch.setattr(large, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr("recurra.training.loop.train", stop)
    with pytest.raises(StopError):
        SequenceClassifier(**PARAMS, max_minutes=5).fit(*columns(path))
