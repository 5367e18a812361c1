"""Optimizers and schedules: names, functions of users, and resumed runs."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

import recurra
from killing import killed_after
from recurra import BlankFiller, SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError
from recurra.tasks.params import params_of
from recurra.training.optimizers import OPTIMIZERS, SCHEDULES, make_optimizer

X = np.random.default_rng(0).normal(size=(48, 5, 1))
Y = X.sum((1, 2)) > 0
QUICK: dict[str, Any] = {"hidden_size": 4, "epochs": 3, "batch_size": 8, "members": 1, "verbose": 0}

momentum = partial(torch.optim.SGD, momentum=0.9, nesterov=True)


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> OneCycleLR:
    return OneCycleLR(optimizer, 0.05, total_steps=steps + 1)


def fitted(**changes: Any) -> SequenceClassifier:
    return SequenceClassifier(**{**QUICK, **changes}).fit(X, Y)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.network_.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    left, right = weights(one), weights(other)
    return all(np.array_equal(value, right[name]) for name, value in left.items())


@pytest.mark.parametrize(("parameter", "names"), [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)])
def test_help_and_description_list_the_names(parameter, names):
    spec = params_of(SequenceClassifier)[parameter]
    for text in (spec.help, spec.description):
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_names_are_classes_of_torch(name):
    weight = torch.ones(1, requires_grad=True)
    made = make_optimizer(name, [{"params": [weight], "weight_decay": 0.0}], 0.5)
    assert (type(made).__name__, made.param_groups[0]["lr"]) == (OPTIMIZERS[name], 0.5)
    (weight**2).sum().backward()
    made.step()
    assert float(weight.detach()) < 1


def test_sgd_takes_the_step_of_the_gradient():
    """One step with a constant rate: the weights move by the gradient, which finite differences confirm."""
    given = {**QUICK, "epochs": 1, "batch_size": 48, "dropout": 0.0, "weight_decay": 0.0, "validation_fraction": 0.0}
    start = SequenceClassifier(**{**given, "learning_rate": 1e-30}).fit(X, Y)
    moved = SequenceClassifier(**given, start_from=start, optimizer="sgd", learning_rate=0.1, gradient_clip=0.0)
    moved.fit(X, Y)
    step = 0.1 * min(1.0, 1 / max(0.05, 1.0))
    network, bias = start.network_, start.network_.head.bias
    batch, _ = start._labelled(X, Y, None), bias
    objective = start._objective()
    (whole,) = list(batch)
    total, weight = objective.loss(network.train(), whole)
    (gradient,) = torch.autograd.grad(total / weight, [bias])
    np.testing.assert_allclose(moved.network_.head.bias.detach(), (bias - step * gradient).detach(), atol=1e-6)


def test_schedules_fall_as_they_say():
    shares = [0.0, 0.25, 0.5, 1.0, 1.5]
    assert [SCHEDULES["linear"](share) for share in shares] == [1.0, 0.75, 0.5, 0.0, 0.0]
    assert [SCHEDULES["constant"](share) for share in shares] == [1.0] * 5
    np.testing.assert_allclose([SCHEDULES["cosine"](share) for share in shares], [1, 0.853553, 0.5, 0, 0], atol=1e-6)


def test_none_is_the_cosine_and_others_differ():
    plain = fitted()
    assert same(plain, fitted(schedule="cosine", optimizer="adamw"))
    others = [fitted(**given) for given in ({"schedule": "linear"}, {"schedule": one_cycle}, {"optimizer": momentum})]
    for i, model in enumerate(others):
        assert not any(same(model, other) for other in [plain, *others[:i]])
        assert same(model, SequenceClassifier(**model.get_params()).fit(X, Y))


def test_the_rate_of_a_function_is_used():
    """After the first step the rate is 0, so that one epoch more changes nothing."""

    def first_only(optimizer: Any, steps: int) -> StepLR:
        assert steps == 6 * epochs
        return StepLR(optimizer, 1, gamma=0.0)

    given = {"schedule": first_only, "validation_fraction": 0.0}
    epochs = 1
    one = fitted(**given, epochs=1)
    epochs = 2
    assert same(one, fitted(**given, epochs=2))


def test_every_task_has_them():
    texts = ["good film", "bad film", "so good"] * 8
    filler = BlankFiller(hidden_size=4, epochs=1, verbose=0, optimizer="sgd", schedule="constant").fit(texts)
    assert not same(filler, BlankFiller(hidden_size=4, epochs=1, verbose=0).fit(texts))


def resumable(folder: Any, *, resume: bool) -> SequenceClassifier:
    return SequenceClassifier(**QUICK, optimizer=momentum, schedule=one_cycle).fit(
        X, Y, checkpoint=folder, checkpoint_minutes=0, resume=resume
    )


def test_a_run_that_was_killed_has_the_same_weights(tmp_path):
    with killed_after(9):
        resumable(tmp_path / "run", resume=False)
    again = resumable(tmp_path / "run", resume=True)
    assert again.resumed_
    assert same(again, resumable(tmp_path / "whole", resume=False))


def test_another_function_is_another_run(tmp_path):
    resumable(tmp_path, resume=False)
    with pytest.raises(UsageError, match="these are different: optimizer"):
        SequenceClassifier(**QUICK, optimizer="sgd", schedule=one_cycle).fit(X, Y, checkpoint=tmp_path, resume=True)


def test_examples_of_the_guide_are_short():
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "extend.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", guide, re.M | re.S)
    text = "\n".join(examples)
    assert all(f"{name}=" in text for name in ("loss", "metrics", "optimizer", "schedule", "callbacks", "logger"))
    assert max(code.count("\n") for code in examples) <= 10


def test_names_are_saved_and_missing_functions_reported(tmp_path):
    fitted(optimizer=momentum, schedule="linear").save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    name = "torch.optim.sgd.SGD(momentum=0.9, nesterov=True)"
    assert (loaded.optimizer, loaded.schedule) == (name, "linear")
    assert name in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"a model folder has only the name of a function; set it again with set_par"):
        loaded.set_params(verbose=0).fit(X, Y)
    assert same(loaded.set_params(optimizer=momentum).fit(X, Y), fitted(optimizer=momentum, schedule="linear"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adamm"}, "optimizer is one of adamw, .* not 'adamm', did you mean \"adam\""),
        ({"optimizer": None}, "optimizer is a name or a function, got None"),
        ({"schedule": 3}, "schedule is a name or a function, got 3"),
        ({"optimizer": lambda groups, lr: 3}, "optimizer must return an optimizer of torch, but it returned int"),
        ({"schedule": lambda optimizer, steps: ReduceLROnPlateau(optimizer)}, "needs no metric, but it returned Red"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        fitted(**given)


@pytest.mark.slow
def test_few_series_follow_the_loss_only_without_a_schedule():
    def regressor(**given: Any) -> SequenceRegressor:
        return SequenceRegressor(hidden_size=4, members=1, batch_size=24, verbose=0, max_minutes=None, **given)

    plain, chosen = regressor(), regressor(schedule="cosine")
    for model in (plain, chosen):
        model.set_params(learning_rate=1e-30)  # nothing improves
        model.fit(X, X.sum((1, 2)))
    assert plain.metrics_["epochs_planned"] != chosen.metrics_["epochs_planned"]
