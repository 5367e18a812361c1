"""ONNX's operators for the built-in cells: name, order of the gates and attributes of each, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from recurra import cells


class Operator(NamedTuple):
    """An operator that computes a cell.

    Attributes:
        kind: name of the operator.
        gates: names of the cell's gates in the operator's order.
        activations: functions of one direction for a cell; None for those that are the operator's default.
        attributes: further attributes.
    """

    kind: str
    gates: tuple[str, ...]
    activations: Callable[[Any], list[str]] | None = None
    attributes: dict[str, Any] = {}  # noqa: RUF012  (a tuple cannot change)


OPERATORS: dict[type[cells.Cell], Operator] = {
    cells.RNN: Operator("RNN", ("candidate",), lambda cell: ["Relu" if cell.nonlinearity == "relu" else "Tanh"]),
    # the reset gate acts after the matrix product
    cells.GRU: Operator("GRU", ("update", "reset", "candidate"), None, {"linear_before_reset": 1}),
    cells.LSTM: Operator("LSTM", ("input", "output", "forget", "candidate")),
}
"""The operators by class of the cell. Subclasses may compute something else: they and other cells run in a `Scan`."""
