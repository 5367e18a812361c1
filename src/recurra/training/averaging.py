"""Averages of weights over the steps of a run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class AverageWeights(pl.Callback):
    """Keeps a moving average of the weights, and validates with it.

    Averaged weights: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Merity and
    others, "Regularizing and optimizing LSTM language models", 2018, for language models. The first `horizon` steps
    count equally; afterwards the average is exponential.

    Args:
        horizon: steps after which the share of a step in the average is 1/e.
    """

    def __init__(self, horizon: int) -> None:
        self.horizon, self.steps = max(horizon, 1), 0
        self.mean: list[torch.Tensor] = []
        self._own: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Copies the weights before the first step. Moves those of a checkpoint to the device."""
        weights = [weight.detach() for weight in pl_module.network.parameters()]
        mean = self.mean or [weight.clone() for weight in weights]
        self.mean = [value.to(weight.device) for value, weight in zip(mean, weights, strict=True)]

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Adds the weights after a step."""
        self.steps += 1
        share = max(1 / self.steps, 1 / self.horizon)
        for mean, weight in zip(self.mean, pl_module.network.parameters(), strict=True):
            mean.lerp_(weight, share)

    @torch.no_grad()
    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Puts the average into the network."""
        self._own = [weight.clone() for weight in pl_module.network.parameters()]
        self._put(pl_module, self.mean)

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Puts the weights of training back."""
        self._put(pl_module, self._own)
        self._own = []

    @staticmethod
    def _put(pl_module: Any, values: list[torch.Tensor]) -> None:
        for weight, value in zip(pl_module.network.parameters(), values, strict=True):
            weight.copy_(value)

    def weights(self, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Returns the averages, and what else the network's `state_dict` contains."""
        names = [name for name, _ in network.named_parameters()]
        return {**network.state_dict(), **dict(zip(names, self.mean, strict=True))}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for the checkpoint."""
        return {"mean": self.mean, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of a checkpoint."""
        self.mean, self.steps = state_dict["mean"], state_dict["steps"]
