"""Everything that the C file of a model contains, as numbers: its layers, scaling, pooling and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recurra._util.messages import counted
from recurra.data.columns.frequency import CYCLES

TITLES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN (tanh)", "rnn_relu": "RNN (relu)", "none": "no memory"}
LARGEST = 127
"""Largest absolute value of an 8-bit weight."""


@dataclass(frozen=True)
class Matrix:
    """A matrix of weights.

    Attributes:
        values: the weights that the program uses, float32 `(rows, columns)`.
        codes: 8-bit weights `(rows, columns)`; None for weights in float32.
        scales: value of 1 in each row of `codes`, float32 `(rows,)`.
    """

    values: np.ndarray
    codes: np.ndarray | None = None
    scales: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def quantized(self) -> Matrix:
        """Returns the matrix with 8-bit weights and one scale for each row.

        Example:
            >>> Matrix(np.array([[1.0, -2.0]], np.float32)).quantized().codes.tolist()
            [[64, -127]]
        """
        largest = np.abs(self.values).max(1, initial=0).astype(np.float64)
        scales = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
        codes = np.clip(np.rint(self.values / scales[:, None]), -LARGEST, LARGEST).astype(np.int8)
        return Matrix(codes * scales[:, None], codes, scales)


@dataclass(frozen=True)
class Layer:
    """Weights of a recurrent layer, with rows as in torch.

    Attributes:
        input: `(gates * units, inputs)`.
        hidden: `(gates * units, hidden)`; None for a layer without memory.
        bias: of all gates `(gates * units,)`.
        bias_past: of the past in the candidate of a GRU `(units,)`, which the reset gate multiplies.
        projection: of the hidden state `(hidden, units)`; None for none.
    """

    input: Matrix
    hidden: Matrix | None
    bias: np.ndarray
    bias_past: np.ndarray | None = None
    projection: Matrix | None = None


@dataclass(frozen=True)
class Linear:
    """A matrix and a bias: `W x + b`."""

    weight: Matrix
    bias: np.ndarray

    def quantized(self) -> Linear:
        """Returns the same with 8-bit weights."""
        return Linear(self.weight.quantized(), self.bias)


@dataclass(frozen=True)
class Scaling:
    """Scaling of the inputs, see `recurra.data.SeriesEncoder`.

    Attributes:
        means: `(inputs,)`.
        deviations: `(inputs,)`; 0 for a constant input.
        masked: numbers of the inputs with a channel for missing values.
    """

    means: np.ndarray
    deviations: np.ndarray
    masked: np.ndarray


@dataclass(frozen=True)
class Calendar:
    """Cycles of the calendar.

    Attributes:
        cycles: names of the cycles, see `recurra.data.columns.frequency.CYCLES`.
        interval: microseconds between two steps.
        ahead: from sine and cosine of the cycles at the steps of a segment.
    """

    cycles: tuple[str, ...]
    interval: int
    ahead: Matrix

    @property
    def lengths(self) -> np.ndarray:
        """Lengths of the cycles in microseconds; 0 for the year, whose length varies."""
        return np.array([0 if name == "year" else CYCLES[name] for name in self.cycles], np.int64)


@dataclass(frozen=True)
class Forecasting:
    """Sizes and weights of a forecaster beside its recurrent layers, see `ForecastNetwork`.

    Attributes:
        context: steps of the window.
        horizon: steps of a forecast.
        segment: steps that the layers read as one.
        targets: number of the inputs that are forecast, the first ones.
        masked: whether the network is told what is missing.
        levels: of the quantiles.
        means: of the inputs in training `(inputs,)`.
        deviations: of the inputs in training `(inputs,)`; 0 for a constant input.
        read: from a segment of a target.
        beside: from a segment of the other inputs `(size, segment * side)`; None if there is none.
        positions: vector of each segment to forecast `(segments, size of a position)`.
        places: vector of each target `(targets, size of a target)`.
        write: steps of a segment, times the share of the network.
        base: share of the baselines, from the differences from the last value; None if there is none.
        quantiles: distances of the quantiles of a segment from the point forecast, times the same share; None for no
            quantiles.
        shifts: of the quantiles `(horizon, targets, levels)`.
        calendar: cycles of the time of the steps to forecast; None if the network does not use the time.
    """

    context: int
    horizon: int
    segment: int
    targets: int
    masked: bool
    levels: tuple[float, ...]
    means: np.ndarray
    deviations: np.ndarray
    read: Linear
    beside: Matrix | None
    positions: np.ndarray
    places: np.ndarray
    write: Linear
    base: Linear | None
    quantiles: Linear | None
    shifts: np.ndarray
    calendar: Calendar | None = None

    @property
    def written(self) -> int:
        """Steps of a segment to forecast."""
        return len(self.write.bias)

    @property
    def filling(self) -> int:
        """Copies of the first step in front of the context, which complete the first segment."""
        return -self.context % self.segment

    @property
    def sides(self) -> np.ndarray:
        """For each quantile -1 if it is at most the point forecast, 1 if it is at least, else 0; see `nested`."""
        last = len(self.levels) - 1
        found = np.sign(np.array(self.levels) - 0.5).astype(np.int64)
        for i, level in enumerate(self.levels):
            if level == 0.5 and last > 0:
                found[i] = -(i == 0) + (i == last)
        return found

    def quantized(self) -> Forecasting:
        """Returns the same with 8-bit weights."""
        return replace(
            self,
            read=self.read.quantized(),
            beside=None if self.beside is None else self.beside.quantized(),
            write=self.write.quantized(),
            base=None if self.base is None else self.base.quantized(),
            quantiles=None if self.quantiles is None else self.quantiles.quantized(),
            calendar=None if self.calendar is None else replace(self.calendar, ahead=self.calendar.ahead.quantized()),
        )


@dataclass(frozen=True)
class Plan:
    """Contents of the C file of one model.

    Attributes:
        title: the model for people.
        cell: name of the cell: `"lstm"`, `"gru"`, `"rnn"`, `"rnn_relu"` or `"none"`.
        layers: the recurrent layers.
        inputs: names of the inputs of a step.
        outputs: names of the outputs.
        task: `"classify"`, `"labels"`, `"regress"` or `"forecast"`; `"layer"` for a layer alone, which has its
            hidden state as outputs.
        scaling: scaling of the inputs; None for a layer alone.
        pooling: `"last"`, `"mean"`, `"max"` or `"attention"`.
        attention: score of a step, for the pooling `"attention"`.
        head: scores of the outputs from the pooled hidden states; None for a layer alone.
        target: means and deviations of the outputs of a regressor.
        forecasting: what a forecaster has beside the layers.
    """

    title: str
    cell: str
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    task: str = "layer"
    scaling: Scaling | None = None
    pooling: str = "last"
    attention: Linear | None = None
    head: Linear | None = None
    target: tuple[np.ndarray, np.ndarray] | None = None
    forecasting: Forecasting | None = None

    @property
    def units(self) -> int:
        """Size of the hidden state of a layer."""
        layer = self.layers[0]
        if layer.projection is not None:
            return len(layer.projection.values)
        return len(layer.input.values) if layer.hidden is None else layer.hidden.values.shape[1]

    @property
    def cells(self) -> int:
        """Size of the cell state of an LSTM."""
        return len(self.layers[0].bias) // 4

    @property
    def labels(self) -> tuple[str, tuple[str, ...]]:
        """Names that the file contains: those of the outputs, for a forecaster those of the targets; and their kind."""
        if self.forecasting is not None:
            return "targets", self.inputs[: self.forecasting.targets]
        return "outputs", self.outputs

    @property
    def width(self) -> int:
        """Inputs of the first layer: those of a step, and the channels for missing values."""
        return self.layers[0].input.values.shape[1]

    def quantized(self) -> Plan:
        """Returns the plan with 8-bit weights; biases stay in float32."""

        def narrow(part: Any) -> Any:
            return None if part is None else part.quantized()

        layers = tuple(
            Layer(
                layer.input.quantized(),
                narrow(layer.hidden),
                layer.bias,
                layer.bias_past,
                narrow(layer.projection),
            )
            for layer in self.layers
        )
        others = {name: narrow(getattr(self, name)) for name in ("attention", "head", "forecasting")}
        return replace(self, layers=layers, **others)


def title(cell: str, layers: tuple[Layer, ...]) -> str:
    """Returns a description of layers for people."""
    units = len(layers[0].bias) // {"lstm": 4, "gru": 3}.get(cell, 1)
    return f"{TITLES[cell]}, {counted(len(layers), 'layer')} of {units} units"
