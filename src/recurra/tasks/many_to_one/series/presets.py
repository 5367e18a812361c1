"""Chooses what the recurrent layers read of numeric series, and how many networks are averaged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from recurra._util.schema import Record, Size
from recurra.cells.registry import NO_MEMORY
from recurra.data.batching.batches import Batches
from recurra.errors import UsageError
from recurra.tasks.base import MIN_EPOCHS
from recurra.tasks.many_to_one.simple.features import resampled
from recurra.tasks.many_to_one.simple.fit import RESAMPLED, Examples, choose_strength, fit_linear
from recurra.training.settings import Settings

from .ensemble import CHANCE, MEMBERS, CrossFitted, Ensemble, ValuesMap, draw_parts
from .frames import PRESETS, SeriesFrames, frame_length

AUTO = "auto"
CHOICES = (AUTO, *PRESETS)
FEWEST, MOST = 20, 500
"""Sequences with which presets are compared by default: at least, and fewer than."""
SHORT, MIDDLE, LONG = 16, 64, 128
"""Median lengths from which other presets are compared."""
EPOCH_STEPS = 24
"""Training steps between two validations, at least."""
PLATEAU_STEPS = {True: 150, False: 400}
"""Training steps without a better metric after which the learning rate falls, of several networks and of one."""
MOST_STEPS, MOST_FRAMES = 3000, 5e6
"""Training steps, and frames that all networks read together, at most."""


class SeriesConfig(Record):
    """See `SequenceEstimator.series_`.

    Attributes:
        presets: what the layers read, see `recurra.tasks.many_to_one.series.frames.PRESETS`, each with the steps of the
            series in a step of the layers.
        members: networks of each preset. All networks are averaged.
        values: steps of the linear map that the networks correct; 0 without one.
    """

    presets: dict[str, Size] = msgspec.field(default_factory=lambda: {"steps": 1})
    members: Size = 1
    values: int = 0

    @property
    def networks(self) -> int:
        """Number of networks."""
        return self.members * len(self.presets)

    def check(self) -> None:
        """See `Record.check`."""
        unknown = [name for name in self.presets if name not in PRESETS]
        if unknown or not self.presets:
            raise ValueError(f"presets are some of {', '.join(PRESETS)}, not {', '.join(unknown)!r:.40}")
        if self.members == 1 and len(self.presets) > 1:
            raise ValueError("several presets need several members")
        if max(self.presets.values()) > 1 << 20 or self.members > 1000 or not 0 <= self.values <= RESAMPLED:
            raise ValueError("series has a size that is out of range")

    def notes(self) -> list[str]:
        """Says what a step of a recurrent layer is, and which layers belong to which network."""
        found = []
        for name, size in self.presets.items():
            where = f" whose names begin with presets.{name}" if len(self.presets) > 1 else ""
            step = (
                f"window of {size} steps; windows overlap by half" if name == "spectra" else f"segment of {size} steps"
            )
            if name != "steps":
                found.append(f"a step of the recurrent layers{where} is a {step}")
        if self.networks > 1:
            found.append(
                f"the answer is the average of {self.networks} networks; layers whose names begin with "
                f"presets.{next(iter(self.presets))}.0 belong to the first"
            )
        return found


def members_of(estimator: Any, kind: str, count: int, alone: bool) -> int:
    """Returns how many networks are trained on parts of the sequences.

    Args:
        estimator: the estimator.
        kind: kind of the sequences.
        count: sequences with a target.
        alone: whether there are neither validation data nor several workers.

    Raises:
        UsageError: the parameters ask for several networks, but they cannot be trained.
    """
    given = estimator.members
    if estimator._start is not None:
        if estimator._start.same and estimator._start.model.series_.members > 1:
            raise UsageError("training starts from one network; train the model with members=1 (--members 1)")
        if given not in (None, 1):
            raise UsageError("members above 1 cannot start from a model")
        return 1
    if kind != "series":
        if given not in (None, 1) or estimator.preset != AUTO:
            raise UsageError(f"preset and members are for numeric series, not for {kind}")
        return 1
    if given is not None:
        if given > 1 and not alone:
            raise UsageError("members above 1 are tested on the training data: leave out validation data and workers")
        if given > count:
            raise UsageError(f"there are {count} sequences for {given} members")
        return int(given)
    free = alone and estimator.epochs is None and estimator.validation_fraction is None
    return MEMBERS if free and estimator.max_minutes is None and FEWEST <= count < MOST else 1


def candidates(estimator: Any, members: int, steps: float) -> dict[str, int]:
    """Returns the presets to compare, each with the steps of a frame.

    Args:
        estimator: the estimator.
        members: networks of each preset.
        steps: median length of the sequences.
    """
    if estimator._start is not None and estimator._start.same:
        return dict(estimator._start.model.series_.presets)
    if estimator.preset != AUTO:
        names: tuple[str, ...] = (estimator.preset,)
    elif estimator.cell == NO_MEMORY or steps < SHORT or (members == 1 and estimator.epochs is not None):
        names = ("steps",)
    elif members == 1:
        names = ("segments",) if steps >= MIDDLE else ("steps",)
    elif steps < MIDDLE:
        names = ("steps", "parts")
    else:
        names = PRESETS if steps < LONG else PRESETS[1:]
    return {name: frame_length(name, steps) for name in names}


def network_for(estimator: Any, config: SeriesConfig, build: Any) -> torch.nn.Module:
    """Returns an untrained network, or an ensemble.

    Args:
        estimator: the estimator.
        config: presets, number of members, and size of the linear map.
        build: returns a `PooledNetwork` for a preset and the steps of its frame.
    """
    if config.members == 1:
        return build(*next(iter(config.presets.items())))  # type: ignore[no-any-return]
    width, outputs = estimator.encoder_.input_size, estimator._output_size()
    values = ValuesMap(width, config.values, outputs) if config.values else None
    members = {name: [build(name, size) for _ in range(config.members)] for name, size in config.presets.items()}
    return Ensemble(members, estimator.target_kind, values)


class Selection:
    """The training of the networks of all presets on parts of the sequences, and the choice of a preset.

    Args:
        objective: of the task.
        batches: training data.
        members: number of parts.
        strata: group of each training sequence, whose proportions the parts keep; None for none.
        seed: seed of the division.
        correct: whether the networks correct a linear map.
    """

    def __init__(
        self, objective: Any, batches: Batches, members: int, strata: np.ndarray | None, seed: int, *, correct: bool
    ) -> None:
        rows, store = batches.rows, batches.store
        passes = -(-EPOCH_STEPS // len(batches))
        common = (store, rows, batches.targets, batches.weights)
        self.train = Batches(*common, batch_size=batches.batch_size, shuffle=True, seed=seed, passes=passes)
        self.valid = Batches(*common, batch_size=256)
        parts = draw_parts(rows, members, len(store), strata, seed)
        self.weight, self.bias, offset = None, None, None
        if correct:
            self.weight, self.bias, offset = _fit_values(batches, parts, members)
        self.objective = CrossFitted(objective, parts, offset)

    @property
    def values(self) -> int:
        """Steps of the linear map; 0 without one."""
        return 0 if self.weight is None else len(self.weight)

    def start(self, network: Ensemble) -> None:
        """Sets the weights of the linear map."""
        if network.values is not None and self.weight is not None and self.bias is not None:
            network.values.weight.copy_(self.weight)
            network.values.bias.copy_(self.bias)

    def finish(self, network: Ensemble, row: dict[str, float]) -> dict[str, float]:
        """Keeps the networks of the best preset, and of those whose loss is not greater by more than chance.

        Args:
            network: all networks.
            row: metrics of the best epoch.

        Returns:
            The loss of each preset.
        """
        losses = {name: row[f"valid_loss_{name}"] for name in network.presets if f"valid_loss_{name}" in row}
        if losses:
            self.objective.active = list(losses)
            best = min(losses, key=losses.__getitem__)
            network.choose(self.objective.not_worse(self._observed(network), best))
        else:  # no epoch was finished
            network.choose(list(network.presets)[:1])
        self.objective.active = []
        if network.values is not None:
            network.share.fill_(self._share(network))
        return losses

    def _observed(self, network: Ensemble) -> list[Any]:
        with torch.inference_mode():
            return [self.objective.observe(network.eval(), batch) for batch in self.valid]

    def _share(self, network: Ensemble) -> float:
        """The factor of the correction with the lowest squared error on sequences that the networks did not see.

        It is 0 if the error of the linear map falls by no more than chance explains (one-sided t-test, 5 %).
        """
        errors, changes = [], []
        for batch, (found, target, weight) in zip(self.valid, self._observed(network), strict=True):
            base = self.objective.offset[batch.rows]  # type: ignore[index]
            root = 1.0 if weight is None else weight.sqrt().unsqueeze(1)
            errors.append((root * (target - base)).double())
            changes.append((root * (torch.stack(list(found.values())).mean(0) - base)).double())
        error, change = torch.cat(errors), torch.cat(changes)
        share = float((error * change).sum() / (change**2).sum().clamp(min=1e-300))
        share = min(max(share, 0.0), 1.0)
        gain = (error**2 - (error - share * change) ** 2).mean(1)
        return share if gain.mean() > CHANCE * gain.std() / len(gain) ** 0.5 else 0.0


def _fit_values(batches: Batches, parts: np.ndarray, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Fits ridge regression on the resampled values.

    Returns:
        Weights `(steps, features, outputs)`, bias `(outputs,)`, and for each row of the store the prediction of a model
        that did not see the part of the row, `(rows, outputs)`.
    """
    rows, targets = batches.rows, batches.targets
    assert isinstance(targets, Tensor)  # noqa: S101  (training data of a regressor)
    sequences = batches.store.take(rows)
    width = sequences[0].shape[1]
    steps = max(1, min(max(map(len, sequences)), RESAMPLED // width))
    features = np.concatenate([resampled(row[None], np.array([len(row)]), steps) for row in sequences])
    weights = None if batches.weights is None else batches.weights[rows].double().numpy()
    examples = Examples(features, targets[rows].double().numpy(), weights, targets.shape[1], False)
    strength = choose_strength(examples)
    offset = torch.zeros(len(batches.store), targets.shape[1])
    for number in range(count):
        held = parts[rows] == number
        weight, bias = _solved(examples.take(np.flatnonzero(~held)), strength)
        offset[torch.from_numpy(rows[held])] = torch.from_numpy(features[held] @ weight + bias).float()
    weight, bias = _solved(examples, strength)
    return torch.from_numpy(weight).float().reshape(steps, width, -1), torch.from_numpy(bias).float(), offset


def _solved(examples: Examples, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias for features that are not standardized."""
    found = fit_linear(examples, strength)
    weight = found["weight"] / found["scale"][:, None]
    return weight, found["bias"] - found["mean"] @ weight


def schedule(estimator: Any, settings: Settings, batches: Batches, steps: float) -> Settings:
    """Returns the settings of a run on few numeric series whose length follows the metric.

    Args:
        estimator: the estimator.
        settings: those without this rule.
        batches: training data.
        steps: median length of the sequences.
    """
    fixed = estimator.epochs is not None or estimator.max_minutes is not None or settings.patience is None
    fixed = fixed or settings.schedule is not None
    if fixed or settings.epochs <= MIN_EPOCHS:
        return settings
    members = estimator.series_.members
    frames = 0
    for name, size in estimator.series_.presets.items():
        whole = torch.tensor(int(steps))
        frames += int(steps) if name == "steps" else int(SeriesFrames(1, name, size).frames_of(whole))
    work = batches.batch_size * max(frames, 1) * max(members - 1, 1)
    most = min(MOST_STEPS, max(MOST_FRAMES / work, PLATEAU_STEPS[members > 1] * 3))
    wait = max(math.ceil(PLATEAU_STEPS[members > 1] / len(batches)), 2)
    return replace(settings, epochs=max(math.ceil(most / len(batches)), 3 * wait), follow=wait)


def explain_choice(config: SeriesConfig, losses: dict[str, float], metric: str) -> str:
    """Returns a sentence on the choice of the presets.

    Example:
        >>> explain_choice(SeriesConfig({"parts": 63}, 5), {"parts": 0.5}, "accuracy 0.83")
        'Preset parts (63 steps in a frame), average of 5 networks: cross-validated accuracy 0.83; loss 0.5.'
    """
    chosen, *further = config.presets
    names = [name if name == "steps" else f"{name} ({size} steps in a frame)" for name, size in config.presets.items()]
    others = ", ".join(f"{name} {loss:.3g}" for name, loss in losses.items() if name != chosen)
    beside = f" ({others})" if others else ""
    loss = f"; loss {losses[chosen]:.3g}{beside}" if chosen in losses else ""
    kind = "Presets" if further else "Preset"
    best = " of the first" if further else ""
    return f"{kind} {' and '.join(names)}, average of {config.networks} networks: cross-validated {metric}{best}{loss}."
