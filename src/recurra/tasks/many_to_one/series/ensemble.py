"""Several networks whose answers are averaged, and their training, in which each leaves out a part of the sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import Batch
from recurra.errors import UsageError
from recurra.ops.reproducible import sum_steps, total

MEMBERS = 5
"""Networks, and parts of the training sequences."""
CHANCE = 1.645
"""Standard errors that a difference must have to be more than chance (one-sided, 5 %)."""
TRIAL_EPOCHS = 18
"""Epochs between two decisions on which presets are trained further."""


class ValuesMap(torch.nn.Module):
    """Linear map of the values of a sequence, resampled to the same number of steps.

    Args:
        features: features of a step.
        steps: number of steps after resampling.
        outputs: numbers that it predicts.

    Example:
        >>> tuple(ValuesMap(2, 4, 1)(torch.randn(3, 9, 2), torch.tensor([9, 4, 0])).shape)
        (3, 1)
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, steps: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(steps, features, outputs))
        self.register_buffer("bias", torch.zeros(outputs))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Returns `(batch, outputs)` for `(batch, time, features)`."""
        spread = torch.zeros(*values.shape, self.weight.shape[2], dtype=torch.float64, device=values.device)
        for length in set(lengths.tolist()) - {0}:  # the weights of each step, for this length
            spread[lengths == length, :length] = torch.einsum(
                "ts,sfo->tfo", _shares(length, len(self.weight)), self.weight.double().cpu()
            ).to(values.device)
        products = (values.double().unsqueeze(-1) * spread).flatten(2)
        found = sum_steps(products).unflatten(1, spread.shape[2:])
        return (reduce(torch.add, found.unbind(1)) + self.bias).to(values.dtype)


def _shares(length: int, steps: int) -> Tensor:
    """Share of each step of a sequence in each step after resampling, `(length, steps)`."""
    edges = torch.linspace(0, length, steps + 1, dtype=torch.float64)
    at = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    overlap = torch.minimum(edges[1:], at + 1) - torch.maximum(edges[:-1], at)
    return overlap.clamp(min=0) * (steps / length)


class Ensemble(torch.nn.Module):
    """Networks of one or several presets. The answer is the average of all networks.

    Args:
        presets: networks by the name of their preset.
        kind: `"classes"` or `"labels"` to average probabilities, of which the outputs are logits; else `"numbers"`.
        values: for numbers, a linear map to whose answer the average is added.

    Attributes:
        share: factor of the average beside the linear map.
    """

    share: Tensor

    def __init__(
        self, presets: Mapping[str, Sequence[torch.nn.Module]], kind: str, values: ValuesMap | None = None
    ) -> None:
        super().__init__()
        self.presets = torch.nn.ModuleDict({name: torch.nn.ModuleList(each) for name, each in presets.items()})
        self.kind, self.values = kind, values
        self.register_buffer("share", torch.ones(()))

    @property
    def members(self) -> list[torch.nn.Module]:
        """All networks."""
        return [member for members in self.presets.values() for member in members]  # type: ignore[attr-defined]

    def choose(self, presets: Sequence[str]) -> None:
        """Drops the networks of other presets."""
        self.presets = torch.nn.ModuleDict({name: self.presets[name] for name in presets})

    def embed(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Returns the vectors of all networks beside each other, `(batch, size)`."""
        return torch.cat([member.embed(values, lengths) for member in self.members], 1)  # type: ignore[operator]

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Outputs `(batch, outputs)` for features `(batch, time, features)`."""
        outputs = [member(values, lengths) for member in self.members]
        if self.kind == "labels":
            shares = reduce(torch.add, [output.double().sigmoid() for output in outputs]) / len(outputs)
            return shares.logit(eps=1e-12).to(values.dtype)
        if self.kind == "classes":
            chances = [output.double().softmax(-1) for output in outputs]
            return (reduce(torch.add, chances) / len(chances)).clamp(min=1e-12).log().to(values.dtype)
        average = reduce(torch.add, outputs) / len(outputs)
        return average if self.values is None else self.values(values, lengths) + self.share * average


class CrossFitted:
    """Loss and metrics of an ensemble in training: each network trains on all parts but its own, and is tested on it.

    Args:
        inner: objective of the task.
        parts: for each row of the store, the number of its part; -1 for rows that are not used.
        offset: for each row, the prediction of the linear map that did not see it, `(rows, outputs)`; None for 0.
    """

    monitor, monitor_mode = "loss", "min"
    perfect: float | None = 1e-3

    def __init__(self, inner: Any, parts: np.ndarray, offset: Tensor | None = None) -> None:
        self.inner, self.parts, self.offset = inner, torch.from_numpy(parts), offset
        self.active: list[str] = []
        self.epochs = 0

    def _output(self, member: torch.nn.Module, batch: Batch, rows: Tensor) -> Tensor:
        lengths = batch.lengths[rows]
        steps = max(int(lengths.max()), 1)
        output = member(batch.values[rows, :steps], lengths)
        return output if self.offset is None else output + self.offset[batch.rows[rows]].to(output)

    def loss(self, network: Ensemble, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean over the networks of the weighted sum of losses, and the sum of the weights."""
        part, sums, count = self.parts[batch.rows], [], 1
        for name, members in network.presets.items():
            if self.active and name not in self.active:
                continue
            for number, member in enumerate(members):  # type: ignore[arg-type, var-annotated]
                rows = (part != number).nonzero().flatten()
                if not len(rows):
                    continue
                losses = self.inner.losses(self._output(member, batch, rows), batch.targets[rows])  # type: ignore[index]
                weights = 1.0 if batch.weights is None else batch.weights[rows]
                sums.append(total(losses * weights))
            count = len(members) - 1  # type: ignore[arg-type]
        presets = len(self.active or network.presets)
        return torch.stack(sums).sum() / (count * presets), self.inner.weight(batch)

    def weight(self, batch: Batch) -> Tensor:
        """Sum of the weights of the sequences."""
        return self.inner.weight(batch)  # type: ignore[no-any-return]

    def observe(self, network: Ensemble, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """For each preset, the outputs of the networks that did not see the sequences; targets and weights."""
        part, found = self.parts[batch.rows], {}
        for name, members in network.presets.items():
            if self.active and name not in self.active:
                continue
            outputs: Any = None
            for number, member in enumerate(members):  # type: ignore[arg-type, var-annotated]
                rows = (part == number).nonzero().flatten()
                if len(rows):
                    output = self._output(member, batch, rows).float().cpu()
                    outputs = output.new_zeros(len(part), output.shape[1]) if outputs is None else outputs
                    outputs[rows] = output
            found[name] = outputs
        target, weight = (None if t is None else t.cpu() for t in (batch.targets, batch.weights))
        return found, target, weight  # type: ignore[return-value]

    def by_preset(self, observed: list[Any]) -> dict[str, list[Any]]:
        """Returns the observations of each preset, as the objective of the task takes them."""
        return {name: [(found[name], target, weight) for found, target, weight in observed] for name in observed[0][0]}

    def not_worse(self, observed: list[Any], best: str) -> list[str]:
        """Returns the best preset, and the others whose loss is not greater by more than chance (paired t-test)."""
        losses = {
            name: torch.cat(
                [self.inner.losses(output, target) * (1.0 if w is None else w) for output, target, w in own]
            )
            for name, own in self.by_preset(observed).items()
        }
        kept = [best]
        for name, own in losses.items():
            more = (own - losses[best]).double()
            if name != best and not more.mean() > CHANCE * more.std() / len(more) ** 0.5:
                kept.append(name)
        return kept

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Metrics of the best preset, and the loss of each. Presets that are worse are not trained further."""
        each = {name: self.inner.metrics(own) for name, own in self.by_preset(observed).items()}
        best = min(each, key=lambda name: each[name]["loss"])
        self.epochs += 1
        if self.epochs % TRIAL_EPOCHS == 0:
            kept = self.not_worse(observed, best)
            self.active = [name for name in each if name in kept]
        return {**each[best], **{f"loss_{name}": own["loss"] for name, own in each.items()}}

    def carried(self) -> Any:
        """State for the checkpoint."""
        return self.epochs, self.active

    def carry(self, state: Any) -> None:
        """Restores the state."""
        self.epochs, self.active = state[0], list(state[1])


def draw_parts(rows: np.ndarray, count: int, size: int, strata: np.ndarray | None, seed: int) -> np.ndarray:
    """Divides rows at random into parts of equal size, in which groups keep their proportions.

    Args:
        rows: rows to divide.
        count: number of parts.
        size: number of all rows.
        strata: group of each of the rows, or None.
        seed: seed of the draw.

    Returns:
        The part of each row `(size,)`; -1 for other rows.

    Example:
        >>> draw_parts(np.array([0, 1, 3, 4]), 2, 5, np.array(["a", "a", "b", "b"]), 0).tolist()
        [0, 1, -1, 0, 1]
    """
    random = np.random.default_rng(seed).permutation(len(rows))
    if strata is not None:
        random = random[np.argsort(strata[random], kind="stable")]
    parts = np.full(size, -1)
    parts[rows[random]] = np.arange(len(rows)) % count
    return parts


def one_network(estimator: Any, use: str) -> Any:
    """Returns the network of a model that reads its sequences step by step.

    Args:
        estimator: a fitted classifier or regressor.
        use: what needs this, for the message.

    Raises:
        UsageError: the model averages several networks, or reads frames.
    """
    config = estimator.series_
    if config.networks > 1 or "steps" not in config.presets:
        several = f"averages {config.networks} networks with" if config.networks > 1 else "has"
        names = " and ".join(config.presets)
        raise UsageError(
            f"{use} needs one network that reads single steps, but this model {several} the preset {names}; "
            "train it with preset='steps' and members=1 (--preset steps --members 1)"
        )
    return estimator.network_
