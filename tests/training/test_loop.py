"""What the loop promises beside resuming."""

from __future__ import annotations

import logging
import math
import random
import warnings

import numpy as np
import pytest
import torch

from recurra import SequenceClassifier, SequenceRegressor, nn
from recurra.data.batching.batches import Batch
from recurra.errors import DataError, EngineError, UsageError
from recurra.training import callbacks, loop
from recurra.training.checkpoints import CheckedFiles
from recurra.training.learning_curve import plot_history
from recurra.training.loop import WARM_UP, Learner, _rounding, checkpoint_to_resume, train
from recurra.training.quiet import quiet_lightning
from recurra.training.settings import LayerRate, Run, Settings, choose_device

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
    learner = Learner(torch.nn.Linear(1, 1), None, range(10), None, Settings(epochs=10), None)  # type: ignore[arg-type]
    assert learner.total_steps == 100
    rates = [learner._rate(step) for step in (0, 1, 4, 50, 75, 100, 120)]
    falls = [0.5 * (1 + math.cos(math.pi * share)) for share in (0, 0.01, 0.04, 0.5, 0.75, 1, 1)]
    rises = [0.2, 0.4, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(rates, np.multiply(rises, falls), rtol=1e-12, atol=1e-15)


def test_tokens_per_second():
    learner = Learner(torch.nn.Linear(1, 1), None, range(10), None, Settings(epochs=10), None)  # type: ignore[arg-type]
    learner._tokens, learner._seconds = 30, 4.0
    assert learner.tokens_per_second == 7.5
    learner._seconds = 0.25
    assert learner.tokens_per_second == 120.0
    learner._seconds = 0.0
    assert learner.tokens_per_second == pytest.approx(30e9)


def test_default_settings():
    found = Settings()
    assert (found.epochs, found.learning_rate, found.weight_decay, found.gradient_clip) == (10, 2e-3, 0.0, 1.0)
    assert (found.min_delta, found.seed, found.verbose, found.checkpoint_minutes) == (0.0, 0, 1, 10.0)
    assert (found.patience, found.max_minutes, found.checkpoint) == (None, None, None)
    assert (found.health_checks, found.resume) == (False, False)


def test_a_cuda_device_must_be_one_of_those_that_torch_sees(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:0") == torch.device("cuda:0")
    for name in ("cuda:1", "cuda:2"):
        with pytest.raises(EngineError, match="not there: torch sees 1"):
            choose_device(name)
    with pytest.raises(EngineError, match="not supported"):
        choose_device("meta")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EngineError, match="not there: torch sees 0"):
        choose_device("cuda")
    for there, chosen in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto") == torch.device(chosen)


# the learner, step by step


class Objective:
    """A mean of squares, with a weight for each row."""

    monitor, monitor_mode, perfect = "loss", "min", None

    def loss(self, network, batch):
        return (network(batch.values)[:, 0].square() * batch.weights).sum(), batch.weights.sum()

    def observe(self, network, batch):
        return float(network(batch.values).detach().sum())

    def metrics(self, observed):
        return {"loss": sum(observed), "seen": len(observed)}


class Carried(Objective):
    state = None

    def carried(self):
        return self.state

    def carry(self, state):
        self.state = state


def learner(objective=None, valid=None, network=None, **settings):
    network = network or torch.nn.Linear(1, 1)
    return Learner(network, objective or Objective(), range(10), valid, Settings(**settings))  # type: ignore[arg-type]


def batch(values, weights=None):
    found = torch.tensor(values)[:, None]
    weights = torch.ones(len(found)) if weights is None else torch.tensor(weights)
    return Batch(found, torch.arange(1, len(found) + 1), None, weights, torch.arange(len(found)))


def test_a_step_gives_the_weighted_mean_and_adds_to_the_epoch():
    found = learner()
    with torch.no_grad():
        found.network.weight.fill_(2.0)
        found.network.bias.zero_()
    assert found.running_loss == 0.0
    assert found.training_step(batch([1.0, 2.0], [1.0, 3.0]), 0).item() == (4 + 3 * 16) / 4
    assert found.training_step(batch([3.0]), 1).item() == 36.0
    assert found.running_loss == (52 + 36) / 5
    assert found._tokens == 1 + 2 + 1
    assert found.training_step(batch([3.0], [0.0]), 2).item() == 0.0  # nothing counts


def test_an_epoch_is_closed_with_its_figures():
    found = learner(valid=object())
    found.training_step(batch([1.0]), 0)
    loss = found.running_loss
    found._seconds, found._tokens = 2.0, 6
    found.validation_step(batch([1.0]), 0)
    found.validation_step(batch([2.0]), 1)
    found.close_epoch()
    (row,) = found.history
    assert (row["epoch"], row["loss"], row["valid_seen"]) == (1, loss, 2)
    assert (row["tokens_per_second"], row["seconds"]) == (3.0, 2.0)
    assert (found.running_loss, found.tokens_per_second, found._seconds, found._observed) == (0.0, 0.0, 0.0, [])
    found.close_epoch()
    assert found.history[1]["epoch"] == 2
    assert found.history[1]["valid_seen"] == 0
    alone = learner()
    alone.close_epoch()
    assert set(alone.history[0]) == {"epoch", "loss", "tokens_per_second", "seconds"}


def test_a_checkpoint_holds_the_open_epoch():
    found = learner(Carried(), fingerprint={"data": "x"})
    found.objective.state = "there"
    found.history = [{"epoch": 1.0}]
    found._loss_sum, found._weight_sum, found._seconds, found._tokens = 1.0, 2.0, 3.0, 4
    checkpoint = {}
    found.on_save_checkpoint(checkpoint)
    assert checkpoint["recurra"] == {
        "fingerprint": {"data": "x"},
        "history": [{"epoch": 1.0}],
        "open_epoch": [1.0, 2.0, 3.0, 4],
        "carried": "there",
    }
    again = learner(Carried())
    again.on_load_checkpoint(checkpoint)
    assert (again.history, again.objective.state) == ([{"epoch": 1.0}], "there")
    assert (again._loss_sum, again._weight_sum, again._seconds, again._tokens) == (1.0, 2.0, 3.0, 4)
    learner().on_save_checkpoint(checkpoint)
    assert checkpoint["recurra"]["carried"] is None
    learner().on_load_checkpoint(checkpoint)


def test_weights_decay_and_biases_do_not():
    found = learner(weight_decay=0.5, learning_rate=0.25)
    configured = found.configure_optimizers()
    groups = configured["optimizer"].param_groups
    assert [[p.dim() for p in group["params"]] for group in groups] == [[2], [1]]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert {(group["initial_lr"], group["fused"]) for group in groups} == {(0.25, True)}
    assert groups[0]["lr"] == 0.25 * found._rate(0)
    assert isinstance(configured["optimizer"], torch.optim.AdamW)
    assert configured["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize(
    ("gradient", "limit", "clipped"),
    [
        ([3.0, 4.0], 1.0, [0.6, 0.8]),
        ([3.0, 4.0], 5.1, [3.0, 4.0]),
        ([3.0, 4.0], 0.0, [3.0, 4.0]),
        ([3.0, 4.0], None, [3.0, 4.0]),
        ([math.nan, 4.0], 1.0, [math.nan, math.nan]),
    ],
)
def test_gradients_are_clipped_by_their_norm(gradient, limit, clipped):
    found = learner()
    found.network.weight.grad, found.network.bias.grad = (
        torch.tensor(gradient[:1])[:, None],
        torch.tensor(gradient[1:]),
    )
    unused = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([*found.network.parameters(), unused], lr=1.0)
    found.configure_gradient_clipping(optimizer, limit)
    result = [float(p.grad) for p in found.network.parameters()]
    np.testing.assert_allclose(result, clipped, rtol=1e-5)
    if limit and limit > 5:
        assert result == gradient  # not a bit changes
    assert unused.grad is None


def test_dropout_is_drawn_from_the_seed_and_the_step():
    draws = []
    with torch.random.fork_rng(devices=[]):
        for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0), (2**32 - 1, 0)):
            found = learner(seed=seed)
            found.__class__ = type("Stepped", (Learner,), {"global_step": step})
            found.on_train_batch_start(None, 0)
            draws.append(torch.rand(1).item())
            assert seed or torch.default_generator.initial_seed() == step  # as in earlier versions
    assert draws[0] == draws[3]
    assert len({draws[0], draws[1], draws[2], draws[4]}) == 4  # torch reads the lower 32 bits of a seed only


def test_the_time_of_the_steps_alone_is_taken(monkeypatch):
    now = [5.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    found = learner()
    for begin, end in ((5.0, 7.0), (10.0, 11.0)):
        now[0] = begin
        with torch.random.fork_rng(devices=[]):
            found.on_train_batch_start(None, 0)
        now[0] = end
        found.on_train_batch_end(None, None, 0)
    assert found._seconds == 3.0


def test_the_first_bad_number_of_a_loss_is_named():
    found = learner()
    with pytest.raises(DataError, match=r"(?s)became nan at step 1; .*the first bad number is nan in input at"):
        found.training_step(batch([math.nan]), 0)
    with pytest.raises(DataError) as error:  # the loss itself overflows: nothing before it is bad
        found.training_step(batch([1.0, 1.0], [3e38, 3e38])._replace(values=torch.full((2, 1), 1e10)), 0)
    assert "became inf" in str(error.value)
    assert "first bad number" not in str(error.value)


def test_where_a_run_goes_on(tmp_path):
    path = tmp_path / "last.ckpt"
    assert checkpoint_to_resume(Settings(resume=True)) is None
    assert checkpoint_to_resume(Settings(resume=True, checkpoint=path)) is None
    CheckedFiles().save_checkpoint({"recurra": {"fingerprint": {"data": "x", "more": 1}}}, path)
    same = Settings(resume=True, checkpoint=path, fingerprint={"data": "x"})
    assert checkpoint_to_resume(same) == path
    with pytest.raises(UsageError, match="contains the state of an earlier run"):
        checkpoint_to_resume(Settings(checkpoint=path, fingerprint={"data": "x"}))
    with pytest.raises(UsageError, match=r"because these are different: data, new\n"):
        checkpoint_to_resume(Settings(resume=True, checkpoint=path, fingerprint={"data": "y", "more": 1, "new": 2}))


def test_layers_train_with_the_precision_of_the_run_unless_they_have_their_own():
    network = torch.nn.ModuleList([nn.GRU(1, 2), nn.GRU(1, 2, precision="bfloat16"), torch.nn.Linear(1, 1)])
    precisions = lambda: [layer.precision for layer in network[:2]]  # noqa: E731

    def fails():
        with _rounding(network, "bfloat16"):
            assert precisions() == ["bfloat16", "bfloat16"]
            raise ValueError("ends")

    with pytest.raises(ValueError, match="ends"):
        fails()
    assert precisions() == ["float32", "bfloat16"]


def test_lightning_is_quiet_while_it_trains():
    names = ("pytorch_lightning", "lightning.pytorch", "lightning")
    before = [logging.getLogger(name).level for name in names]

    def fails():
        with quiet_lightning():
            assert [logging.getLogger(name).level for name in names] == [logging.ERROR] * 3
            warnings.warn_explicit("hint", UserWarning, "x.py", 1, module="pytorch_lightning.trainer")
            warnings.warn_explicit("hint", UserWarning, "x.py", 1, module="lightning.fabric")
            warnings.warn_explicit("a LeafSpec is old", FutureWarning, "x.py", 1, module="torch")
            warnings.warn_explicit("other", UserWarning, "x.py", 1, module="torch")
            warnings.warn_explicit("a LeafSpec", UserWarning, "x.py", 1, module="torch")
            raise ValueError("ends")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="ends"):
            fails()
    assert [str(w.message) for w in seen] == ["other", "a LeafSpec"]
    assert [logging.getLogger(name).level for name in names] == before


@pytest.mark.parametrize("watched", [False, True])
def test_a_run_tells_what_became_of_it(monkeypatch, watched):
    monkeypatch.setattr(loop.HealthMonitor, "_allows", lambda self, seconds: True)

    class Source:
        def __init__(self):
            self.sought = []

        def __len__(self):
            return 2

        def __iter__(self):
            return iter([batch([1.0]), batch([2.0])])

        def seek(self, step):
            self.sought.append(step)

    network, source = torch.nn.Linear(1, 1).eval(), Source()
    settings = Settings(epochs=3, verbose=0, health_checks=watched, gradient_clip=0.5)
    run = train(network, Objective(), source, None, settings)  # type: ignore[arg-type]
    assert run == Run(run.history, 3, False, False, run.health)
    assert [row["looks"] for row in run.health] == [2, 2, 2] * watched
    assert all(row["clipped"] == 1.0 for row in run.health)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert source.sought == [0]
    assert not network.training
    assert Run([], 0, False, False).health == []


def test_layers_train_at_their_own_rates():
    network = torch.nn.ModuleDict({"early": torch.nn.Linear(2, 2), "late": torch.nn.Linear(2, 1)})
    layers = (LayerRate("early", 0.5, begin=0.3),)
    settings = Settings(epochs=2, learning_rate=0.1, weight_decay=0.2, layers=layers)
    learner = Learner(network, None, range(50), None, settings)
    parts = learner.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0, 0.2, 0.0]
    assert optimizer.param_groups[2]["params"][0] is network["early"].weight
    for step in range(60):
        late, early = schedule.get_last_lr()[0], schedule.get_last_lr()[2]
        assert early == (0.5 * late if step >= 30 else 0)
        optimizer.step()
        schedule.step()
