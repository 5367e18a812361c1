"""Keeps the weights of several epochs, to inspect a model over its training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from .averaging import AverageWeights

MOST = 16
"""Maximum number of epochs whose weights are kept. With more epochs, every second, fourth, … is kept."""


class KeepEpochs(pl.Callback):
    """Keeps the weights before training, as epoch 0, and of evenly spaced epochs.

    The checkpoint contains them, so a resumed run keeps the same weights as an uninterrupted one.

    Args:
        average: has the weights to keep; None for those of the last step.
    """

    def __init__(self, average: AverageWeights | None = None) -> None:
        self.average, self.stride = average, 1
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keeps the weights of a new run."""
        if not self.weights:
            self._keep(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keeps the weights of the epoch. The epoch is in the history already."""
        self._keep(pl_module)

    def _keep(self, module: Any) -> None:
        epoch, network = len(module.history), module.network
        if epoch % self.stride:
            return
        weights = network.state_dict() if self.average is None else self.average.weights(network)
        self.weights[epoch] = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        if len(self.weights) > MOST:
            self.stride *= 2
            self.weights = {epoch: kept for epoch, kept in self.weights.items() if epoch % self.stride == 0}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for the checkpoint."""
        return {"weights": self.weights, "stride": self.stride}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of a checkpoint."""
        self.weights, self.stride = state_dict["weights"], state_dict["stride"]
