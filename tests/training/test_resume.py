"""A run that was cut off goes on to the very result of one that was not."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from recurra import SequenceClassifier
from recurra.errors import UsageError
from recurra.training import callbacks

STEPS = 12  # of an epoch: 180 training sequences in batches of 16


class KilledError(Exception):
    pass


def data():
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(0, 12), 3)) for _ in range(200)]
    return X, [int(x.sum() > 0) for x in X]


def estimator(**changes):
    arguments = {"hidden_size": 8, "epochs": 4, "batch_size": 16, "learning_rate": 0.01, "n_iter_no_change": None}
    return SequenceClassifier(**{**arguments, "validation_fraction": 0.1, **changes}, verbose=0)


def figures(fitted):
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in fitted.history_]


@pytest.fixture(scope="module")
def uninterrupted():
    return estimator().fit(*data())


def kill_at(monkeypatch, step):
    original, count = callbacks.SaveRun.on_train_batch_end, [0]

    def killing(self, *args):
        original(self, *args)
        count[0] += 1
        if count[0] == step:
            raise KilledError

    monkeypatch.setattr(callbacks.SaveRun, "on_train_batch_end", killing)


@pytest.mark.parametrize("minutes", [0.0, 100.0], ids=["after every step", "after every epoch"])
@pytest.mark.parametrize("step", [1, STEPS - 1, STEPS, STEPS + 1, 3 * STEPS, 4 * STEPS])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, uninterrupted, step, minutes):
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(KilledError):
            estimator().fit(*data(), checkpoint=tmp_path, checkpoint_minutes=minutes)
    resumed = estimator().fit(*data(), checkpoint=tmp_path, checkpoint_minutes=minutes, resume=True)
    assert resumed.resumed_ == (step > STEPS or (minutes == 0 and step > 0))
    assert figures(resumed) == figures(uninterrupted)
    np.testing.assert_array_equal(resumed.predict_proba(data()[0]), uninterrupted.predict_proba(data()[0]))


def test_a_finished_run_is_only_loaded(tmp_path, uninterrupted):
    estimator().fit(*data(), checkpoint=tmp_path)
    again = estimator().fit(*data(), checkpoint=tmp_path, resume=True)
    assert figures(again) == figures(uninterrupted)


def test_a_run_that_stopped_early_does_not_go_on(tmp_path):
    changes = {"epochs": 30, "n_iter_no_change": 2, "learning_rate": 0.05}
    first = estimator(**changes).fit(*data(), checkpoint=tmp_path)
    assert first.n_iter_ < 30
    assert first.n_iter_ == first.best_epoch_ + 2
    again = estimator(**changes).fit(*data(), checkpoint=tmp_path, resume=True)
    assert figures(again) == figures(first)


@pytest.mark.parametrize(
    ("changes", "named"), [({"hidden_size": 9}, "hidden_size"), ({"random_state": 1}, "random_state")]
)
def test_another_run_is_not_gone_on_with(tmp_path, changes, named):
    estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    with pytest.raises(UsageError, match=named):
        estimator(epochs=1, **changes).fit(*data(), checkpoint=tmp_path, resume=True)


def test_other_data_are_not_gone_on_with(tmp_path):
    estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    X, y = data()
    y[5] = 1 - y[5]
    with pytest.raises(UsageError, match="training data"):
        estimator(epochs=1).fit(X, y, checkpoint=tmp_path, resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path):
    estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    file = tmp_path / "last.ckpt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UsageError, match="checksum"):
        estimator(epochs=1).fit(*data(), checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("step", [3, STEPS, STEPS + 5])
def test_ctrl_c_keeps_the_best_and_can_be_resumed(tmp_path, monkeypatch, uninterrupted, step):
    count = [0]

    def press(self, *args):
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SaveRun, "on_train_batch_end", press)
        stopped = estimator().fit(*data(), checkpoint=tmp_path)
    assert stopped.interrupted_
    assert stopped.best_epoch_ == (0 if step < STEPS else 1)
    assert len(stopped.predict(data()[0])) == 200
    resumed = estimator().fit(*data(), checkpoint=tmp_path, resume=True)
    assert not resumed.interrupted_
    assert figures(resumed) == figures(uninterrupted)


def test_ctrl_c_works_as_before_after_training():
    before = signal.getsignal(signal.SIGINT)
    estimator(epochs=1).fit(*data())
    assert signal.getsignal(signal.SIGINT) is before
