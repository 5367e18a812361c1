"""The first module whose output is not finite is named, whatever its kind."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from recurra import nn
from recurra.cells import GRU
from recurra.training.health.nonfinite import first_bad, layer_call

LARGE = 1e38


class Batch(NamedTuple):
    values: Tensor
    lengths: Tensor


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = torch.nn.Linear(2, 3)
        self.recurrent = nn.RNN(3, 4, nonlinearity="relu", batch_first=True)
        self.head = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Identity())

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        output, _ = self.recurrent(self.before(values), lengths=lengths)
        return self.head(output[:, -1])


class Sum:
    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        return network(*batch).sum(), torch.tensor(1.0)


def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("weight", "where"),
    [("before.weight", "before"), ("head.0.weight", "head.0"), ("recurrent.weight_ih_l0", "recurrent"), (None, None)],
)
def test_the_module_that_overflows_is_named(weight, where):
    torch.manual_seed(0)
    network, batch = Network(), Batch(torch.full((2, 5, 2), 100.0), torch.tensor([5, 3]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs())
        if weight is not None:
            network.get_parameter(weight).fill_(LARGE)
    found = first_bad(network, Sum(), batch, seed)  # type: ignore[arg-type]
    if where is None:
        assert found is None
    else:
        assert found is not None
        assert where in found.where
    assert not network.recurrent._forward_hooks


def test_weights_and_inputs_come_first():
    network, batch = Network(), Batch(torch.zeros(1, 2, 2), torch.tensor([2]))
    batch.values[0, 1, 0] = torch.nan
    found = first_bad(network, Sum(), batch, seed)  # type: ignore[arg-type]
    assert found is not None
    assert "input" in found.where
    with torch.no_grad():
        network.before.bias[1] = torch.inf
    found = first_bad(network, Sum(), batch, seed)  # type: ignore[arg-type]
    assert found is not None
    assert "before.bias" in found.where


def test_the_generator_is_reset_and_what_was_carried_is_given_up():
    calls: list[Any] = []

    class Carried(Sum):
        def loss(self, network, batch):
            calls.append("loss")
            assert not torch.is_grad_enabled()
            return super().loss(network, batch)

        def carried(self):
            return None

        def carry(self, state):
            calls.append(state)

    network, batch = Network(), Batch(torch.zeros(1, 2, 2), torch.tensor([2]))
    assert first_bad(network, Carried(), batch, lambda: calls.append("seed")) is None  # type: ignore[arg-type]
    assert calls == [None, "seed", "loss"]


def test_a_failing_step_leaves_no_hooks():
    class Failing(Sum):
        def loss(self, network, batch):
            raise ValueError("stop")

    network = Network()
    with pytest.raises(ValueError, match="stop"):
        first_bad(network, Failing(), Batch(torch.zeros(1, 2, 2), torch.tensor([2])), seed)  # type: ignore[arg-type]
    assert not any(module._forward_hooks for module in network.modules())


def test_values_of_a_call_are_batch_first():
    values, lengths = torch.randn(4, 2, 3), [4, 2]
    layer = nn.GRU(3, 5)
    found, given, states = layer_call(layer, values, lengths=lengths)
    assert torch.equal(found, values.transpose(0, 1))
    assert given.tolist() == lengths
    assert states is None
    assert layer_call(layer, values)[1:] == (None, None)
    start = torch.randn(1, 2, 5)
    assert torch.equal(layer_call(layer, values, start)[2][0], start)
    first = nn.GRU(3, 5, batch_first=True)
    assert torch.equal(layer_call(first, values, lengths=[2] * 4)[0], values)
    whole = nn.Recurrent(GRU(), 3, 5, batch_first=True)
    assert layer_call(whole, values, lengths=[2] * 4, states=(start,))[2] == (start,)
    assert layer_call(whole, values, (start,))[2] == (start,)
