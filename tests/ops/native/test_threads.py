"""The number of threads: it follows from costs, and it changes no bit."""

from __future__ import annotations

import os
import random

import pytest
import torch
from test_native import EXACT, threads

from recurra import nn
from recurra.ops.native import bindings

LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine is not built")


@pytest.fixture
def costs():
    """Replaces the costs of threads, until the end of the test."""
    yield bindings.engine.replace_thread_costs
    bindings.engine.measure_thread_costs()


def results(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, states and all gradients of one call, and the output of a call without gradients."""
    layer.zero_grad()
    values = x.clone().requires_grad_()
    output, states = layer(values)
    states = states if isinstance(states, tuple) else (states,)
    torch.stack([output.square().sum(), *(state.sum() for state in states)]).sum().backward()
    with torch.no_grad():
        alone = layer(x)[0]
    gradients = [values.grad, *(weight.grad for weight in layer.parameters())]
    return [output.detach(), alone, *(state.detach() for state in states), *gradients]  # type: ignore[list-item]


def compare(calls: int, seed: int) -> None:
    """Compares random calls on 16 threads with the same on one thread."""
    draw = random.Random(seed)
    for _ in range(calls):
        name, hidden = draw.choice(list(LAYERS)), draw.choice([3, 16, 40, 130])
        layers, both, batch = draw.choice([1, 1, 2]), draw.random() < 0.4, draw.choice([1, 1, 2, 9, 33])
        layer = LAYERS[name](draw.choice([5, 32]), hidden, num_layers=layers, bidirectional=both)
        x = torch.randn(draw.choice([1, 7, 30]), batch, layer.input_size)
        with threads(1):
            one = results(layer, x)
        with threads(16):
            many = results(layer, x)
        for a, b in zip(one, many, strict=True):
            torch.testing.assert_close(a, b, **EXACT)


def test_more_threads_than_cores_change_nothing(costs):
    """Without costs, all 16 threads work, also where they wait for each other."""
    costs(0.0, 0.0, 16)
    compare(25, 0)


@pytest.mark.slow
def test_many_calls_with_more_threads_than_cores(costs):
    calls = int(os.environ.get("RECURRA_CALLS", "1000"))
    compare(calls // 2, 1)  # with measured costs
    costs(0.0, 0.0, 16)
    compare(calls - calls // 2, 2)


def test_costs_that_change_between_calls_change_nothing(costs):
    layer, x = nn.LSTM(64, 64), torch.randn(40, 1, 64)
    found = []
    with threads(2):
        for meeting in (0.0, 1e9, 0.0, 1e9):
            costs(0.0, meeting, 2)
            found.append(results(layer, x))
    for one in found[1:]:
        for a, b in zip(found[0], one, strict=True):
            torch.testing.assert_close(a, b, **EXACT)


def test_costs_are_measured(costs):
    costs(1.0, 2.0, 3)
    assert bindings.engine.thread_costs() == (1.0, 2.0, 3)
    bindings.engine.measure_thread_costs()
    with threads(2):
        results(nn.GRU(32, 128), torch.randn(50, 16, 32))
    start, meeting, cores = bindings.engine.thread_costs()
    assert cores >= 1
    if cores > 1:
        assert start not in (1.0, 2000.0)
        assert meeting not in (2.0, 1000.0)
