"""The problems are the published ones, and their baselines are what knowing nothing costs."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.lab.problems import PROBLEMS, Adding, Copying, TemporalOrder


def drawn(problem, lag=40, count=4000):
    return problem.draw(lag, count, torch.Generator().manual_seed(0))


def test_adding_marks_one_number_in_each_half():
    x, target = drawn(Adding())
    marks = x[:, :, 1]
    assert x.shape == (4000, 40, 2)
    assert (marks[:, :20].sum(1) == 1).all()
    assert (marks[:, 20:].sum(1) == 1).all()
    assert torch.allclose((x[:, :, 0] * marks).sum(1), target[:, 0])
    assert marks[:, 0].any()
    assert marks[:, 39].any()


def test_copying_asks_after_the_lag():
    x, target = drawn(Copying(), lag=7, count=5)
    read = x.argmax(-1)
    assert x.shape == (5, 27, 10)
    assert read[:, :10].max() < 8
    assert (read[:, 10:16] == 8).all()
    assert (read[:, 16] == 9).all()
    assert (read[:, 17:] == 8).all()
    assert torch.equal(target[:, -10:], read[:, :10])
    assert (target[:, :-10] == 8).all()


def test_temporal_order_has_two_signals_in_their_places():
    x, target = drawn(TemporalOrder(), lag=100)
    read = x.argmax(-1)
    signals = (read == 4) | (read == 5)
    assert (signals.sum(1) == 2).all()
    assert signals[:, 10:20].any(1).all()
    assert signals[:, 50:60].any(1).all()
    first, second = (read[signals].view(-1, 2) - 4).unbind(1)
    assert torch.equal(2 * first + second, target[:, 0])
    assert (read[:, 0] == 6).all()
    assert (read[:, -1] == 7).all()


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("lag", [10, 11, 100])
def test_knowing_nothing_costs_the_baseline(name, lag):
    """The best answer that does not look: 1 for a sum; silence, then equal chances; equal chances."""
    problem = PROBLEMS[name]
    target = drawn(problem, lag).target
    scores = torch.zeros(*target.shape, problem.outputs)
    if name == "adding":
        scores += 1
    if name == "copy":
        scores[..., 8:] = -math.inf
        scores[:, :-10, 8] = math.inf
        scores[:, :-10, :8] = -math.inf
        scores = scores.nan_to_num(posinf=50, neginf=-50)
    assert float(problem.losses(scores, target).mean()) == pytest.approx(problem.baseline(lag), rel=0.05)


@pytest.mark.parametrize("name", PROBLEMS)
def test_right_answers_cost_nothing(name):
    problem = PROBLEMS[name]
    target = drawn(problem, 20, 50).target
    if name == "adding":
        scores = target.unsqueeze(-1)
    else:
        scores = 50 * torch.nn.functional.one_hot(target, problem.outputs).float()
    assert float(problem.losses(scores, target).mean()) == pytest.approx(0, abs=1e-6)
    assert problem.accuracy(scores, target) == 1
    assert problem.accuracy(scores.roll(1, 0), target) < 0.6
