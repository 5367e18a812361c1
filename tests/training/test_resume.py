"""A run that was cut off goes on to the very result of one that was not."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from killing import killed_after
from recurra import SequenceClassifier
from recurra._util.atomic import locked
from recurra.errors import ModelFolderError, UsageError
from recurra.training import callbacks
from recurra.training.checkpoints import CheckedFiles

STEPS = 12  # of an epoch: 180 training sequences in batches of 16


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


@pytest.mark.parametrize(
    ("minutes", "step"),
    [
        *[(0.0, step) for step in (1, STEPS - 1, STEPS, STEPS + 1, 4 * STEPS)],  # saved after every step
        *[(100.0, step) for step in (STEPS, STEPS + 1, 3 * STEPS)],  # after every epoch
    ],
)
def test_resumed_equals_uninterrupted(tmp_path, uninterrupted, step, minutes):
    with killed_after(step):
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


def test_a_damaged_checkpoint_is_refused(tmp_path):
    """Also with a single flipped bit, which may leave a readable file with other weights."""
    estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    file = tmp_path / "last.ckpt"
    content = file.read_bytes()
    bits = np.random.default_rng(0).integers(8 * len(content), size=40)
    damaged = [content[:1000], content[:10], b"", content + b"\0"]
    for bit in [0, 300, *map(int, bits)]:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(changed))
    for found in damaged:
        file.write_bytes(found)
        with pytest.raises(UsageError, match="is damaged"):
            estimator(epochs=1).fit(*data(), checkpoint=tmp_path, resume=True)
        assert file.read_bytes() == found
    file.write_bytes(content)
    assert estimator(epochs=1).fit(*data(), checkpoint=tmp_path, resume=True).resumed_


def test_a_checkpoint_executes_nothing(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    CheckedFiles().save_checkpoint({"recurra": Attack()}, tmp_path / "last.ckpt")
    with pytest.raises(UsageError, match="damaged"):
        estimator(epochs=1).fit(*data(), checkpoint=tmp_path, resume=True)
    assert not (tmp_path / "executed").exists()


def test_damaged_prepared_data_are_prepared_again(tmp_path, uninterrupted):
    with killed_after(STEPS + 3):
        estimator().fit(*data(), checkpoint=tmp_path, checkpoint_minutes=0)
    for name in ("training.arrow", "validation.arrow"):
        if (tmp_path / name).exists():
            content = bytearray((tmp_path / name).read_bytes())
            content[len(content) // 2] ^= 1
            (tmp_path / name).write_bytes(content)
    resumed = estimator().fit(*data(), checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    assert figures(resumed) == figures(uninterrupted)


def test_the_state_of_an_earlier_run_is_not_overwritten(tmp_path):
    estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(UsageError, match="resume=True"):
        estimator(epochs=1, random_state=1).fit(*data(), checkpoint=tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_two_runs_do_not_share_a_folder(tmp_path):
    def other():
        with locked(tmp_path, ""):
            held.set()
            done.wait()

    held, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    with pytest.raises(UsageError, match="another process is training"):
        estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
    done.set()
    thread.join()


@pytest.mark.parametrize("place", ["checkpoint", "data"])
def test_a_full_disk_is_named(tmp_path, monkeypatch, place):
    def full(handle):
        raise OSError(28, "No space left on device")

    if place == "checkpoint":
        estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
        before = (tmp_path / "last.ckpt").read_bytes()
        saving = CheckedFiles().save_checkpoint
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ModelFolderError, match=r"last\.ckpt cannot be written: No space left on device"):
            saving({}, tmp_path / "last.ckpt")
        assert (tmp_path / "last.ckpt").read_bytes() == before
    else:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ModelFolderError, match=r"training\.arrow cannot be written: No space left on device"):
            estimator(epochs=1).fit(*data(), checkpoint=tmp_path)
        assert list(tmp_path.iterdir()) == []


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
