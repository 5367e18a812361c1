"""Settings and results of a run."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recurra.training.settings import Run, Settings, ready


@pytest.mark.parametrize("value", [Settings(), Run([], 0, False, False)], ids=lambda value: type(value).__name__)
def test_settings_and_runs_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_a_network_that_is_ready_does_not_change(monkeypatch):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()).eval()
    network[1].train()  # one part in training mode is enough to change the predictions
    assert ready(network, torch.device("cpu")) is network
    assert not any(module.training for module in network.modules())
    for name in ("to", "train"):
        monkeypatch.setattr(network, name, None)
    assert ready(network, torch.device("cpu")) is network


def test_a_network_moves_to_the_device():
    network = torch.nn.BatchNorm1d(2, affine=False)  # buffers only
    assert {buffer.device.type for buffer in ready(network, torch.device("meta")).buffers()} == {"meta"}
