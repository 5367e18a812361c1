"""Layers with the weights of an operator RNN, LSTM or GRU of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.extras import needs_extra
from recurra.cells import GRU, LSTM, RNN, Cell, PeepholeLSTM, ResetBeforeGRU
from recurra.errors import DataError, UsageError

from .build import build_layer, reorder
from .reversed import Reversed

ACTIVATIONS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
"""The operators and their activations for one direction."""

NO_CLIP = 1e30
"""A limit of sums that nothing reaches; `recurra.export` writes one."""

INITIAL = {"RNN": (5,), "LSTM": (5, 6), "GRU": (5,)}
"""Positions of the initial states among the inputs of a node."""


def from_onnx(source: Any, *, node: str | None = None) -> Any:
    """Returns a layer of `recurra.nn` with the weights of an operator RNN, LSTM or GRU. It computes the same.

    Args:
        source: path of an ONNX file, or an `onnx.ModelProto`. The weights of the operator must be stored in it.
        node: name of the operator, or of one of its outputs; needed if the file has several of them.

    Returns:
        `nn.RNN`, `nn.LSTM`, `nn.GRU`, or `nn.Recurrent` with the cell `PeepholeLSTM` (peepholes) or `ResetBeforeGRU`
        (`linear_before_reset=0`); for `direction="reverse"` inside an `nn.Reversed`. The input is
        `(time, batch, features)`, with `layout=1` `(batch, time, features)`. Both directions of an output are side by
        side, as in torch. Initial states and lengths are arguments of the call.

    Raises:
        DataError: the file cannot be read, or does not contain the weights.
        UsageError: there is no such operator, or it has an attribute that Recurra does not have.

    Example:
        >>> import tempfile, recurra, torch
        >>> layer = recurra.nn.GRU(3, 4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = recurra.export(layer, f"{folder}/gru.onnx")
        ...     read = recurra.from_onnx(path)
        >>> type(read).__name__, torch.equal(read.weight_hh_l0, layer.weight_hh_l0)
        ('GRU', True)
    """
    with needs_extra("export", "reading ONNX"):
        import onnx
    model = source if isinstance(source, onnx.ModelProto) else _read(Path(source))
    found = _chosen([each for each in model.graph.node if each.op_type in ACTIVATIONS], node)
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in found.attribute}
    values = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for each in model.graph.node:
        if each.op_type == "Constant" and each.attribute[0].name == "value":
            values[each.output[0]] = onnx.numpy_helper.to_array(each.attribute[0].t)
    return _layer(found, attributes, values)


def _read(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise DataError(f"{path} is no ONNX file: {error!s:.200}") from None


def _name(node: Any) -> str:
    """The name of a node; without one, that of its first output."""
    return node.name or next((name for name in node.output if name), "")


def _chosen(nodes: list[Any], name: str | None) -> Any:
    if not nodes:
        raise UsageError("the file has no operator RNN, LSTM or GRU")
    if name is None and len(nodes) == 1:
        return nodes[0]
    for node in nodes:
        if name and name in (node.name, *node.output):
            return node
    wanted = "give node=NAME for one of several operators" if name is None else f"there is no operator {name!r:.60}"
    raise UsageError(f"{wanted}; the file has {', '.join(map(_name, nodes))}")


def _layer(node: Any, attributes: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> Any:
    kind, direction = node.op_type, attributes.get("direction", b"forward").decode().lower()
    _check(node, attributes)
    given = [*node.input, *[""] * 8]
    for at in INITIAL[kind]:
        if given[at] in values and values[given[at]].any():
            raise UsageError(f"{_name(node)} has constant initial states; make them inputs, they belong to the call")
    arrays = [_array(node, given[at], values) for at in (1, 2, 3)]
    peepholes = _array(node, given[7], values) if kind == "LSTM" else None
    peepholes = peepholes if peepholes is not None and peepholes.any() else None
    weights, cell = [], None
    for number in range(2 if direction == "bidirectional" else 1):
        w, r, b = (None if array is None else array[number] for array in arrays)
        if w is None or r is None:
            raise DataError(f"{_name(node)} has no weights")
        cell, found = _converted(kind, attributes, w, r, b, None if peepholes is None else peepholes[number])
        weights.append(found)
    assert cell is not None  # noqa: S101  (there is at least one direction)
    made = build_layer(cell, weights, batch_first=bool(attributes.get("layout", 0)))
    return Reversed(made) if direction == "reverse" else made


def _array(node: Any, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Returns a stored weight; None if the operator has none."""
    if name and name not in values:
        raise DataError(
            f"{_name(node)}: the weight {name!r:.60} is computed or an input; it must be stored in the file"
        )
    return values[name] if name else None


def _check(node: Any, attributes: Mapping[str, Any]) -> None:
    """Refuses attributes that Recurra does not have.

    Raises:
        UsageError: there is one.
    """
    kind, name = node.op_type, _name(node)
    for attribute in ("clip", "input_forget", "activation_alpha", "activation_beta"):
        if attributes.get(attribute) and not (attribute == "clip" and attributes["clip"] >= NO_CLIP):
            raise UsageError(f"{name} has {attribute}={attributes[attribute]}, which Recurra's layers do not have")
    found = [each.decode().capitalize() for each in attributes.get("activations", [])]
    default, size = ACTIVATIONS[kind], len(ACTIVATIONS[kind])
    both = {tuple(found[at : at + size]) for at in range(0, len(found), size)}
    if both and both != {tuple(default)} and (kind, both) != ("RNN", {("Relu",)}):
        relu = " or Relu" if kind == "RNN" else ""
        raise UsageError(
            f"{name} has the activations {', '.join(found)}; Recurra's {kind} has {', '.join(default)}{relu}"
        )


def _converted(
    kind: str,
    attributes: Mapping[str, Any],
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray | None,
    p: np.ndarray | None,
) -> tuple[Cell, dict[str, np.ndarray]]:
    """Returns the cell of one direction and its weights. ONNX has gates as i o f c and z r h, peepholes as i o f."""
    order = {"RNN": (0,), "LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}[kind]
    found = {"weight_ih": reorder(w, order), "weight_hh": reorder(r, order)}
    biases = [] if b is None else [reorder(half, order) for half in np.split(b, 2)]
    if kind == "GRU" and not attributes.get("linear_before_reset", 0):
        found["weight_hh"], found["weight_hh_candidate"] = reorder(r, (1, 0), 3), reorder(r, (2,), 3)
        return ResetBeforeGRU(), found | ({"bias_ih": biases[0] + biases[1]} if biases else {})
    found |= dict(zip(("bias_ih", "bias_hh"), biases, strict=False))
    if kind == "GRU":
        return GRU(), found
    if kind == "RNN":
        return RNN("relu" if attributes.get("activations", [b""])[0].lower() == b"relu" else "tanh"), found
    return (LSTM(), found) if p is None else (PeepholeLSTM(), found | {"peephole": reorder(p, (0, 2, 1))})
