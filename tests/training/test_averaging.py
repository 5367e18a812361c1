"""Averaged weights: what is averaged, what is validated and kept, and that training itself is not changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from killing import killed_after
from recurra import SequenceClassifier
from recurra.training.averaging import AverageWeights

X = [np.random.default_rng(i).normal(size=(3 + i % 7, 2)) for i in range(80)]
Y = [int(x.sum() > 0) for x in X]
STEPS = 4  # of an epoch: 64 training sequences in batches of 16


def small(**changes):
    arguments = {"hidden_size": 4, "epochs": 3, "batch_size": 16, "learning_rate": 0.03, "validation_fraction": 0.2}
    return SequenceClassifier(**{**arguments, "n_iter_no_change": None, "verbose": 0, **changes})


@pytest.fixture
def after_steps(monkeypatch):
    """The weights of the head after each step."""
    found, original = [], AverageWeights.on_train_batch_end

    def watching(self, trainer, module, *rest):
        found.append(module.network.head.weight.detach().clone())
        return original(self, trainer, module, *rest)

    monkeypatch.setattr(AverageWeights, "on_train_batch_end", watching)
    return found


def test_the_average_is_kept_and_validated(after_steps):
    model = small(average_weights=True).fit(X, Y)
    mean = after_steps[0]
    for step, weight in enumerate(after_steps[: STEPS * model.best_epoch_], 1):
        mean = mean + (weight - mean) * max(1 / step, 1 / STEPS)
    assert len(after_steps) == 3 * STEPS
    torch.testing.assert_close(model.network_.head.weight, mean, rtol=0, atol=1e-6)
    assert not torch.allclose(model.network_.head.weight, after_steps[STEPS * model.best_epoch_ - 1], atol=1e-4)


def test_training_goes_on_with_its_own_weights():
    plain, averaged = (small(average_weights=average).fit(X, Y) for average in (False, True))
    assert [row["loss"] for row in plain.history_] == [row["loss"] for row in averaged.history_]
    assert plain.history_[-1]["valid_loss"] != averaged.history_[-1]["valid_loss"]


def test_the_metrics_are_those_of_the_kept_weights():
    model = small(average_weights=True).fit(X, Y, validation_data=(X[:20], Y[:20]))
    found = model.evaluate(X[:20], Y[:20])["loss"]
    assert found == pytest.approx(model.history_[model.best_epoch_ - 1]["valid_loss"], rel=1e-6)


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, 3 * STEPS - 1])
def test_a_killed_run_continues_with_the_same_average(step, tmp_path):
    whole = small(average_weights=True).fit(X, Y)

    with killed_after(step):
        small(average_weights=True).fit(X, Y, checkpoint=tmp_path, checkpoint_minutes=0.0)
    again = small(average_weights=True).fit(X, Y, checkpoint=tmp_path, resume=True)
    for one, other in zip(whole.network_.parameters(), again.network_.parameters(), strict=True):
        assert torch.equal(one, other)
