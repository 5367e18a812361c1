"""The first module whose output is not finite is named, whatever its kind."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from recurra import nn
from recurra.training.health.nonfinite import first_bad

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
