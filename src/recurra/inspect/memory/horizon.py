"""Memory horizon: the number of last steps that a model needs to reach its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.data.batching.batches import IGNORE
from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.layers import as_ours, recurrent_layers
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Reportable
from recurra.inspect.core.subject import subject_of
from recurra.tasks.subject import Subject

if TYPE_CHECKING:
    import xarray

POSITIONS = 256
"""Maximum number of steps whose loss is measured, if every step has a target."""

CELLS = 1 << 16
"""Maximum number of steps of the windows in one batch."""

TABLES = {"words", "unseen", "characters", "character_lengths"}
"""Fields of a batch that its steps refer to, such as the words."""
KNOWN = {"values", "lengths", "targets", "weights", "rows", "target_lengths", "first"} | TABLES
"""Fields of batches whose steps can be cut."""


UNFIT = "a memory horizon can only be measured if a sequence, or each of its steps, has one target"


@dataclass(frozen=True, repr=False)
class Horizon(Reportable):
    """Loss of a model that reads only the last steps.

    Attributes:
        loss: loss by number of last steps, `(lag,)`; the last value is the loss on whole sequences.
        steps: the horizon: the smallest number of steps from which on the loss is within the tolerance.
        tolerance: accepted increase of the loss, as a share of the loss on whole sequences.
        verdict: summary in one sentence.
        sampled: description of what was sampled; empty if everything was used.

    Example:
        A loss that does not depend on the input needs one step.

        >>> import torch
        >>> from recurra.inspect import memory_horizon
        >>> layer = torch.nn.GRU(1, 4, batch_first=True)
        >>> horizon = memory_horizon(layer, torch.randn(8, 20, 1), loss=lambda output: 0 * output[0][:, -1].sum(1) + 1)
        >>> horizon.steps, horizon.full
        (1, 1.0)
    """

    loss: xarray.DataArray
    steps: int
    tolerance: float
    verdict: str
    sampled: str

    @property
    def full(self) -> float:
        """Loss on whole sequences."""
        return float(self.loss[-1])

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number of steps: the loss, and its difference from the loss on whole sequences."""
        return [
            {"last_steps": int(lag), "loss": float(value), "more": float(value) - self.full}
            for lag, value in zip(self.loss["lag"].values, self.loss.values, strict=True)
        ]


def memory_horizon(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    lags: Iterable[int] | None = None,
    tolerance: float = 0.01,
    lengths: Any = None,
    loss: Callable[[Any], Tensor] | None = None,
) -> Horizon:
    """Measures how much the loss rises when the model reads only the last k steps.

    If a sequence has one target, its last k steps are used. If every step has a target (language models, tags), the
    loss of a step uses the k last inputs up to this step; a bidirectional model also reads the later inputs. Each run
    starts with zero states. Source: Khandelwal and others, "Sharp nearby, fuzzy far away", 2018, for language models.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: sequences or tensor, as for `recurra.trace`.
        y: for an estimator the targets, as its `fit` takes them.
        lags: numbers of steps to measure; None for an increasing series, and then a search for the exact horizon.
        tolerance: accepted increase of the loss, as a share of the loss on whole sequences.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        loss: for a module: function from its output to the losses of the sequences, `(batch,)`; it replaces `y`.

    Raises:
        UsageError: there are no targets, an argument is out of its range, or the steps of the task cannot be cut.
        DataError: `X` or `y` cannot be used.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> from recurra.inspect import memory_horizon
        >>> layer, x = nn.GRU(1, 4, batch_first=True), torch.randn(8, 20, 1)
        >>> answer = layer(x)[0][:, -1].detach() + 0.01
        >>> found = memory_horizon(layer, x, loss=lambda output: (output[0][:, -1] - answer).square().mean(1))
        >>> found.loss.dims, 1 < found.steps <= 20
        (('lag',), True)
    """
    import xarray

    if not 0 <= tolerance < math.inf:
        raise UsageError(f"tolerance must be 0 or more, got {tolerance}")
    subject = subject_of(model, X, y, lengths=lengths, loss=loss)
    if subject.loss is None:
        raise UsageError("a memory horizon needs the targets: give y (for a module, loss=)")
    recurrent_layers(subject.network)  # raises an error if there is none
    aligned = _is_aligned(subject.batch) and getattr(model, "aligned", True)
    cut: _ManyToOne | _Aligned = _Aligned(subject) if aligned else _ManyToOne(subject)
    wanted = _series(cut.longest) if lags is None else sorted({int(k) for k in lags})
    if not wanted or wanted[0] < 1:
        raise UsageError(f"lags must be numbers of steps from 1 on, got {wanted[:5]}")
    with torch.no_grad():
        full = cut.full()
        search = _Search(cut.loss, full, cut.longest, tolerance)
        for lag in wanted:
            if lag < cut.longest:
                search.ask(lag)
            if lags is None and search.settled(lag):
                break
        if lags is None:
            search.refine()
    losses = dict(sorted(search.losses.items()))
    steps = search.horizon()
    array = xarray.DataArray(list(losses.values()), {"lag": list(losses)}, ("lag",), "loss")
    return Horizon(array, steps, tolerance, _verdict(losses, steps, cut.longest, tolerance), cut.sampled)


class _Search:
    """Measures the losses of lags and stores them."""

    def __init__(self, loss: Callable[[int], float], full: float, longest: int, tolerance: float) -> None:
        self.loss, self.losses, self.longest = loss, {longest: full}, longest
        self.limit, self.tolerance = full + tolerance * abs(full), tolerance

    def ask(self, lag: int) -> None:
        if lag not in self.losses:
            self.losses[lag] = self.loss(lag)

    def good(self, lag: int) -> bool:
        # tolerance for rounding
        return self.losses[lag] <= self.limit + 1e-6 * max(abs(value) for value in self.losses.values())

    def horizon(self) -> int:
        """Returns the smallest lag from which on all measured lags are good."""
        found = self.longest
        for lag in sorted(self.losses, reverse=True):
            if not self.good(lag):
                break
            found = lag
        return found

    def settled(self, lag: int) -> bool:
        """Returns whether the loss is good from a quarter of this lag on, so that longer windows can be skipped."""
        return self.horizon() * 4 <= lag and all(self.good(k) for k in self.losses if k * 4 >= lag)

    def refine(self) -> None:
        """Halves the gap below the horizon until there is none."""
        while True:
            horizon = self.horizon()
            below = max((k for k in self.losses if k < horizon), default=0)
            if horizon - below <= 1:
                return
            self.ask((below + horizon) // 2)


def _series(longest: int) -> list[int]:
    """Returns 1, 2, 3, 4, 6, 8, 12, 16, … below the largest length."""
    found = {1, longest, *(2**i for i in range(40)), *(3 * 2**i for i in range(40))}
    return sorted(k for k in found if k <= longest)


def _is_aligned(batch: Any) -> bool:
    targets = getattr(batch, "targets", None)
    whole = isinstance(targets, Tensor) and not targets.dtype.is_floating_point
    return whole and targets.shape == batch.values.shape[:2] and batch.values.shape[1] > 0  # type: ignore[union-attr]


class _ManyToOne:
    """Sequences with one target: the last steps of each sequence are used."""

    sampled = ""

    def __init__(self, subject: Subject) -> None:
        _check(subject.batch)
        self.subject, self.batch = subject, subject.batch
        if getattr(self.batch, "target_lengths", None) is not None:
            raise UsageError(f"{UNFIT}; here a sequence has a sequence of targets")
        values = self.batch.values
        # axis of time: 1 for the batches of estimators; modules may differ
        self.axis = 1 if hasattr(self.batch, "targets") or getattr(subject.network, "batch_first", True) else 0
        if values.dim() == 2 and values.dtype.is_floating_point:
            raise UsageError("give a batch of sequences (batch, time, features), not a single one")
        self.longest = int(values.shape[self.axis] if self.batch.lengths is None else self.batch.lengths.max())

    def full(self) -> float:
        return _mean(self.subject, self.batch)

    def loss(self, lag: int) -> float:
        values, lengths = self.batch.values, self.batch.lengths
        if lengths is None:
            steps = values.shape[self.axis]
            return _mean(self.subject, self.batch._replace(values=values.narrow(self.axis, steps - lag, lag)))
        values = values.transpose(0, self.axis - 1) if self.axis == 0 else values
        first = (lengths - lag).clamp(min=0).to(values.device)
        place = (first[:, None] + torch.arange(lag, device=values.device)).clamp(max=values.shape[1] - 1)
        rows = torch.arange(len(values), device=values.device)[:, None]
        kept = values[rows, place]
        kept = kept.transpose(0, 1) if self.axis == 0 else kept
        return _mean(self.subject, self.batch._replace(values=kept, lengths=lengths.clamp(max=lag)))


class _Aligned:
    """A target for each step: windows that end at the step, or for bidirectional models begin before it."""

    def __init__(self, subject: Subject) -> None:
        _check(subject.batch)
        self.subject, self.batch = subject, subject.batch
        batch = self.batch
        full = torch.full((len(batch.values),), batch.values.shape[1])
        self.lengths = full if batch.lengths is None else batch.lengths.cpu()
        self.longest = int(self.lengths.max())
        layers = recurrent_layers(subject.network).values()
        self.both = any(as_ours(layer).stack.bidirectional for layer in layers)
        every = (batch.targets != IGNORE).nonzero().cpu()
        if not len(every):
            raise UsageError("no step has a target")
        at = torch.linspace(0, len(every) - 1, min(POSITIONS, len(every))).round().long()
        self.positions = every[at]  # (number, 2): sequence and step
        self.sampled = f"{len(at)} of {len(every):,} steps" if len(at) < len(every) else ""

    def full(self) -> float:
        rows, steps = self.positions.to(self.batch.targets.device).T
        targets = torch.full_like(self.batch.targets, IGNORE)
        targets[rows, steps] = self.batch.targets[rows, steps]
        return _mean(self.subject, self.batch._replace(targets=targets))

    def loss(self, lag: int) -> float:
        total = weight = 0.0
        number = max(1, CELLS // (self.longest if self.both else lag))
        for group in self.positions.split(number):
            found, count = self.subject.loss(self._windows(group, lag))  # type: ignore[misc]
            total, weight = total + float(found), weight + float(count)
        return total / weight

    def _windows(self, positions: Tensor, lag: int) -> Any:
        batch = self.batch
        rows, steps = positions.T
        first = (steps - lag + 1).clamp(min=0)
        end = self.lengths[rows] if self.both else steps + 1
        width = int((end - first).max())
        place = (first[:, None] + torch.arange(width)).clamp(max=batch.values.shape[1] - 1)
        device = batch.values.device
        values = batch.values[rows[:, None].to(device), place.to(device)]
        targets = batch.targets.new_full((len(rows), width), IGNORE)
        at = (steps - first).to(device)
        targets[torch.arange(len(rows), device=device), at] = batch.targets[rows.to(device), steps.to(device)]
        changed: dict[str, Any] = {"values": values, "lengths": end - first, "targets": targets}
        changed |= {"weights": batch.weights[rows.to(device)]} if getattr(batch, "weights", None) is not None else {}
        changed |= {"rows": rows} if hasattr(batch, "rows") else {}
        changed |= {"target_lengths": end - first} if getattr(batch, "target_lengths", None) is not None else {}
        changed |= {"first": True} if hasattr(batch, "first") else {}
        return batch._replace(**changed)


def _check(batch: Any) -> None:
    more = [name for name, value in batch._asdict().items() if name not in KNOWN and value is not None]
    if more:
        raise UsageError(f"{UNFIT}; in this task steps also belong to: {', '.join(more)}")
    if hasattr(batch, "targets") and batch.targets is None:
        raise UsageError(f"{UNFIT}; in this task the inputs are their own targets")


def _mean(subject: Subject, batch: Any) -> float:
    total, weight = subject.loss(batch)  # type: ignore[misc]
    return float(total) / float(weight)


def _verdict(losses: dict[int, float], steps: int, longest: int, tolerance: float) -> str:
    shortest = min(losses)
    full = losses[longest]
    enough = "step is" if steps == 1 else f"{steps:,} steps are"
    reached = f"the last {enough} enough (of up to {longest:,}) for a loss within {100 * tolerance:g} % of the full one"
    if steps == longest:
        reached = f"the model uses all of its up to {longest:,} steps"
    seen = "step" if shortest == 1 else f"{shortest} steps"
    rise = f"with the last {seen} only it is {losses[shortest]:.3g}"
    ratio = f" ({number(losses[shortest] / full)} times as much)" if full > 0 and losses[shortest] > 2 * full else ""
    return f"{reached}: {full:.3g}; {rise}{ratio}"


register(
    Measure(
        memory_horizon,
        Text("Memory horizon", "기억 범위"),
        Text(
            "The number of last steps with which the loss is nearly the same as on whole sequences.",
            "전체 시퀀스와 거의 같은 손실을 얻는 데 필요한 마지막 스텝의 수입니다.",
        ),
    )
)
