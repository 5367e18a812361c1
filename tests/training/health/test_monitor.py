"""Watching never changes what it watches, costs little, and names what goes wrong."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

import recurra
from recurra import LanguageModel, SequenceClassifier, SequenceRegressor
from recurra.errors import DataError
from recurra.training import callbacks
from recurra.training.health import monitor as watch
from recurra.training.health.monitor import BUDGET, Watch, _Look, said, watch_lights
from recurra.training.health.nonfinite import _look
from recurra.training.health.statistics import Bad
from recurra.training.health.thresholds import COLOURS, FINITE, GRADIENT, OVERFIT, UPDATE, Light, run_lights, worst

RANDOM = np.random.default_rng(0)
X = [RANDOM.normal(size=(RANDOM.integers(0, 12), 3)) for _ in range(100)]
Y = [int(x.sum() > 0) for x in X]


def estimator(**changes):
    arguments = {"hidden_size": 8, "epochs": 3, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0.1}
    return SequenceClassifier(**{**arguments, "verbose": 0, "dropout": 0.3, **changes})


def figures(fitted):
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in fitted.history_]


@pytest.fixture
def every_step(monkeypatch):
    """Lets a watch look at every step, whatever that costs."""
    monkeypatch.setattr(watch.Watch, "_allows", lambda self, seconds: True)


@pytest.mark.parametrize("changes", [{}, {"cell": "gru", "num_layers": 2}, {"cell": "rnn_relu"}, {"cell": "none"}])
def test_watching_changes_nothing(every_step, changes):
    alone, watched = estimator(**changes).fit(X, Y), estimator(**changes, watch=True).fit(X, Y)
    assert figures(watched) == figures(alone)
    np.testing.assert_array_equal(watched.predict_proba(X), alone.predict_proba(X))
    assert alone.watch_ == []
    assert [row["looks"] for row in watched.watch_] == [6, 6, 6]
    assert all(0 < row["update"] < 1 and row["gradient"] > 0 for row in watched.watch_)
    assert all(("saturated" in row) == (changes.get("cell", "lstm") in ("lstm", "gru")) for row in watched.watch_)
    assert all(("radius" in row) == (changes.get("cell") != "none") for row in watched.watch_)


def test_a_state_carried_from_window_to_window_is_watched_too(every_step):
    text = "the cat sat on the mat and the dog ran far away. " * 30
    models = [
        LanguageModel(hidden_size=8, epochs=2, batch_size=4, verbose=0, watch=flag).fit(text) for flag in (False, True)
    ]
    assert figures(models[0]) == figures(models[1])
    assert len(models[1].watch_) == 2


class KilledError(Exception):
    pass


@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, True)])
def test_watched_runs_resume(tmp_path, monkeypatch, every_step, flags):
    original, count = callbacks.SaveRun.on_train_batch_end, [0]

    def killing(self, *args):
        original(self, *args)
        count[0] += 1
        if count[0] == 8:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SaveRun, "on_train_batch_end", killing)
        with pytest.raises(KilledError):
            estimator(watch=flags[0]).fit(X, Y, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = estimator(watch=flags[1]).fit(X, Y, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    whole = estimator(watch=True).fit(X, Y)
    assert resumed.resumed_
    assert figures(resumed) == figures(whole)
    if all(flags):
        timeless = [{k: v for k, v in row.items() if k != "share_of_time"} for row in resumed.watch_]
        assert timeless == [{k: v for k, v in row.items() if k != "share_of_time"} for row in whole.watch_]


def test_signs_are_saved_with_the_model(tmp_path, every_step):
    fitted = estimator(watch=True).fit(X, Y)
    fitted.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").watch_ == fitted.watch_


def test_models_of_before_can_be_loaded(tmp_path):
    import json

    estimator(epochs=1).fit(X, Y).save(tmp_path / "m")
    for name, drop in (("metrics.json", lambda d: d.pop("watch")), ("config.json", lambda d: d["params"].pop("watch"))):
        content = json.loads((tmp_path / "m" / name).read_text())
        drop(content)
        (tmp_path / "m" / name).write_text(json.dumps(content))
    found = recurra.load(tmp_path / "m")
    assert (found.watch, found.watch_) == (False, [])


def test_update_size_of_a_known_step():
    """With plain gradient descent the update is the learning rate times the gradient."""
    layer = recurra.nn.RNN(2, 3, batch_first=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    look = _Look(layer)
    layer(torch.randn(4, 5, 2))[0].sum().backward()
    expected = {
        name: 0.5 * float(p.grad.norm() / p.detach().norm())
        for name, p in layer.named_parameters()
        if p.dim() > 1 and p.grad is not None
    }
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in layer.parameters() if p.grad is not None))
    look.before_update()
    optimizer.step()
    look.after_update()
    assert look.row["update"] == pytest.approx(max(expected.values()), rel=1e-5)
    assert expected[look.row["update_at"]] == pytest.approx(look.row["update"], rel=1e-5)
    assert look.row["gradient"] == pytest.approx(norm, rel=1e-5)
    assert not layer._forward_pre_hooks


def test_looks_keep_within_their_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watch.time, "thread_time", lambda: now[0])
    watching = Watch(clip=1.0)
    watching.on_train_start(None, None)  # type: ignore[arg-type]
    looks = 0
    for _ in range(20_000):
        now[0] += 0.002  # a step
        if watching._allows(watching._cost):
            now[0] += 0.006  # a look
            watching._pay(0.006)
            looks += 1
    assert watching._spent <= BUDGET * now[0]
    assert watching._spent >= 0.9 * BUDGET * now[0]  # and they use it
    assert looks > 50


# what it says


def test_sick_training_is_said_without_a_terminal(every_step, capfd):
    sick = estimator(watch=True, verbose=1, learning_rate=5.0, gradient_clip=0.0).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert "RED update size" in err
    assert "smaller learning rate" in err
    assert worst(run_lights(sick.watch_)) == "red"


def test_healthy_training_says_nothing_without_a_terminal(every_step, capfd):
    healthy = estimator(watch=True, verbose=1).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert not re.search("epoch|green|yellow|red", err, re.IGNORECASE)
    assert worst(light for row in healthy.watch_ for light in watch_lights(row)) == "green"
    assert worst(run_lights(healthy.watch_)) == "green"


def test_the_light_stands_in_the_line_of_a_terminal(every_step, monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    estimator(watch=True, verbose=1).fit(X, Y)
    assert re.search(r"epoch 3/3  loss .* tokens/s  green", capfd.readouterr().err)


# a loss that is not finite


def exploding(**changes):
    arguments = {"cell": "rnn_relu", "pooling": "last", "bidirectional": False, "hidden_size": 8, "epochs": 5}
    return SequenceRegressor(**{**arguments, "gradient_clip": 0.0, "learning_rate": 1e30, "verbose": 0, **changes})


@pytest.mark.parametrize("watched", [False, True])
def test_a_bad_loss_names_the_first_bad_number(watched):
    with pytest.raises(DataError, match=r"the loss became (nan|inf) at step \d+.*\n.*the first bad number is") as found:
        exploding(watch=watched).fit(X, [float(i) for i in range(100)])
    assert "encoder.recurrent" in str(found.value)


def test_the_place_of_a_bad_state_is_exact(monkeypatch):
    original = SequenceRegressor._build

    def build(self):
        network = original(self)
        layer = network.encoder.recurrent
        with torch.no_grad():
            for weight in layer.parameters():
                weight.zero_()
            layer.weight_hh_l0[3, 3], layer.bias_ih_l0[3] = 1e20, 1.0  # 1, 1e20, 1e40: too large in the third step
        return network

    monkeypatch.setattr(SequenceRegressor, "_build", build)
    rows = [np.zeros((n, 1)) for n in (2, 2, 2, 5)]
    with pytest.raises(DataError, match=r"inf in candidate of encoder\.recurrent/0/forward/3 at step 2 of sequence"):
        exploding(validation_fraction=0.0, dropout=0.0).fit(rows, [1.0, 2.0, 3.0, 4.0])


def test_bad_weights_are_named(monkeypatch):
    original = SequenceClassifier._build

    def build(self):
        network = original(self)
        with torch.no_grad():
            network.head.weight[1, 2] = torch.nan
        return network

    monkeypatch.setattr(SequenceClassifier, "_build", build)
    with pytest.raises(DataError, match=r"nan in weight head.weight\[1, 2\]"):
        estimator().fit(X, Y)


# lights


def test_lights_turn_at_their_limits():
    assert [GRADIENT.light(v).light for v in (0.0, 1e-12, 1.0, 1e3, 1e5, math.nan, math.inf)] == [
        "red",
        "yellow",
        "green",
        "yellow",
        "red",
        "red",
        "red",
    ]
    assert [UPDATE.light(v).light for v in (1e-9, 1e-7, 0.01, 0.3, 0.6)] == ["red", "yellow", "green", "yellow", "red"]
    assert UPDATE.light(1e-9).advice == UPDATE.too_low
    assert UPDATE.light(0.6).advice == UPDATE.too_high
    assert OVERFIT.light(5.0).light == "yellow"
    assert FINITE.light(1).light == "red"
    assert worst([]) == "green"
    assert COLOURS == ("green", "yellow", "red")


def test_figures_are_shown_with_their_units():
    def shown(value, unit):
        return Light("", value, unit, "green", "", "", "").shown

    assert [shown(0.5, "%"), shown(0.0123, "%"), shown(0.0, "%")] == ["50 %", "1.2 %", "0 %"]
    assert [shown(1234.5, "times"), shown(0.5, ""), shown(None, "")] == ["1.23e+03 times", "0.5", ""]
    assert Light("", math.inf, "", "red", "", "", "").row()["value"] == "inf"


def test_a_line_has_the_worst_colour_and_the_first_advice_of_it():
    green = Light("update size", 0.01, "%", "green", "here", "", "")
    yellow = Light("dead units", 0.2, "%", "yellow", "there", "", "use fewer units")
    red = Light("gradient", 9.0, "", "red", "", "", "lower the learning rate")
    assert said([green]) == "green update size 1 %"
    assert said([green, yellow]) == "YELLOW update size 1 %, dead units 20 % (there): use fewer units"
    assert said([yellow, green, red]) == (
        "RED dead units 20 % (there), update size 1 %, gradient 9: lower the learning rate"
    )


def test_a_bad_output_is_counted_and_placed():
    seen: list[Bad] = []
    output = torch.zeros(3, 1, 2)
    output[2, 0, 1], output[2, 0, 0] = math.inf, math.nan
    _look("head", seen, torch.nn.Linear(1, 1), (), {}, torch.zeros(3))
    _look("head", seen, torch.nn.Linear(1, 1), (), {}, torch.tensor(math.inf))
    assert seen == [Bad(1, "output of head", math.inf, None)]
    _look("tail", seen, torch.nn.Linear(1, 1), (), {}, output)  # only the first is kept
    assert len(seen) == 1
    seen.clear()
    _look("tail", seen, torch.nn.Linear(1, 1), (), {}, output)
    (found,) = seen
    assert (found.number, found.where, found.row) == (2, "output of tail", 2)
