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


UNLIMITED = {"clip": 3e38}
"""A limit for the inputs of the activations that no number reaches. OpenVINO ignores `sequence_lens` if batch or time
are free, unless there is a limit: then it does not use its own kernels for the operator."""

OPERATORS: dict[type[cells.Cell], Operator] = {
    cells.RNN: Operator(
        "RNN", ("candidate",), lambda cell: ["Relu" if cell.nonlinearity == "relu" else "Tanh"], UNLIMITED
    ),
    # the reset gate acts after the matrix product
    cells.GRU: Operator("GRU", ("update", "reset", "candidate"), None, {"linear_before_reset": 1, **UNLIMITED}),
    cells.LSTM: Operator("LSTM", ("input", "output", "forget", "candidate"), None, UNLIMITED),
}
"""The operators by class of the cell. Subclasses may compute something else: they and other cells run in a `Scan`."""
