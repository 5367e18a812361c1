"""Runs a model with changed gates or states, and measures the effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra._util.messages import readable
from recurra.cells import State
from recurra.inspect.core.layer_input import by_step, run_unchanged
from recurra.inspect.core.layers import LayerCall, as_ours, recurrent_layers, serving
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult
from recurra.inspect.core.subject import subject_of
from recurra.ops import replay
from recurra.tasks.subject import Subject

from .changes import Change, InterventionHook, check

if TYPE_CHECKING:
    import xarray


def intervene(
    model: Any,
    x: Any = None,
    changes: Sequence[Change] = (),
    y: Any = None,
    *,
    lengths: Any = None,
    score: Callable[[Any], Tensor] | None = None,
    loss: Callable[[Any], Tensor] | None = None,
) -> Effect:
    """Runs a model with changed gates or states, and measures the effect on its prediction.

    The changed recurrent layers run twice in the reference loop, with and without the changes, so the difference is
    the effect of the changes only.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: for an estimator, sequences as its `predict` takes them; for a module, the tensor that it is called with; or
            a `Subject`.
        changes: created by `clamp`, `ablate` and `patch`. A later change of the same value overrides an earlier one.
        y: targets, to measure the effect on the loss.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        score: for a module, as in `subject_of`.
        loss: for a module, as in `subject_of`.

    Raises:
        UsageError: a change does not apply to the model, or the model has no recurrent layer.
        DataError: `x` cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import clamp, intervene
        >>> layer = torch.nn.LSTM(2, 4, batch_first=True)
        >>> effect = intervene(layer, torch.randn(1, 9, 2), [clamp("output", 0.0, time=slice(5, None))])
        >>> effect.score_after.tolist(), effect.moved[""].sel(time=4).item()
        ([0.0], 0.0)
    """
    subject = subject_of(model, x, y, lengths=lengths, score=score, loss=loss)
    layers = recurrent_layers(subject.network)
    sorted_changes = check(changes, {name: as_ours(layer).stack for name, layer in layers.items()})
    before = _run(subject, dict.fromkeys(sorted_changes, ()))
    after = _run(subject, sorted_changes)
    moved = {
        name: by_step(subject, name, (output - before.layers[name][0]).norm(dim=-1), lengths, "moved")
        for name, (output, lengths) in after.layers.items()
    }
    return Effect(
        before.scores,
        after.scores,
        before.loss,
        after.loss,
        before.output,
        after.output,
        moved,
        subject,
        tuple(changes),
    )


@dataclass(frozen=True, repr=False)
class Effect(JsonResult):
    """Effect of changes on a run.

    Attributes:
        score_before: score of each sequence without the changes, `(batch,)`; `subject.score_name` is its name.
        score_after: score with the changes. If the log-odds of a prediction fall below 0, the prediction changes.
        loss_before: mean loss without the changes; None if the targets are unknown.
        loss_after: mean loss with the changes.
        output_before: output of the model without the changes, in the shape that the model returns.
        output_after: output with the changes.
        moved: for each changed recurrent layer by name, the Euclidean norm of the change of its output at each step,
            `(batch, time)`; NaN in the padding.
        subject: the model and its inputs.
        changes: the changes.

    Example:
        >>> import torch
        >>> from recurra.inspect import clamp, intervene
        >>> layer = torch.nn.LSTM(2, 4, batch_first=True)
        >>> effect = intervene(layer, torch.randn(3, 9, 2), [clamp("output", 0.0)])
        >>> effect.score_after.tolist(), effect.loss_after is None
        ([0.0, 0.0, 0.0], True)
    """

    score_before: np.ndarray
    score_after: np.ndarray
    loss_before: float | None
    loss_after: float | None
    output_before: np.ndarray
    output_after: np.ndarray
    moved: dict[str, xarray.DataArray]
    subject: Subject
    changes: tuple[Change, ...]

    @property
    def score_change(self) -> np.ndarray:
        """Score with the changes minus score without, `(batch,)`."""
        return self.score_after - self.score_before

    @property
    def output_change(self) -> np.ndarray:
        """Output with the changes minus output without, in the shape of the output."""
        return self.output_after - self.output_before

    @property
    def loss_change(self) -> float | None:
        """Mean loss with the changes minus mean loss without; None if the targets are unknown."""
        if self.loss_before is None or self.loss_after is None:
            return None
        return self.loss_after - self.loss_before

    def rows(self) -> list[dict[str, float]]:
        """One row for each sequence: `batch before after change`, of the score."""
        columns = zip(self.score_before.tolist(), self.score_after.tolist(), self.score_change.tolist(), strict=True)
        return [{"batch": b, "before": x, "after": y, "change": d} for b, (x, y, d) in enumerate(columns)]

    def to_dict(self) -> dict[str, Any]:
        """Scores and losses as numbers."""
        return {
            "score": self.subject.score_name,
            "rows": self.rows(),
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
        }

    def __repr__(self) -> str:
        """The scores of the first sequences, and the loss."""
        lines = [f"Effect on the {self.subject.score_name}"]
        for row in self.rows()[:10]:
            answer = f" {self.subject.answers[int(row['batch'])]}" if self.subject.answers else ""
            change = f"{readable(row['before'])} -> {readable(row['after'])} ({readable(row['change'], signed=True)})"
            lines.append(f"[{row['batch']}]{answer}: {change}")
        if self.loss_before is not None and self.loss_after is not None:
            change = readable(self.loss_after - self.loss_before, signed=True)
            lines.append(f"loss: {readable(self.loss_before)} -> {readable(self.loss_after)} ({change})")
        return "\n".join(lines)


@dataclass
class _Run:
    scores: np.ndarray
    loss: float | None
    output: np.ndarray
    layers: dict[str, tuple[Tensor, Tensor]]


def _run(subject: Subject, changes: dict[str, Any]) -> _Run:
    """Runs the model; the layers named in `changes` use the reference loop."""
    layers: dict[str, tuple[Tensor, Tensor]] = {}

    def serve(call: LayerCall) -> tuple[Tensor, State]:
        if call.name not in changes:
            return run_unchanged(call)
        watcher = InterventionHook(call, changes[call.name])
        output, last = replay(call.stack, call.values, call.weights, call.lengths, call.states, watcher=watcher)
        batch, steps = call.values.shape[:2]
        lengths = torch.full((batch,), steps) if call.lengths is None else call.lengths.cpu()
        beyond = torch.arange(steps) >= lengths[:, None]
        name = call.name if call.number == 0 else f"{call.name} (call {call.number + 1})"
        layers.setdefault(name, (output.masked_fill(beyond.to(output.device).unsqueeze(-1), torch.nan), lengths))
        return output, last

    with torch.no_grad():
        loss = None
        with serving(subject.network, serve, replace=True):
            output = subject.forward(subject.batch)
        scores = subject.score(output).cpu().numpy()
        if subject.loss is not None:
            with serving(subject.network, serve, replace=True):
                total, count = subject.loss(subject.batch)
            loss = float(total / count)
    while isinstance(output, tuple | list):
        output = output[0]
    return _Run(scores, loss, output.cpu().numpy(), layers)


register(
    Measure(
        intervene,
        Text("Interventions", "개입"),
        Text(
            "The effect of clamping, ablating or patching units on the score and the loss.",
            "유닛을 고정하거나 제거하거나 바꿔 넣었을 때 점수와 손실의 변화입니다.",
        ),
    )
)
