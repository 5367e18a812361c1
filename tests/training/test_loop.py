"""What the loop promises beside resuming."""

from __future__ import annotations

import logging
import math
import random

import numpy as np
import pytest
import torch

from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError, EngineError
from recurra.training.learning_curve import plot_history
from recurra.training.settings import choose_device

X = [np.random.default_rng(i).normal(size=(i % 7, 2)) for i in range(80)]
Y = [int(x.sum() > 0) for x in X]


def small(**changes):
    return SequenceClassifier(hidden_size=4, verbose=0, **{"epochs": 2, "batch_size": 16, **changes})


def test_global_generators_and_loggers_stay_as_they_were():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    levels = [logging.getLogger(n).level for n in ("pytorch_lightning", "lightning.pytorch")]
    small(dropout=0.5).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    assert [logging.getLogger(n).level for n in ("pytorch_lightning", "lightning.pytorch")] == levels


def test_same_seed_same_model_whatever_happened_before():
    first = small(dropout=0.5).fit(X, Y).predict_proba(X)
    torch.rand(7)
    np.testing.assert_array_equal(small(dropout=0.5).fit(X, Y).predict_proba(X), first)
    assert not np.array_equal(small(dropout=0.5, random_state=1).fit(X, Y).predict_proba(X), first)


def test_the_best_epoch_is_the_one_kept():
    away = [-float(x.sum()) for x in X[:20]]  # the better the training data are learnt, the worse these are
    fitted = SequenceRegressor(hidden_size=8, epochs=12, learning_rate=0.03, batch_size=8, verbose=0).fit(
        X, [float(x.sum()) for x in X], validation_data=(X[:20], away)
    )
    losses = [row["valid_loss"] for row in fitted.history_]
    assert fitted.best_epoch_ == int(np.argmin(losses)) + 1
    assert losses[-1] > min(losses)  # otherwise this test shows nothing
    assert fitted.evaluate(X[:20], away)["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_without_validation_data_the_last_epoch_is_kept():
    fitted = small(validation_fraction=0.0, epochs=3).fit(X, Y)
    assert fitted.best_epoch_ == 3
    assert "valid_loss" not in fitted.history_[0]


def test_a_loss_that_explodes_is_a_clear_error():
    huge = [x * 1e30 for x in X]
    with pytest.raises(DataError, match="smaller learning rate"):
        SequenceRegressor(
            cell="rnn_relu", pooling="last", verbose=0, gradient_clip=0, learning_rate=1e30, epochs=5
        ).fit(huge, [float(i) for i in range(80)])


def test_nothing_is_printed_without_a_terminal_but_that_a_model_is_useless(capfd):
    alike = [int(x.prod(1).sum() > 0) for x in X]  # no statistic of a single feature tells
    model = SequenceClassifier(hidden_size=16, epochs=25, batch_size=8, learning_rate=0.02)
    model.fit(X, alike, validation_data=(X, alike))
    assert capfd.readouterr() == ("", "")
    SequenceClassifier(hidden_size=4, epochs=1, verbose=1).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("The network did not learn: its training loss of ")
    assert err.count("\n") == 1
    SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(X, Y)
    assert capfd.readouterr() == ("", "")


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(EngineError, match="no device 'gpu'"):
        choose_device("gpu")
    with pytest.raises(EngineError, match="not there"):
        choose_device("cuda:99")


@pytest.mark.gpu
def test_trains_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = small(device="cuda", epochs=20, learning_rate=0.02).fit(X, Y)
    assert found.score(X, Y) > 0.8


def test_learning_curve_is_a_picture(tmp_path):
    plot_history(small().fit(X, Y).history_, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# the clock


def test_the_clock_ends_a_run_with_a_validation(monkeypatch):
    from recurra.training import callbacks

    now = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now.__setitem__(0, now[0] + 1) or now[0])
    fitted = small(epochs=None, max_minutes=1.0, learning_rate=0.01, validation_fraction=0.1).fit(X, Y)
    assert 1 <= fitted.n_iter_ < 20
    assert "valid_loss" in fitted.history_[-1]
    assert fitted.best_epoch_ >= 1
    assert not fitted.interrupted_
    free = small(epochs=2).fit(X, Y)
    slow = small(epochs=2, max_minutes=1e6).fit(X, Y)
    assert [row["loss"] for row in slow.history_] == [row["loss"] for row in free.history_]


def test_the_learning_rate_falls_with_the_clock(monkeypatch):
    from recurra.training import callbacks
    from recurra.training.loop import WARM_UP, Learner
    from recurra.training.settings import Settings

    now = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    clock = callbacks.Clock(1.0)
    learner = Learner(torch.nn.Linear(1, 1), None, range(10), None, Settings(epochs=1000), clock)  # type: ignore[arg-type]
    rates = []
    for now[0] in (0.0, 60 * WARM_UP / 2, 60 * WARM_UP, 30.0, 60.0, 99.0):
        rates.append(learner._rate(1))
    assert rates[0] < 0.01
    np.testing.assert_allclose(rates[1:], [0.5, 1.0, 0.5, 0.0, 0.0], atol=0.01)
    kept = clock.state_dict()
    again = callbacks.Clock(1.0)
    now[0] = 1000.0
    again.load_state_dict({**kept, "gone": 30.0})
    assert again.share == 0.5


def test_the_learning_rate_rises_and_falls_with_the_steps():
    from recurra.training.loop import Learner
    from recurra.training.settings import Settings

    learner = Learner(torch.nn.Linear(1, 1), None, range(10), None, Settings(epochs=10), None)  # type: ignore[arg-type]
    assert learner.total_steps == 100
    rates = [learner._rate(step) for step in (0, 1, 4, 50, 75, 100, 120)]
    falls = [0.5 * (1 + math.cos(math.pi * share)) for share in (0, 0.01, 0.04, 0.5, 0.75, 1, 1)]
    rises = [0.2, 0.4, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(rates, np.multiply(rises, falls), rtol=1e-12, atol=1e-15)


def test_tokens_per_second():
    from recurra.training.loop import Learner
    from recurra.training.settings import Settings

    learner = Learner(torch.nn.Linear(1, 1), None, range(10), None, Settings(epochs=10), None)  # type: ignore[arg-type]
    learner._tokens, learner._seconds = 30, 4.0
    assert learner.tokens_per_second == 7.5


def test_default_settings():
    from recurra.training.settings import Settings

    found = Settings()
    assert (found.epochs, found.learning_rate, found.weight_decay, found.gradient_clip) == (10, 2e-3, 0.0, 1.0)
    assert (found.min_delta, found.seed, found.verbose, found.checkpoint_minutes) == (0.0, 0, 1, 10.0)
    assert (found.patience, found.max_minutes, found.checkpoint) == (None, None, None)
    assert (found.watch, found.resume) == (False, False)


def test_a_cuda_device_must_be_one_of_those_that_torch_sees(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:0") == torch.device("cuda:0")
    for name in ("cuda:1", "cuda:2"):
        with pytest.raises(EngineError, match="not there: torch sees 1"):
            choose_device(name)
    with pytest.raises(EngineError, match="not supported"):
        choose_device("meta")
