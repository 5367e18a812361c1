"""An observer learns the metrics of each epoch and ends runs."""

from __future__ import annotations

from typing import Any

import pytest

from recurra import SequenceClassifier
from recurra.training.observer import observed_by

TEXTS, LABELS = ["good film", "bad film"] * 40, ["yes", "no"] * 40


class Watcher:
    """Ends a run after some steps, or by an exception after an epoch."""

    def __init__(self, steps: int = 1000, epochs: int = 1000) -> None:
        self.steps, self.epochs = steps, epochs
        self.rows: list[dict[str, Any]] = []

    def after_step(self) -> bool:
        self.steps -= 1
        return self.steps <= 0

    def after_epoch(self, row: Any, epochs: int) -> None:
        self.rows.append({**row, "planned": epochs})
        if len(self.rows) >= self.epochs:
            raise LookupError


def fit(watcher: Watcher) -> SequenceClassifier:
    model = SequenceClassifier(
        hidden_size=4, embedding_size=4, tokens="word", epochs=5, batch_size=8, n_iter_no_change=None, verbose=0
    )
    with observed_by(watcher):
        return model.fit(TEXTS, LABELS)


def test_it_receives_the_history():
    watcher = Watcher()
    model = fit(watcher)
    assert [row["valid_accuracy"] for row in watcher.rows] == [row["valid_accuracy"] for row in model.history_]
    assert {row["planned"] for row in watcher.rows} == {5}


def test_it_ends_a_run_after_a_validation():
    model = fit(Watcher(steps=12))  # an epoch has 9
    assert len(model.history_) == 2
    assert "valid_accuracy" in model.history_[-1]


def test_its_exception_leaves_the_run():
    watcher = Watcher(epochs=2)
    with pytest.raises(LookupError):
        fit(watcher)
    assert len(watcher.rows) == 2
    assert len(fit(Watcher()).history_) == 5
