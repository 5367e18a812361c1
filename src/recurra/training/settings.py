"""How a run trains, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from recurra.errors import EngineError

History = list[dict[str, float]]


class Objective(Protocol):
    """Loss and metrics of a task, and the metric that chooses the best epoch."""

    monitor: str
    """Name of the metric that chooses the best epoch."""
    monitor_mode: str
    """`"max"` if larger values are better, otherwise `"min"`."""
    perfect: float | None
    """Best possible value of the metric; None if there is none."""

    def loss(self, network: torch.nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Sum of the losses of a batch, and its `weight`."""
        ...

    def weight(self, batch: Any) -> Tensor:
        """The number that the sum of the losses is divided by, such as the number of steps."""
        ...

    def observe(self, network: torch.nn.Module, batch: Any) -> Any:
        """Returns the values of one batch from which the metrics are computed, on the CPU."""
        ...

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Returns the metrics of a data set, including `loss`, from the observations of its batches."""
        ...


@runtime_checkable
class Carrying(Protocol):
    """An objective with a state that one training batch passes to the next. The checkpoint contains the state."""

    def carried(self) -> Any:
        """Returns the state: tensors, numbers, tuples of them, or None."""
        ...

    def carry(self, state: Any) -> None:
        """Continues from a state that `carried` returned."""
        ...


class LayerRate(NamedTuple):
    """How the weights of one layer train, if not as all others.

    Attributes:
        prefix: beginning of the names of the weights.
        rate: factor of the learning rate.
        begin: share of the training before which the weights do not change.
    """

    prefix: str
    rate: float = 1.0
    begin: float = 0.0


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over the training data.
        learning_rate: peak learning rate of AdamW. It rises over the first 5 % of the steps and falls as a cosine.
        weight_decay: weight decay of AdamW, for weight matrices only.
        gradient_clip: largest norm of the gradient.
        patience: epochs without a clear improvement after which training stops; None for no limit.
        min_delta: relative improvement of the metric that counts as clear.
        follow: epochs without a clearly better metric after which the learning rate falls, and finally training stops,
            in place of the cosine and `patience`; None for these. Without validation data, the training loss counts.
        average_weights: whether to validate and keep a moving average of the weights, with a time constant of one pass.
        max_minutes: time limit, with the learning rate at its end; None for no limit.
        seed: seed of dropout.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"`, …
        precision: precision of the products of recurrent layers, see `recurra.ops.recurrence`.
        verbose: 0 for silence, 1 for a progress line in a terminal or a notebook.
        health_checks: whether to measure signs of health.
        keep_epochs: whether to keep the weights of several epochs, see `recurra.training.epoch_weights`.
        checkpoint: file for the state of the run, or None.
        checkpoint_minutes: largest time between two checkpoints. Each epoch also ends with one.
        resume: whether to continue from `checkpoint` if it exists.
        fingerprint: values that must be equal in the checkpoint to resume from it.
        callbacks: Lightning's callbacks of the user.
        optimizer: see `recurra.training.optimizers.make_optimizer`.
        schedule: see `recurra.training.optimizers.make_schedule`; None for the cosine, or what `follow` says.
        layers: layers that do not train as all others; a weight belongs to the first one that fits.
    """

    epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    patience: int | None = None
    min_delta: float = 0.0
    average_weights: bool = False
    follow: int | None = None
    max_minutes: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    verbose: int = 1
    health_checks: bool = False
    keep_epochs: bool = False
    checkpoint: Path | None = None
    checkpoint_minutes: float = 10.0
    resume: bool = False
    fingerprint: dict[str, Any] = field(default_factory=dict)
    callbacks: tuple[Any, ...] = ()
    optimizer: Any = "adamw"
    schedule: Any = None
    layers: tuple[LayerRate, ...] = ()


@dataclass(frozen=True)
class Run:
    """Result of a run. The network has the best weights.

    Attributes:
        history: metrics of each epoch.
        best_epoch: number of the epoch whose weights were kept, counted from 1; 0 if none was finished.
        interrupted: whether Ctrl-C ended it.
        resumed: whether it continued from a checkpoint.
        health: signs of health of the measured epochs.
        epochs: weights of the kept epochs, by their numbers.
    """

    history: History
    best_epoch: int
    interrupted: bool
    resumed: bool
    health: list[dict[str, Any]] = field(default_factory=list)
    epochs: dict[int, dict[str, Tensor]] = field(default_factory=dict)


def choose_device(device: str) -> torch.device:
    """Returns the device for `"auto"` or a device name.

    Raises:
        EngineError: the device is unknown or not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise EngineError(f"there is no device {device!r}; use 'auto', 'cpu' or 'cuda'") from None
    if chosen.type not in ("cpu", "cuda"):
        raise EngineError(f"device {device!r} is not supported; use 'auto', 'cpu' or 'cuda'")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return chosen


def ready(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Returns a network in evaluation mode on a device.

    A network that is already there does not change, so that several threads can use it. The checks take a fraction of
    the time of `to` and `eval`, which is longer than a recurrent layer needs for a short text.
    """
    if any(weight.device != device for weight in chain(network.parameters(), network.buffers())):
        network = network.to(device)
    return network.eval() if any(module.training for module in network.modules()) else network
