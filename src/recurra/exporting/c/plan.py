"""Everything that the C file of a model contains, as numbers: its layers, scaling, pooling and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from recurra.errors import UsageError

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
class Plan:
    """Contents of the C file of one model.

    Attributes:
        title: the model for people.
        cell: name of the cell: `"lstm"`, `"gru"`, `"rnn"`, `"rnn_relu"` or `"none"`.
        layers: the recurrent layers.
        inputs: names of the inputs of a step.
        outputs: names of the outputs.
        task: `"classify"` or `"regress"`; `"layer"` for a layer alone, whose outputs are the hidden state.
        scaling: scaling of the inputs; None for a layer alone.
        pooling: `"last"`, `"mean"`, `"max"` or `"attention"`.
        attention: score of a step, for the pooling `"attention"`.
        head: scores of the outputs from the pooled hidden states; None for a layer alone.
        target: means and deviations of the outputs of a regressor.
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
    def width(self) -> int:
        """Inputs of the first layer: those of a step, and the channels for missing values."""
        return self.layers[0].input.values.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all weights by name, to check them."""
        found = {f"layer {i}": layer.input.values for i, layer in enumerate(self.layers)}
        found |= {f"bias {i}": layer.bias for i, layer in enumerate(self.layers)}
        found |= {f"hidden {i}": layer.hidden.values for i, layer in enumerate(self.layers) if layer.hidden}
        if self.head is not None:
            found |= {"head": self.head.weight.values, "head bias": self.head.bias}
        return found

    def check(self) -> None:
        """Raises `UsageError` if a weight is not a finite number."""
        for values in self.arrays().values():
            if not np.isfinite(values).all():
                raise UsageError("a weight of the model is not a finite number, so the model has no answers to export")

    def quantized(self) -> Plan:
        """Returns the plan with 8-bit weights; biases stay in float32."""

        def narrow(part: Matrix | None) -> Matrix | None:
            return None if part is None else part.quantized()

        def linear(part: Linear | None) -> Linear | None:
            return None if part is None else Linear(part.weight.quantized(), part.bias)

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
        return replace(self, layers=layers, attention=linear(self.attention), head=linear(self.head))
