"""Health card of a model: saturated gates, dead units, vanishing and exploding gradients, overfitting, with advice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra._util import strict_json
from recurra._util.html import html_note, html_table
from recurra.cells import State
from recurra.errors import NonFiniteError, UsageError
from recurra.tasks.base import TRAINING_LOSS, Estimator
from recurra.tasks.subject import Subject
from recurra.training.health.statistics import (
    Activity,
    GateUse,
    Radius,
    UnitUse,
    bad_inputs,
    bad_weights,
    place,
    saturation,
    spectral_radii,
)
from recurra.training.health.thresholds import (
    DEAD,
    FALL,
    FALL_OF_FEW,
    FEW_EPOCHS,
    FINITE,
    GRADIENT,
    GROWTH,
    NEW_DATA,
    OVERFIT,
    RADIUS,
    RADIUS_RELU,
    REACH,
    SATURATION,
    Light,
    run_lights,
    worst,
)

from .core.decay import NAMES
from .core.layers import LayerCall, as_ours, recurrent_layers, serving
from .core.record_windows import Choice, record_some
from .core.registry import Measure, Text, register
from .core.sampling import some_subject
from .core.subject import subject_of
from .gradients.reach import Reach, gradient_reach

ROWS = 64
"""Default number of sequences. More sequences hardly change the result."""

CHUNK_BYTES = 128 << 20
"""Maximum memory of gates and states, in bytes."""

Seen = tuple[list[GateUse], list[UnitUse], list[Radius]]

MARKS = {"green": "●", "yellow": "▲", "red": "■"}
"""Symbols of the lights, for readers who cannot distinguish the colours."""


@dataclass(frozen=True)
class HealthCard:
    """Health of a model: measurements, each with a green, yellow or red light.

    Attributes:
        lights: the measurements, the worst first.
        gates: use of every gate of every layer and direction; empty without data.
        units: dead units of every layer and direction; empty without data.
        radii: spectral radius of the recurrent weights of every gate.
        missing: measurements that were not possible, with the data that they need.
        title: title of the model.

    Example:
        >>> import torch, recurra
        >>> from recurra import nn
        >>> card = recurra.inspect.health(nn.LSTM(5, 16, batch_first=True), torch.randn(8, 20, 5))
        >>> card.ok, card.worst
        (True, 'green')
        >>> [light.light for light in card.lights if light.name == "dead units"]
        ['green']
    """

    lights: list[Light]
    gates: list[GateUse] = field(default_factory=list)
    units: list[UnitUse] = field(default_factory=list)
    radii: list[Radius] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    title: str = ""

    @property
    def worst(self) -> str:
        """The worst colour on the card."""
        return worst(self.lights)

    @property
    def ok(self) -> bool:
        """True if nothing is red."""
        return self.worst != "red"

    def __getitem__(self, name: str) -> Light:
        """The light of a name, such as `"dead units"`."""
        for light in self.lights:
            if light.name == name:
                return light
        raise UsageError(f"there is no {name!r} on this card; there are {', '.join(x.name for x in self.lights)}")

    def rows(self) -> list[dict[str, Any]]:
        """The lights as plain dictionaries."""
        return [light.row() for light in self.lights]

    def to_json(self) -> str:
        """The card as JSON."""
        gates = [{"where": use.where, "low": use.low, "high": use.high} for use in self.gates]
        units = [{"where": use.where, "units": use.units, "dead": use.dead} for use in self.units]
        radii = [{"where": r.where, "radius": r.radius if math.isfinite(r.radius) else None} for r in self.radii]
        card = {"title": self.title, "worst": self.worst, "ok": self.ok, "lights": self.rows(), "missing": self.missing}
        return strict_json.dump(card | {"gates": gates, "units": units, "radii": radii})

    def _repr_html_(self) -> str:
        rows = [
            {
                "": f"{MARKS[light.light]} {light.light}",
                "what": light.name,
                "value": light.shown,
                "where": light.where,
                "advice": f"{light.meaning} {light.advice}" if light.advice else "",
            }
            for light in self.lights
        ]
        missing = "".join(html_note(f"not measured: {words}") for words in self.missing)
        return html_note(f"Health of {self.title}: {self.worst}") + html_table(rows, len(rows)) + missing

    def __repr__(self) -> str:
        """The card as text."""
        lines = [f"Health of {self.title}: {self.worst}"]
        for light in self.lights:
            lines.append(
                f"{MARKS[light.light]} {light.light:<7}{light.name:<17}{light.shown:>9}  {light.where}".rstrip()
            )
            if light.advice:
                lines += [f"    {light.meaning}", f"    → {light.advice}"]
        return "\n".join([*lines, *(f"  not measured: {words}" for words in self.missing)])


def health(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    lengths: Any = None,
    loss: Callable[[Any], Tensor] | None = None,
    rows: int = ROWS,
) -> HealthCard:
    """Checks the health of a model.

    The weights, and the training history of an estimator, are always checked. Gates, units and gradients need data.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: for an estimator, sequences as its `predict` takes them; for a module, the tensor that it is called with; or
            a `Subject`.
        y: targets as the estimator's `fit` takes them, for the gradient of the loss.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        loss: for a module: from its output to the losses of the sequences, `(batch,)`.
        rows: number of sequences of an estimator's data that are used, evenly spaced.

    Returns:
        The card. `recurra.training.health.thresholds` explains the limits.

    Raises:
        UsageError: the model has no recurrent layer, or is not fitted.
        DataError: `X` cannot be used.

    Example:
        >>> import torch, recurra
        >>> from recurra import nn
        >>> card = recurra.inspect.health(nn.GRU(5, 16, batch_first=True), 1e4 * torch.randn(8, 20, 5))
        >>> card.ok, card["saturation"].light
        (False, 'red')
    """
    if X is None and not isinstance(model, Subject):
        subject, network = None, _network(model)
        title = getattr(model, "title", type(model).__name__)
    else:
        if isinstance(model, Estimator) and not isinstance(X, Subject):
            _network(model)  # raises an error if it is not fitted
            subject = some_subject(model, X, y, rows)
        else:
            subject = subject_of(model, X, y, lengths=lengths, loss=loss)
        network, title = subject.network, subject.title
    lights, missing, seen = _examine(network, subject)
    if isinstance(model, Estimator):
        history, seen_rows = list(model.history_ or []), list(model.health_checks_ or [])
        lights += [*history_lights(history, model.best_epoch_), *run_lights(seen_rows)]
        lights += _baseline_lights(model, X, y, missing)
    lights.sort(key=lambda light: ["red", "yellow", "green"].index(light.light))
    return HealthCard(lights, *seen, missing, title)


def _examine(network: torch.nn.Module, subject: Subject | None) -> tuple[list[Light], list[str], Seen]:
    """Returns lights for the weights and, if given, the data; missing measurements; and values of all layers."""
    layers = recurrent_layers(network)
    radii = [r for name, layer in layers.items() for r in _radii(name, as_ours(layer))]
    bad, look, lights = bad_weights(network), None, []
    missing = ["saturation, dead units and gradients: give some data"] if subject is None else []
    if bad is None:
        lights += [_radius_light(radii)] if radii else []  # not every cell has a recurrent matrix
        look = subject and _DataPass(subject)
        bad = look and look.bad
    lights.insert(0, FINITE.light(bad.number if bad else 0, f"{bad.value} in {bad.where}" if bad else ""))
    if subject is not None and look is not None and bad is None:  # invalid numbers make the rest meaningless
        lights += [*look.lights(), *_reach(subject), *_gradient(subject)]
        if subject.loss is None:
            missing.append("gradient of the loss: give targets too")
    return lights, missing, (look.gates, look.units, radii) if look else ([], [], radii)


def history_lights(history: list[dict[str, float]], best_epoch: int) -> list[Light]:
    """Returns lights for the decrease of the training loss and for overfitting.

    Args:
        history: a dictionary for each epoch, with `loss` and optionally `valid_loss`.
        best_epoch: the epoch of the final weights, counted from 1.

    Example:
        >>> [light.light for light in history_lights([{"loss": 1.0}, {"loss": 0.4}], 2)]
        ['green']
        >>> [light.light for light in history_lights([{"loss": 1.0}] * 5, 5)]
        ['red']
    """
    found = []
    losses = [row["loss"] for row in history]
    if len(losses) > 1:
        fall = (losses[0] - min(losses[1:])) / max(abs(losses[0]), 1e-12)
        sign = FALL if len(losses) >= FEW_EPOCHS else FALL_OF_FEW
        found.append(sign.light(fall, f"{losses[0]:.3g} to {min(losses[1:]):.3g}"))
    valid = [row["valid_loss"] for row in history if "valid_loss" in row]
    if len(valid) == len(history) > 1 and 0 < best_epoch <= len(valid):
        kept, least = valid[best_epoch - 1], min(valid)
        found.append(OVERFIT.light((kept - least) / max(abs(least), 1e-12), f"epoch {best_epoch}"))
    return found


def _baseline_lights(model: Any, X: Any, y: Any, missing: list[str]) -> Iterator[Light]:
    """Yields lights for the comparison with simple models and, if labelled data are given, with the training data."""
    found = model.metrics_.get("comparison")
    if y is not None and not isinstance(X, Subject) and (found is None or found["figure"] != TRAINING_LOSS):
        try:
            metrics = model.evaluate(X, y)
        except NonFiniteError:
            missing.append("comparison with simple models: the output of the model is not finite")
            return
        found = metrics.get("comparison", found)
        yield from _new_data_light(model, metrics)
    if found is None:
        missing.append("comparison with simple models: the model was saved by an earlier version, or without any")
    elif found["light"] == "unknown":
        missing.append(f"comparison with simple models: {found['sentence']} Give some labelled data.")
    else:
        meaning = "the network compared with a constant prediction and with a simple model"
        advice = found["sentence"] and f"{found['sentence']} Use the simpler model, or train with more data or longer."
        yield Light("baselines", None, "", found["light"], found["figure"], meaning, advice)


def _new_data_light(model: Any, metrics: dict[str, Any]) -> Iterator[Light]:
    """Yields a light for the loss on labelled data beside that of the validation part or of training."""
    constant = next((b for b in model.baselines_ if b.constant and b.has_loss), None)
    before = model.metrics_["valid"].get("loss", model.metrics_["loss"])
    if constant is None or not math.isfinite(before or math.nan) or "loss" not in metrics:
        return
    limit = metrics.get("baselines", {}).get(constant.name, {}).get("loss", math.nan)
    if limit > 0:
        excess = max(metrics["loss"] - before, 0.0) / limit
        yield NEW_DATA.light(excess, f"loss {before:.3g} to {metrics['loss']:.3g}")


def _network(model: Any) -> torch.nn.Module:
    if isinstance(model, Estimator):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model, "network_")
        return model.network_
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"give an estimator of recurra, a torch module or a layer, not {type(model).__name__}")
    return model


def _radii(name: str, layer: Any) -> Iterator[Radius]:
    return spectral_radii(name, layer.stack, layer.weights())


def _radius_light(radii: list[Radius]) -> Light:
    signs = [(RADIUS if radius.bounded else RADIUS_RELU, radius) for radius in radii]
    sign, largest = max(signs, key=lambda found: found[1].radius / found[0].high[0])
    return sign.light(largest.radius, largest.where)


def _reach(subject: Subject) -> Iterator[Light]:
    """Yields lights for the gradient reach of the loss or score, and for growing gradients in a recurrent layer."""
    of = "score" if subject.loss is None else "loss"
    shares, growths = [], []
    for where, sizes in _by_lag(gradient_reach(subject, of=of)):
        steps = int(np.flatnonzero(sizes >= NAMES[0][0] * sizes.max())[-1]) + 1
        shares.append((steps / len(sizes), f"{where}: {steps} of {len(sizes)} steps"))
    for where, sizes in _by_lag(gradient_reach(subject, of="each", probes=1)):
        if sizes[0] > 0:
            growths.append((float((sizes / sizes[0]).max()), where))
    if shares:
        yield REACH.light(*min(shares))
    if growths:
        yield GROWTH.light(*max(growths))


def _by_lag(reach: Reach) -> Iterator[tuple[str, np.ndarray]]:
    """Yields gradients by lag for each layer and direction, except for sequences of one step and zero gradients."""
    for part, data in reach.parts.items():
        for layer, rows in enumerate(data["gradient"].values):
            for direction, row in enumerate(rows):
                sizes = row[~np.isnan(row)]
                if len(sizes) > 1 and sizes.max() > 0:
                    yield place(part, layer, direction), sizes


class _DataPass:
    """One pass of the data through the model."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.bad = subject, None
        self.activities: dict[str, Activity] = {}
        with torch.no_grad(), serving(subject.network, self._serve):
            subject.forward(subject.batch)
        self.gates = [use for activity in self.activities.values() for use in activity.gates()]
        self.units = [use for activity in self.activities.values() for use in activity.units()]

    def lights(self) -> Iterator[Light]:
        """Yields the lights of the worst layer and direction."""
        if self.gates:
            yield SATURATION.light(*max(saturation(self.gates)))
        if self.units:
            layer = max(self.units, key=lambda use: use.share)
            yield DEAD.light(layer.share, layer.where)

    def _serve(self, call: LayerCall) -> tuple[Tensor, State]:
        if self.bad is None:
            found = bad_inputs(call.values, call.lengths, self.subject.features if not call.name else None)
            self.bad = found and found._replace(where=f"{found.where} of {call.name or 'the layer'}")
        activity = self.activities.setdefault(call.name, Activity(call.name, call.stack))
        stack, (batch, steps) = call.stack, call.values.shape[:2]
        size = stack.num_layers * stack.directions * sum(stack.inner_sizes.values()) * call.values.element_size()
        several = max(1, CHUNK_BYTES // max(1, size * steps))
        outputs, lasts = [], []
        for begin in range(0, batch, several):
            rows = slice(begin, begin + several)
            lengths = None if call.lengths is None else call.lengths[rows]
            states = None if call.states is None else tuple(s[:, rows] for s in call.states)
            stride = max(1, size * steps // CHUNK_BYTES)  # a sample of the steps of a very long sequence
            choice = Choice(stack.inner_sizes, None, range(0, steps, stride))
            output, last, arrays = record_some(stack, call.values[rows], call.weights, lengths, states, choice)
            seen = None if lengths is None else (lengths + stride - 1) // stride
            activity.see(arrays, seen)
            outputs.append(output)
            lasts.append(last)
        if self.bad is None and activity.bad is not None:
            self.bad = activity.bad
        return torch.cat(outputs), tuple(torch.cat(s, 1) for s in zip(*lasts, strict=True))


def _gradient(subject: Subject) -> Iterator[Light]:
    if subject.loss is None:
        return
    weights = [p for p in subject.network.parameters() if p.requires_grad]
    with torch.enable_grad():
        total, count = subject.loss(subject.batch)
        gradients = torch.autograd.grad(total / count, weights, allow_unused=True)
    norm = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
    yield GRADIENT.light(float(norm), "on the data")


register(
    Measure(
        health,
        Text("Health card", "상태 점검표"),
        Text(
            "Checks for saturation, dead units, vanishing gradients, overfitting and invalid numbers.",
            "게이트 포화, 죽은 유닛, 기울기 소실, 과적합, 유효하지 않은 수를 점검합니다.",
        ),
    )
)
