"""When training stops: no clearly better epoch comes, or nothing is left to gain."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError
from recurra.training.callbacks import TINY_LOSS, KeepBest


def run(rows, *, resumed_after=None, greater=True, **options):
    """How many of the epochs are trained, and which one is kept."""
    keep = KeepBest("valid_accuracy" if greater else "valid_loss", greater, **{"patience": 3, **options})
    module = types.SimpleNamespace(history=[], network=torch.nn.Linear(1, 1))
    trainer = types.SimpleNamespace(should_stop=False)
    for epoch, row in enumerate(rows, 1):
        module.close_epoch = lambda row=row: module.history.append(row)
        keep.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
        if epoch == resumed_after:
            state, keep = keep.state_dict(), KeepBest(keep.monitor, greater, **{"patience": 3, **options})
            keep.load_state_dict(state)
            keep.on_train_start(trainer, module)  # type: ignore[arg-type]
        if trainer.should_stop:
            return epoch, keep.epoch
    return len(rows), keep.epoch


def figures(accuracies, losses):
    return [{"valid_accuracy": a, "valid_loss": x} for a, x in zip(accuracies, losses, strict=True)]


def test_gains_too_small_to_matter_do_not_keep_a_run_alive():
    losses = [1.0, 0.9, 0.8999, 0.8998, 0.8997, 0.8996, 0.8995]
    rows = figures([0.8] * 7, losses)
    assert run(rows, min_delta=1e-3) == (5, 5)  # nothing clearly better after the second, and the fifth is the best
    assert run(rows, min_delta=0.0) == (7, 7)


def test_small_gains_add_up():
    rows = figures([0.8] * 20, [1 - 0.0005 * i for i in range(20)])
    assert run(rows, min_delta=1e-3) == (20, 20)  # each third epoch is a thousandth better than the one before


def test_the_figure_goes_before_the_loss():
    rows = figures([0.5, 0.6, 0.55, 0.55, 0.55, 0.55], [1.0, 0.9, 0.5, 0.4, 0.3, 0.2])
    assert run(rows, min_delta=1e-3) == (5, 2)


def test_a_smaller_figure_can_be_better():
    rows = [{"valid_loss": x} for x in (1.0, 0.5, 0.4999, 0.51, 0.52, 0.1)]
    assert run(rows, greater=False, min_delta=1e-3) == (5, 3)


def test_a_perfect_score_ends_training():
    rows = figures([0.9, 1.0, 1.0, 1.0], [0.3, 0.1, TINY_LOSS / 2, TINY_LOSS / 4])
    assert run(rows, patience=None, perfect=1.0) == (3, 3)
    assert run(rows, patience=None) == (4, 4)


@pytest.mark.parametrize("resumed_after", range(1, 7))
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(resumed_after):
    rows = figures([0.8] * 7, [1.0, 0.9, 0.8999, 0.8998, 0.8997, 0.8996, 0.8995])
    assert run(rows, min_delta=1e-3, resumed_after=resumed_after) == run(rows, min_delta=1e-3)
    rows = figures([0.9, 1.0, 1.0, 1.0, 1.0, 1.0], [0.3, 0.1, TINY_LOSS / 2, 0.0, 0.0, 0.0])
    assert run(rows, patience=None, perfect=1.0, resumed_after=resumed_after) == (3, 3)


def test_the_state_of_an_earlier_version_is_read():
    keep = KeepBest("valid_accuracy", True, 3)
    keep.load_state_dict({"best": [0.5, -1.0], "epoch": 2, "weights": {}})
    assert (keep.reference, keep.gained) == ([0.5, -1.0], 2)


def test_the_first_example_of_the_readme_is_done_in_a_few_epochs():
    model = SequenceClassifier(verbose=0).fit(["정말 재미있어요", "너무 지루해요"] * 100, ["good", "bad"] * 100)
    assert model.n_iter_ < 40
    assert model.metrics_["valid"]["accuracy"] == 1.0


def test_a_share_that_is_none_is_refused():
    X = [np.ones((3, 1)), np.zeros((3, 1))] * 10
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(UsageError, match="min_delta"):
            SequenceRegressor(min_delta=value, verbose=0).fit(X, [0.0, 1.0] * 10)


def test_a_worse_figure_with_a_better_loss_is_not_clearly_better():
    keep = KeepBest("valid_accuracy", True, 3, min_delta=0.01)
    keep.reference = [0.8, -1.0]
    scores = [[0.7, -0.1], [0.8, -0.1], [0.8, -0.995], [0.807, -1.0], [0.81, -2.0], [0.807, -0.1]]
    assert [keep._clearly_better(score) for score in scores] == [False, True, False, False, True, True]
