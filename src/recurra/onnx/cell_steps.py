"""One step of any cell as ONNX operators: the operations of `Cell.step`, translated one by one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.node import map_arg

from recurra.errors import UsageError
from recurra.ops import Stack

from .graph import Graph

BATCH = 7
"""Size of the batch with which a step is recorded. Shapes that begin with it stand for any batch."""

aten = torch.ops.aten


def add_step(
    graph: Graph,
    stack: Stack,
    x: str,
    state: Sequence[str],
    weights: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[str]:
    """Adds one step of the cell of a stack.

    Args:
        graph: the graph.
        stack: cell and sizes.
        x: input of the step `(batch, features)`.
        state: one value `(batch, size)` for each state of the cell.
        weights: values of the weights by name.
        shapes: shapes of the weights by name.

    Returns:
        The new states.

    Raises:
        UsageError: the cell uses an operation that has no translation.
    """
    key = id(stack.cell), tuple(shapes.items())
    if key not in graph.cache:
        graph.cache[key] = _recorded(stack, shapes)
    recorded = graph.cache[key]
    given = iter([x, *state, *weights.values()])
    values: dict[Any, Any] = {}
    for node in recorded.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(given)
        elif node.op == "get_attr":
            values[node] = graph.const(getattr(recorded, node.target).detach().numpy())
        elif node.op == "output":
            return [values[part] for part in node.args[0]]
        else:
            arguments = map_arg(node.args, lambda part: values[part])
            values[node] = _translated(graph, stack, node, arguments)
    raise AssertionError("a recorded step has an output")


def _recorded(stack: Stack, shapes: Mapping[str, tuple[int, ...]]) -> torch.fx.GraphModule:
    """Returns the operations of a step, as a module."""
    from torch.fx.experimental.proxy_tensor import make_fx

    cell, names = stack.cell, tuple(shapes)

    def step(x: Tensor, state: tuple[Tensor, ...], *values: Tensor) -> tuple[Tensor, ...]:
        return cell.step(x, state, dict(zip(names, values, strict=True))).state

    x = torch.zeros(BATCH, shapes["weight_ih"][1])
    states = tuple(torch.zeros(BATCH, size) for size in stack.state_sizes)
    with torch.no_grad():
        recorded = make_fx(step)(x, states, *(torch.zeros(shape) for shape in shapes.values()))
    recorded.graph.eliminate_dead_code()  # outputs of an operation that the cell does not use
    return recorded


def _translated(graph: Graph, stack: Stack, node: Any, arguments: Any) -> Any:
    name = stack.cell.name
    translate = _OPERATIONS.get(node.target)
    if translate is None:
        raise UsageError(
            f"the cell {name} uses {node.target}, which has no translation to ONNX; write its step with sums, "
            "products, matrix products, chunks and the usual activations"
        )
    try:
        return translate(graph, *arguments, **node.kwargs)
    except (TypeError, IndexError, AttributeError):
        raise UsageError(
            f"the cell {name} uses {node.target} with arguments that have no translation to ONNX"
        ) from None


def _value(graph: Graph, value: Any) -> str:
    return value if isinstance(value, str) else graph.const(np.float32(value))


def _one(kind: str) -> Callable[..., str]:
    return lambda graph, x: graph.op(kind, x)


def _two(kind: str) -> Callable[..., str]:
    return lambda graph, x, y: graph.op(kind, _value(graph, x), _value(graph, y))


def _add(graph: Graph, x: Any, y: Any, *, alpha: float = 1) -> str:
    y = _value(graph, y)
    return graph.op("Add", _value(graph, x), y if alpha == 1 else graph.op("Mul", y, _value(graph, alpha)))


def _sub(graph: Graph, x: Any, y: Any, *, alpha: float = 1) -> str:
    y = _value(graph, y)
    return graph.op("Sub", _value(graph, x), y if alpha == 1 else graph.op("Mul", y, _value(graph, alpha)))


def _addmm(graph: Graph, bias: str, x: str, y: str) -> str:
    return graph.op("Add", graph.op("MatMul", x, y), bias)


def _split(graph: Graph, x: str, sizes: Any, dim: int = 0) -> Any:
    return (x, sizes, dim)  # taken apart by `_item`


def _item(graph: Graph, parts: Any, at: int) -> str:
    if isinstance(parts, list):
        return parts[at]
    x, sizes, dim = parts
    begin = sizes * at if isinstance(sizes, int) else sum(sizes[:at])
    return graph.slice(x, dim, begin, begin + (sizes if isinstance(sizes, int) else sizes[at]))


def _shape(graph: Graph, x: str, shape: Sequence[int]) -> str:
    sizes = list(shape)
    if sizes[0] == BATCH:
        sizes[0] = 0  # as it is
    elif sizes[0] % BATCH == 0:
        raise TypeError
    return graph.reshape(x, sizes)


def _layer_norm(graph: Graph, x: str, shape: Sequence[int], weight: str | None, bias: str | None, eps: float) -> Any:
    scale = weight or graph.const(np.ones(shape, np.float32))
    return [graph.op("LayerNormalization", x, scale, *([bias] if bias else []), axis=-len(shape), epsilon=eps)]


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    operator.getitem: _item,
    aten.t.default: lambda graph, x: graph.op("Transpose", x, perm=[1, 0]),
    aten.permute.default: lambda graph, x, order: graph.op("Transpose", x, perm=list(order)),
    aten.mm.default: _two("MatMul"),
    aten.bmm.default: _two("MatMul"),
    aten.addmm.default: _addmm,
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Scalar: lambda graph, x, y: _sub(graph, y, x),
    aten.rsub.Tensor: lambda graph, x, y: _sub(graph, y, x),
    aten.mul.Tensor: _two("Mul"),
    aten.mul.Scalar: _two("Mul"),
    aten.div.Tensor: _two("Div"),
    aten.div.Scalar: _two("Div"),
    aten.maximum.default: _two("Max"),
    aten.minimum.default: _two("Min"),
    aten.pow.Tensor_Scalar: _two("Pow"),
    aten.sigmoid.default: _one("Sigmoid"),
    aten.tanh.default: _one("Tanh"),
    aten.relu.default: _one("Relu"),
    aten.exp.default: _one("Exp"),
    aten.log.default: _one("Log"),
    aten.sqrt.default: _one("Sqrt"),
    aten.rsqrt.default: lambda graph, x: graph.op("Reciprocal", graph.op("Sqrt", x)),
    aten.reciprocal.default: _one("Reciprocal"),
    aten.neg.default: _one("Neg"),
    aten.abs.default: _one("Abs"),
    aten.softplus.default: _one("Softplus"),
    aten.log_sigmoid_forward.default: lambda graph, x: [graph.op("Neg", graph.op("Softplus", graph.op("Neg", x)))],
    aten.clamp.default: lambda graph, x, low=None, high=None: graph.op(
        "Clip", x, "" if low is None else _value(graph, low), "" if high is None else _value(graph, high)
    ),
    aten.clamp_min.default: lambda graph, x, low: graph.op("Clip", x, _value(graph, low)),
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.cat.default: lambda graph, parts, dim=0: graph.concat(parts, dim),
    aten.unsqueeze.default: lambda graph, x, dim: graph.unsqueeze(x, dim),
    aten.view.default: _shape,
    aten._unsafe_view.default: _shape,
    aten.native_layer_norm.default: _layer_norm,
    aten.detach.default: lambda graph, x: x,
    aten.clone.default: lambda graph, x, **options: x,
    aten.ones_like.default: lambda graph, x, **options: graph.op("Exp", graph.op("Mul", x, graph.const(0.0))),
    aten.zeros_like.default: lambda graph, x, **options: graph.op("Mul", x, graph.const(0.0)),
}
