"""Watching never changes what it watches, costs little, and names what goes wrong."""

from __future__ import annotations

import math
import re
import types

import numpy as np
import pytest
import torch

import recurra
from killing import killed_after
from recurra import LanguageModel, SequenceClassifier, SequenceRegressor
from recurra.errors import DataError
from recurra.training.health import monitor, thresholds
from recurra.training.health.monitor import BUDGET, HealthMonitor, _Look, row_lights, said
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
    monkeypatch.setattr(monitor.HealthMonitor, "_allows", lambda self, seconds: True)


@pytest.mark.parametrize("changes", [{}, {"cell": "gru", "num_layers": 2}, {"cell": "rnn_relu"}, {"cell": "none"}])
def test_watching_changes_nothing(every_step, changes):
    alone, checked = estimator(**changes).fit(X, Y), estimator(**changes, health_checks=True).fit(X, Y)
    assert figures(checked) == figures(alone)
    np.testing.assert_array_equal(checked.predict_proba(X), alone.predict_proba(X))
    assert alone.health_checks_ == []
    assert [row["looks"] for row in checked.health_checks_] == [6, 6, 6]
    assert all(0 < row["update"] < 1 and row["gradient"] > 0 for row in checked.health_checks_)
    assert all(
        ("saturated" in row) == (changes.get("cell", "lstm") in ("lstm", "gru")) for row in checked.health_checks_
    )
    assert all(("radius" in row) == (changes.get("cell") != "none") for row in checked.health_checks_)


def test_a_state_carried_from_window_to_window_is_watched_too(every_step):
    text = "the cat sat on the mat and the dog ran far away. " * 30
    models = [
        LanguageModel(hidden_size=8, epochs=2, batch_size=4, verbose=0, health_checks=flag).fit(text)
        for flag in (False, True)
    ]
    assert figures(models[0]) == figures(models[1])
    assert len(models[1].health_checks_) == 2


@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, True)])
def test_watched_runs_resume(tmp_path, every_step, flags):
    with killed_after(8):
        estimator(health_checks=flags[0]).fit(X, Y, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = estimator(health_checks=flags[1]).fit(X, Y, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    whole = estimator(health_checks=True).fit(X, Y)
    assert resumed.resumed_
    assert figures(resumed) == figures(whole)
    if all(flags):
        timeless = [{k: v for k, v in row.items() if k != "share_of_time"} for row in resumed.health_checks_]
        assert timeless == [{k: v for k, v in row.items() if k != "share_of_time"} for row in whole.health_checks_]


def test_signs_are_saved_with_the_model(tmp_path, every_step):
    fitted = estimator(health_checks=True).fit(X, Y)
    fitted.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").health_checks_ == fitted.health_checks_


def test_models_of_before_can_be_loaded(tmp_path):
    import json

    estimator(epochs=1).fit(X, Y).save(tmp_path / "m")
    for name in ("metrics.json", "config.json"):
        content = json.loads((tmp_path / "m" / name).read_text())
        content.pop("watch", None)
        content.get("params", {}).pop("health_checks", None)
        (tmp_path / "m" / name).write_text(json.dumps(content))
    found = recurra.load(tmp_path / "m")
    assert (found.health_checks, found.health_checks_) == (False, [])


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
    monkeypatch.setattr(monitor.time, "thread_time", lambda: now[0])
    watching = HealthMonitor(clip=1.0)
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
    sick = estimator(health_checks=True, verbose=1, learning_rate=5.0, gradient_clip=0.0).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert "RED update size" in err
    assert "smaller learning rate" in err
    assert worst(run_lights(sick.health_checks_)) == "red"


def test_healthy_training_says_nothing_without_a_terminal(every_step, capfd):
    healthy = estimator(health_checks=True, verbose=1).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert not re.search("epoch|green|yellow|red", err, re.IGNORECASE)
    assert worst(light for row in healthy.health_checks_ for light in row_lights(row)) == "green"
    assert worst(run_lights(healthy.health_checks_)) == "green"


def test_the_light_stands_in_the_line_of_a_terminal(every_step, monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    estimator(health_checks=True, verbose=1).fit(X, Y)
    assert re.search(r"epoch 3/3  loss .* tokens/s  green", capfd.readouterr().err)


# a loss that is not finite


def exploding(**changes):
    arguments = {"cell": "rnn_relu", "pooling": "last", "bidirectional": False, "hidden_size": 8, "epochs": 5}
    return SequenceRegressor(**{**arguments, "gradient_clip": 0.0, "learning_rate": 1e30, "verbose": 0, **changes})


@pytest.mark.parametrize("watched", [False, True])
def test_a_bad_loss_names_the_first_bad_number(watched):
    with pytest.raises(DataError, match=r"the loss became (nan|inf) at step \d+.*\n.*the first bad number is") as found:
        exploding(health_checks=watched).fit(X, [float(i) for i in range(100)])
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


# the rows of an epoch


class Trainer:
    global_step = 7


def ended(watching, looks, network=None, history=1):
    """Ends an epoch with these looks; returns its row without the share of time."""
    watching._looks = looks
    network = network or torch.nn.Linear(1, 1)
    module = types.SimpleNamespace(history=[{}] * history, network=network)
    watching.on_train_epoch_end(None, module)
    assert watching._looks == []
    row = dict(watching.rows[-1])
    del row["share_of_time"]
    return row


def test_a_row_has_the_largest_update_and_gradient_of_the_epoch_and_the_rest_of_the_last_look():
    looks = [
        {"step": 1, "update": 0.1, "update_at": "a", "gradient": 3.0, "dead": 0.5},
        {"step": 2, "update": 0.3, "update_at": "b", "gradient": 2.0, "dead": 0.2},
        {"step": 3, "gradient": 1.0, "dead": 0.1},
    ]
    row = ended(HealthMonitor(clip=2.0), looks, history=4)
    assert row == {
        "epoch": 4, "looks": 3, "step": 3, "update": 0.3, "update_at": "b", "gradient": 3.0, "dead": 0.1,
        "clipped": 1 / 3,
    }  # fmt: skip
    assert "clipped" not in ended(HealthMonitor(clip=0.0), looks)


def test_an_epoch_without_a_look_has_no_row():
    watching = HealthMonitor(clip=1.0)
    watching.on_train_epoch_end(None, None)  # type: ignore[arg-type]
    assert watching.rows == []
    assert watching.light() == ""
    watching._looks = [{"update": 0.3, "update_at": "a"}, {"update": 0.01, "update_at": "a"}]
    assert watching.light() == "green"
    watching._looks.append({"update": 0.6, "update_at": "a"})
    assert watching.light() == "red"
    state = watching.state_dict()
    again = HealthMonitor(clip=1.0)
    again.load_state_dict({"rows": [{"epoch": 2, "dead": 0.0}], "looks": state["looks"]})
    assert again.light() == "red"
    assert (again.line(1), again.line(2)) == ("", "green dead units 0 %")


def test_the_share_of_time_counts_from_the_beginning_of_training(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(monitor.time, "thread_time", lambda: now[0])
    watching = HealthMonitor(clip=1.0)
    now[0] = 20.0
    watching.on_train_start(None, None)  # type: ignore[arg-type]
    watching._spent = 3.0
    now[0] = 36.0
    ended(watching, [{"gradient": 1.0}])
    assert watching.rows[-1]["share_of_time"] == 3.0 / 16.0


def test_a_look_is_allowed_when_it_fits_into_the_budget(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(monitor.time, "thread_time", lambda: now[0])
    watching = HealthMonitor(clip=1.0, budget=0.25)
    assert watching._cost == monitor.FIRST_LOOK == 0.01
    assert HealthMonitor(clip=1.0).budget == BUDGET == 0.015
    now[0] = 4.0
    assert watching._allows(1.0)
    assert not watching._allows(1.0001)
    watching._pay(0.5)
    assert (watching._spent, watching._cost) == (0.5, 0.5)
    assert watching._allows(0.5)
    assert not watching._allows(0.5001)
    watching._pay(0.1)
    assert (watching._spent, watching._cost) == (0.6, 0.25)


def test_a_step_is_looked_at_only_if_time_allows(monkeypatch):
    allowed = [False]
    monkeypatch.setattr(monitor.HealthMonitor, "_allows", lambda self, seconds: allowed[0])
    layer = recurra.nn.RNN(1, 2, batch_first=True)
    module, watching, optimizer = types.SimpleNamespace(network=layer), HealthMonitor(clip=1.0), None

    def step():
        watching.on_train_batch_start(None, module, None, 0)
        layer(torch.randn(2, 3, 1))[0].sum().backward()
        watching.on_before_optimizer_step(None, module, optimizer)
        watching.on_train_batch_end(Trainer(), module, None, None, 0)

    step()
    assert watching._looks == []
    allowed[0] = True
    step()
    (look,) = watching._looks
    assert look["step"] == 7
    assert look["update"] == 0.0  # nothing has changed the weights
    assert watching._look is None
    assert watching._spent > 0
    watching.on_train_batch_start(None, module, None, 0)
    assert len(layer._forward_pre_hooks) == 1
    watching.on_exception(None, module, KeyboardInterrupt())
    assert not layer._forward_pre_hooks
    assert watching._look is None
    watching.on_exception(None, module, KeyboardInterrupt())


def test_the_largest_spectral_radius_is_reported_if_time_allows(monkeypatch):
    network = torch.nn.ModuleDict({"a": recurra.nn.RNN(1, 2), "b": recurra.nn.GRU(1, 2, 2, bidirectional=True)})
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network["b"].weight_hh_l1_reverse[4, 0] = 3.0
    costs = []
    monkeypatch.setattr(monitor.HealthMonitor, "_allows", lambda self, seconds: costs.append(seconds) or len(costs) > 1)
    watching = HealthMonitor(clip=1.0)
    assert watching._radius(network) == {}
    found = watching._radius(network)
    assert found == {"radius": 3.0, "radius_at": "b/1/backward candidate"}
    each = 1e-4 + 2.5e-9 * 8
    assert costs == [pytest.approx(each * (1 + 2 * 2 * 3))] * 2
    assert watching._radius(torch.nn.Linear(1, 1)) == {}
    now = iter([1.0, 4.0])
    monkeypatch.setattr(monitor.time, "thread_time", lambda: next(now))
    watching._spent = 0.5
    watching._radius(network)
    assert watching._spent == 3.5


def test_a_look_uses_a_few_sequences_of_the_first_call():
    layer = recurra.nn.GRU(1, 2, batch_first=True)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.weight_ih_l0[0] = 100.0  # the reset gate of the first unit follows the input
    values = torch.zeros(16, 3, 1)
    values[:4] = 1.0
    values[8:] = 1.0  # beyond the rows that are looked at
    look = _Look(layer)
    layer(values, torch.zeros(1, 16, 2))
    layer(torch.ones(16, 3, 1))
    look.before_update()
    # half of the steps at an end, of one unit of two, in one gate of three
    assert look.row["saturated"] == pytest.approx(1 / 12)
    assert look.row["saturated_at"] == "0/forward, most reset"
    assert (look.row["dead"], look.row["dead_at"]) == (1.0, "0/forward")
    assert look.row["gradient"] == 0.0  # no gradient has been taken
    assert "bad" not in look.row
    look.after_update()
    assert math.isnan(look.row["update"]) or look.row["update"] == 0.0


def test_a_look_reads_states_lengths_and_bad_numbers():
    layer = recurra.nn.RNN(1, 2, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.weight_hh_l0.copy_(torch.eye(2))
    state = torch.zeros(1, 2, 2)
    state[0, 1, 1] = math.inf
    look = _Look(layer)
    layer(torch.zeros(2, 4, 1), state, lengths=torch.tensor([1, 2]))
    look.before_update()
    assert look.row["bad_at"] == "candidate of 0/forward/0 at step 0 of sequence 1"  # 0 times infinity
    assert look.row["bad"] >= 2


def test_layers_that_did_not_run_are_not_used():
    network = torch.nn.ModuleDict({"a": recurra.nn.RNN(1, 2), "b": recurra.nn.RNN(1, 2)})
    look = _Look(network)
    network["b"](torch.randn(3, 2, 1))
    look.before_update()
    assert look.row["dead_at"] == "b/0/forward"
    assert set(look.before) == {"a.weight_ih_l0", "a.weight_hh_l0", "b.weight_ih_l0", "b.weight_hh_l0"}
    with torch.no_grad():
        network["a"].weight_hh_l0.mul_(3.0)
        network["b"].weight_hh_l0.mul_(2.0)
    look.after_update()
    assert (look.row["update"], look.row["update_at"]) == (pytest.approx(2.0), "a.weight_hh_l0")
    linear = torch.nn.Linear(2, 1)
    linear.scale = torch.nn.Parameter(torch.tensor(1.0))
    assert set(_Look(linear)._matrices()) == {"weight"}
    nothing = _Look(torch.nn.Identity())
    nothing.before_update()
    nothing.after_update()
    assert nothing.row == {"gradient": 0.0}


def test_the_seconds_of_a_look_are_those_of_its_parts(monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(monitor.time, "thread_time", tick)
    look = _Look(torch.nn.Linear(1, 1))
    assert look.seconds == 1.0
    look.before_update()
    assert look.seconds == 2.0
    look.after_update()
    assert look.seconds == 3.0


def test_what_a_row_says_in_lights():
    row = {"update": 1e-12, "gradient": 1e5, "gradient_at": "x", "saturated": 0.65, "saturated_at": "y", "dead": 0.6}
    lights = [(light.name, light.light, light.where) for light in row_lights(row)]
    assert lights == [
        ("update size", "green", ""),  # small updates say nothing of one epoch
        ("training gradient", "red", "x"),
        ("saturation", "yellow", "y"),
        ("dead units", "red", ""),
    ]


# limits of the signs


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("FINITE", (0, 0)),
        ("SATURATION", (0.6, 0.7)),
        ("DEAD", (0.1, 0.5)),
        ("RADIUS", (10.0, 30.0)),
        ("RADIUS_RELU", (2.0, 3.0)),
        ("GROWTH", (100.0, 1e4)),
        ("UPDATE", (0.2, 0.5)),
        ("GRADIENT", (100.0, 1e4)),
        ("TRAINING_GRADIENT", (100.0, 1e4)),
        ("OVERFIT", (0.5, math.inf)),
    ],
)
def test_a_sign_turns_above_its_limits(name, limits):
    sign = getattr(thresholds, name)
    yellow, red = limits
    above = [math.nextafter(x, math.inf) for x in limits]
    assert sign.light(yellow).light == "green"
    assert sign.light(above[0]).light == ("red" if yellow == red else "yellow")
    if red < math.inf:
        assert sign.light(red).light == ("green" if yellow == red else "yellow")
        assert sign.light(above[1]).light == "red"
    assert sign.light(above[0]).advice == sign.too_high


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("REACH", (0.1, 0.04)),
        ("UPDATE", (1e-6, 1e-8)),
        ("GRADIENT", (1e-9, 1e-30)),
        ("FALL", (0.01, 1e-6)),
        ("FALL_OF_FEW", (0.01, -math.inf)),
    ],
)
def test_a_sign_turns_below_its_limits(name, limits):
    sign = getattr(thresholds, name)
    yellow, red = limits
    assert sign.light(yellow).light == "green"
    assert sign.light(math.nextafter(yellow, 0)).light == "yellow"
    if red > -math.inf:
        assert sign.light(red).light == "yellow"
        assert sign.light(math.nextafter(red, -1)).light == "red"
    assert sign.light(math.nextafter(yellow, 0)).advice == sign.too_low


def test_a_light_keeps_what_it_was_given():
    sign = thresholds.Sign("x", "%", "means")
    assert [sign.light(v).light for v in (-math.inf, 0.0, math.inf, math.nan)] == ["green", "green", "green", "red"]
    assert sign.light(0.5, "there") == Light("x", 0.5, "%", "green", "there", "means", "")
    assert Light("", 0.5, "", "green", "", "", "").row()["value"] == 0.5
    assert Light("", None, "", "green", "", "", "").row()["value"] is None
    shown = [Light("", v, "%", "", "", "", "").shown for v in (0.1, 0.0999, 0.00123, -0.5)]
    assert shown == ["10 %", "10 %", "0.12 %", "-50 %"]


def test_the_lights_of_a_run_are_those_of_its_worst_epochs():
    rows = [
        {"epoch": 1, "update": 0.1, "update_at": "a", "gradient": 200.0},
        {"epoch": 2, "update": 0.3, "update_at": "b"},
        {"epoch": 3, "gradient": 100.0},
    ]
    found = [(light.name, light.value, light.light, light.where) for light in run_lights(rows)]
    assert found == [
        ("update size", 0.3, "yellow", "epoch 2 b"),
        ("training gradient", 200.0, "yellow", "epoch 1"),
    ]
    assert run_lights([{"epoch": 1, "gradient": 1.0}])[0].name == "training gradient"
    assert run_lights([]) == []
