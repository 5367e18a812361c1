"""Signs of health: what is measured of a model, and where a measure turns from green to yellow and red.

Training looks at them while it runs (`recurra.training.health.monitor`), and the health card shows them afterwards
(`recurra.inspect.health`). The values in the remarks were measured on models of the embedded samples with default
settings, and on models that were made sick on purpose; `tests/inspect/test_health.py` holds both sides.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

INF = math.inf
COLOURS = ("green", "yellow", "red")


@dataclass(frozen=True)
class Light:
    """One sign of a model's health.

    Attributes:
        name: what was measured.
        value: the number; None where it is no number.
        unit: of the value, `""` for a plain number.
        light: `"green"`, `"yellow"` or `"red"`.
        where: the place with the worst value, such as `"encoder.recurrent/0/forward input"`.
        meaning: what the value says, in one sentence.
        advice: what to do about it; `""` where nothing is to be done.
    """

    name: str
    value: float | None
    unit: str
    light: str
    where: str
    meaning: str
    advice: str

    @property
    def shown(self) -> str:
        """The value with its unit, for people."""
        if self.value is None:
            return ""
        if self.unit == "%":
            percent = 100 * self.value
            return f"{percent:.0f} %" if percent >= 10 or not percent else f"{percent:.2g} %"
        return f"{self.value:.3g} {self.unit}".rstrip()

    def row(self) -> dict[str, Any]:
        """For JSON, which has no infinity: infinity becomes a text."""
        found = dataclasses.asdict(self)
        if self.value is not None and not math.isfinite(self.value):
            found["value"] = str(self.value)
        return found


def worst(lights: Iterable[Light]) -> str:
    """The worst colour among some lights; green where there are none."""
    return max((light.light for light in lights), key=COLOURS.index, default="green")


@dataclass(frozen=True)
class Sign:
    """Something to measure, and how to judge it.

    Attributes:
        name: what is measured.
        unit: of the value; shares are given as numbers up to 1 and shown in `%`.
        meaning: what the value says, in one sentence.
        high: above the first value the light is yellow, above the second red.
        low: below the first value the light is yellow, below the second red.
        too_high: what to do then.
        too_low: what to do then.
    """

    name: str
    unit: str
    meaning: str
    high: tuple[float, float] = (INF, INF)
    low: tuple[float, float] = (-INF, -INF)
    too_high: str = ""
    too_low: str = ""

    def light(self, value: float, where: str = "") -> Light:
        """Judges a value; one that is not a number is red.

        Example:
            >>> DEAD.light(0.6, "0/forward").light, DEAD.light(0.0).advice
            ('red', '')
        """
        over = (value > self.high[0]) + (value > self.high[1])
        under = (value < self.low[0]) + (value < self.low[1])
        level = 2 if math.isnan(value) else max(over, under)
        advice = "" if not level else self.too_low if under else self.too_high
        return Light(self.name, value, self.unit, COLOURS[level], where, self.meaning, advice)


SATURATED_SIGMOID, SATURATED_TANH = 0.05, 0.95
"""A sigmoid below the first or above one minus it, and a tanh beyond the second, count as saturated: their slopes are
there below a fifth and a tenth of the steepest."""

DEAD_RANGE = 1e-4
"""A unit whose hidden state moves less than this over all data is dead, and what reads it sees a constant. With relu,
which has no upper end, it is a share of the layer's largest state."""

FINITE = Sign(
    "finite numbers",
    "",
    "how many weights, inputs and states are infinite or not a number",
    high=(0, 0),  # one spreads to everything behind it
    too_high="look at the named place: the first bad number, from which the others come; train again with a smaller "
    "learning rate, gradient clipping, or without the extreme input",
)
SATURATION = Sign(
    "saturation",
    "%",
    "share of the activations of a layer's gates that lie at their ends, where gradients hardly pass",
    # the samples: up to 41 %, and 67 % in one layer that a transcriber of 40 recordings had given up;
    # inputs of deviation 100 instead of 1: 72 % (GRU), 75 % (LSTM), 91 % (RNN)
    high=(0.6, 0.7),
    too_high="scale the inputs to mean 0 and deviation 1, begin with smaller weights, or use a smaller learning rate",
)
DEAD = Sign(
    "dead units",
    "%",
    "share of a layer's units that never change over the data",
    high=(0.1, 0.5),
    too_high="dead units carry nothing: use fewer units, a smaller learning rate, or tanh instead of relu",
)
RADIUS = Sign(
    "spectral radius",
    "",
    "largest eigenvalue, in size, of a gate's recurrent weights: what they alone make of the state in one step",
    # the samples: up to 5.9; weights 20 times as large as torch begins them: 12 to 14
    high=(10.0, 30.0),
    too_high="recurrent weights are so large that gates flip from one extreme to the other: use a smaller learning "
    "rate or more weight decay, or begin with smaller weights",
)
RADIUS_RELU = dataclasses.replace(
    RADIUS,
    # relu has no upper end, so above 1 states can grow; units that are off slow it: 1.8 trains well over 40 steps,
    # 3 overflows float32 within 100
    high=(2.0, 3.0),
    too_high="states may grow with every step: begin with the unit matrix or a smaller one, or use a gated cell",
)
REACH = Sign(
    "gradient reach",
    "%",
    "how much of the longest sequence is reached by more than a hundredth of the largest gradient",
    # a plain RNN as torch begins it, read at its last step, reaches 9 steps of any number
    low=(0.1, 0.04),
    too_low="earlier steps teach the model nothing: use lstm or gru instead of rnn, forget gates that begin "
    "open, another pooling than the last step, or shorter sequences",
)
GROWTH = Sign(
    "gradient growth",
    "times",
    "largest gradient on the way back through a recurrent layer, against that at the step itself",
    # the samples: up to 35 (rnn_relu), else 1; weights 5 times as large as torch begins them: 6e9 (RNN of 100 steps)
    high=(100.0, 1e4),
    too_high="gradients explode on the way back: clip them (gradient_clip), begin with smaller recurrent weights, or "
    "use lstm or gru",
)
UPDATE = Sign(
    "update size",
    "%",
    "largest change of a weight matrix in one training step, against the size of the matrix",
    high=(0.2, 0.5),
    low=(1e-6, 1e-8),
    too_high="the steps are too large: train with a smaller learning rate",
    too_low="the weights hardly move: train with a larger learning rate, or look why no gradient arrives",
)
GRADIENT = Sign(
    "gradient norm",
    "",
    "size of the gradient of the loss over all weights, before clipping",
    high=(100.0, 1e4),
    low=(1e-9, 1e-30),
    too_high="gradients explode: clip them (gradient_clip), use a smaller learning rate, or a gated cell",
    too_low="no gradient arrives: look at saturation and dead units",
)
TRAINING_GRADIENT = dataclasses.replace(
    GRADIENT, name="training gradient", meaning="largest size of the gradient in training, before clipping"
)
FALL = Sign(
    "training loss",
    "%",
    "share by which the training loss fell from the first epoch to its lowest",
    low=(0.01, 1e-6),
    too_low="nothing was learnt: train with another learning rate or for longer, and look whether the targets belong "
    "to the inputs",
)
FALL_OF_FEW = dataclasses.replace(FALL, low=(FALL.low[0], -INF))
"""Of fewer epochs than `FEW_EPOCHS`: a loss that has not fallen yet may just begin to."""
FEW_EPOCHS = 4
OVERFIT = Sign(
    "overfitting",
    "%",
    "how far the validation loss of the kept epoch is above the lowest of all epochs",
    high=(0.5, INF),
    too_high="the model learnt its data by heart: train fewer epochs, with more dropout, fewer units or more data",
)

NEW_DATA = Sign(
    "new data",
    "%",
    "how far the loss on the given data is above that of the validation part, or of training where nothing was held "
    "out, as a share of the loss of the constant answer",
    # the loss of the constant answer is the loss without any input: a quarter of what can be learnt is lost
    high=(0.25, INF),
    too_high="the given data differ from the training data, or the model learnt its data by heart: compare both, train "
    "with more data of this kind, more dropout or fewer units",
)


def run_lights(rows: list[dict[str, Any]]) -> list[Light]:
    """What the rows of a whole run say that only training itself shows: the largest of its epochs."""
    found = []
    for key, sign in (("update", UPDATE), ("gradient", TRAINING_GRADIENT)):
        looked = [row for row in rows if key in row]
        if looked:
            row = max(looked, key=lambda row: row[key])
            found.append(sign.light(row[key], f"epoch {row['epoch']} {row.get(f'{key}_at', '')}".rstrip()))
    return found
