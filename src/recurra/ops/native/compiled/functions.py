"""The operations of torch that can be compiled. Each adds nodes to the graph of its operands."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from .graph import Graph, Node, Product
from .symbols import METHODS, CompileError, Matrix, Symbol, bounds

# ---- operations by unit


def _graph(*values: Any) -> Graph:
    return next(v.graph for v in values if isinstance(v, Symbol))


def _aligned(name: str, *values: Any) -> tuple[Graph, list[tuple[Node, ...]], int]:
    """The segments of the operands, with one number per segment for those that are equal for all units."""
    graph = _graph(*values)
    wide = max((v.width for v in values if isinstance(v, Symbol)), default=1)
    count = len(graph.widths(wide)) if wide > 1 or graph.hidden == 1 else 1
    found = []
    for value in values:
        if isinstance(value, Symbol):
            if value.width not in (1, wide):
                raise CompileError(f"{name} of values with {value.width} and {wide} units")
            found.append(value.parts * count if len(value.parts) != count else value.parts)
        elif isinstance(value, numbers.Real):
            found.append((graph.constant(float(value)),) * count)
        else:
            raise CompileError(f"{name} with a {type(value).__name__} that is no weight, state or input")
    return graph, found, wide


def _elementwise(name: str, op: str | Callable[..., Node]) -> Callable[..., Symbol]:
    def apply(*values: Any, **options: Any) -> Symbol:
        if set(options) - {"other", "input", "alpha"} or options.get("alpha", 1) != 1:
            raise CompileError(f"{name} with {', '.join(options)}")
        values = (*values, *(v for k, v in options.items() if k in ("input", "other")))
        graph, parts, width = _aligned(name, *values)
        made = []
        for nodes in zip(*parts, strict=True):
            made.append(graph.node(op, *nodes) if isinstance(op, str) else op(graph, *nodes))
        return Symbol(graph, made, width)

    return apply


def _add(graph: Graph, a: Node, b: Node) -> Node:
    zero = graph.constant(0)
    return b if a is zero else a if b is zero else graph.node("add", a, b)


def _mul(graph: Graph, a: Node, b: Node) -> Node:
    one = graph.constant(1)
    return b if a is one else a if b is one else graph.node("mul", a, b)


add, mul = _elementwise("a sum", _add), _elementwise("a product", _mul)
sub, div = _elementwise("a difference", "sub"), _elementwise("a quotient", "div")
neg, greater = _elementwise("a negation", "neg"), _elementwise("a comparison", "greater")
minimum, maximum = _elementwise("torch.minimum", "min"), _elementwise("torch.maximum", "max")
less = _elementwise("a comparison", lambda graph, a, b: graph.node("greater", b, a))


def where(condition: Any, one: Any, other: Any) -> Symbol:
    """`one` where the condition is not 0, otherwise `other`."""
    return _elementwise("torch.where", "where")(condition, one, other)


def power_of(value: Any, power: Any) -> Symbol:
    """A square, a root, or the reciprocal of a root."""
    if power == 2:
        return value * value
    if power == 0.5:
        return METHODS["sqrt"](value)
    if power == -0.5:
        return METHODS["rsqrt"](value)
    raise CompileError(f"the power {power!r}")


def clamp(value: Any, min: Any = None, max: Any = None) -> Symbol:
    """Values within limits."""
    # as in torch, a value on a limit keeps its gradient
    value = value if min is None else where(greater(min, value), min, value)
    return value if max is None else where(greater(value, max), max, value)


def softplus(value: Any, beta: float = 1, threshold: float = 20) -> Symbol:
    """`log(1 + exp(value))`."""
    if beta != 1:
        raise CompileError("torch.softplus with beta")
    return _elementwise("softplus", "softplus")(value)


# ---- reductions over the units of a row


def total(value: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    """Sum over the units of a row."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
    if dims not in ((-1,), (1,)) or not keepdim:
        raise CompileError("a sum or mean that is not over the last axis with keepdim=True")
    if any(part.width == 0 for part in value.parts) and value.width > 1:
        raise CompileError("a sum or mean of a value that is equal for all units")
    nodes = [value.graph.node("sum", part, width=0) for part in value.parts]
    return Symbol(value.graph, [functools.reduce(lambda a, b: value.graph.node("add", a, b), nodes)], 1)


def mean(value: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    """Mean over the units of a row."""
    return total(value, dim, keepdim) * (1 / value.width)


def variance(value: Symbol, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None):
    """Variance over the units of a row."""
    if correction is None:
        correction = int(unbiased)
    centred = value - mean(value, dim, keepdim)
    return total(centred * centred, dim, keepdim) * (1 / (value.width - correction))


def layer_norm(value: Symbol, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Symbol:
    """Units of a row with mean 0 and variance 1, scaled and shifted."""
    if tuple(shape) != (value.width,):
        raise CompileError(f"layer_norm over the shape {tuple(shape)} of a value with {value.width} units")
    centred = value - mean(value, -1, True)
    scaled = centred / METHODS["sqrt"](mean(centred * centred, -1, True) + eps)
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


# ---- parts of values


def take(value: Symbol, index: Any) -> Symbol:
    """Units `[..., begin:end]`."""
    parts = index if isinstance(index, tuple) else (index,)
    if value.is_vector and len(parts) == 1:
        parts = (Ellipsis, *parts)
    if len(parts) != 2 or parts[0] not in (Ellipsis, slice(None)) or not isinstance(parts[1], slice):
        raise CompileError(f"the index {index!r}")
    begin, end, step = parts[1].indices(value.width)
    if step != 1:
        raise CompileError(f"the index {index!r}")
    return _between(value, begin, end)


def _between(value: Symbol, begin: int, end: int) -> Symbol:
    if (begin, end) == (0, value.width):
        return value
    hidden = value.graph.hidden
    if begin % hidden or end % hidden or len(value.parts) == 1:
        raise CompileError(f"units {begin} to {end} of a value with {value.width}, which are no multiple of {hidden}")
    parts = value.parts[begin // hidden : end // hidden]
    return Symbol(value.graph, parts, end - begin, is_vector=value.is_vector)


def _last(value: Any, dim: int) -> None:
    if not isinstance(value, Symbol) or dim not in (-1, value.ndim - 1):
        raise CompileError("a division of a value along its first axis")


def split(value: Any, sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """Consecutive parts of the given sizes."""
    if isinstance(value, Matrix):
        return value.split(sizes, dim)
    _last(value, dim)
    return tuple(_between(value, *bounds) for bounds in bounds(value.width, sizes))


def chunk(value: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Consecutive parts of equal size."""
    if isinstance(value, Matrix):
        return value.chunk(chunks, dim)
    return split(value, -(-value.width // chunks), dim)


def narrow(value: Any, dim: int, start: int, length: int) -> Symbol:
    """`length` units from `start` on."""
    _last(value, dim)
    return _between(value, start, start + length)


def cat(values: Sequence[Any], dim: int = 0) -> Symbol:
    """Values side by side."""
    for value in values:
        _last(value, dim)
    graph = _graph(*values)
    if any(part.width != graph.hidden for value in values for part in value.parts):
        raise CompileError("torch.cat of values whose widths are no multiple of the hidden size")
    parts = [part for value in values for part in value.parts]
    vector = all(value.is_vector for value in values)
    return Symbol(graph, parts, sum(v.width for v in values), is_vector=vector)


# ---- products


def matmul(value: Any, matrix: Any) -> Symbol:
    """`value @ weight.T`."""
    if not isinstance(value, Symbol) or not isinstance(matrix, Matrix) or not matrix.transposed:
        raise CompileError("a matrix product that is not `value @ weight.T`")
    graph, (depth, rows) = value.graph, matrix.shape
    if value.width != depth:
        raise CompileError(f"a product of {value.width} units with a matrix of {depth} columns")
    widths = graph.widths(rows)
    shape: dict[str, Any] = {
        "columns": matrix.columns,
        "first_row": matrix.rows[0],
        "segments": len(widths),
        "width": widths[0],
    }
    if value.is_input:
        whole = Product(matrix.name, **shape, first_column=matrix.used[0], depth=depth, source=None)
        return Symbol(graph, graph.product(whole), rows)
    first, found = matrix.used[0], None
    for part in value.parts:
        source = _source(graph, part)
        one = Product(matrix.name, **shape, first_column=first, depth=part.width, source=source)
        term = Symbol(graph, graph.product(one), rows)
        found = term if found is None else found + term
        first += part.width
    assert found is not None  # noqa: S101  (a value has a part)
    return found


def block_linear(value: Any, weight: Any, heads: int) -> Symbol:
    """See `recurra.cells.block_linear`."""
    if not isinstance(value, Symbol) or not isinstance(weight, Matrix) or weight.transposed or len(value.parts) != 1:
        raise CompileError("a product by heads of another value than a state with a weight")
    graph, rows, (part,) = value.graph, weight.shape[0], value.parts
    if heads * weight.shape[1] != value.width or rows % value.width or weight.used != (0, weight.columns):
        raise CompileError(f"a product of {value.width} units by {heads} heads with a matrix {weight.shape}")
    one = Product(
        weight.name,
        columns=weight.columns,
        first_row=weight.rows[0],
        segments=rows // value.width,
        width=value.width,
        first_column=0,
        depth=value.width,
        source=_source(graph, part),
        heads=heads,
    )
    return Symbol(graph, graph.product(one), rows)


def _source(graph: Graph, part: Node) -> Node:
    if part.op in ("const", "param"):
        raise CompileError("a product of a constant value with a weight")
    # an input is stored, because the gradient of the weight reads it
    return graph.node("move", part) if part.op == "input" else part


def linear(value: Any, weight: Any, bias: Any = None) -> Symbol:
    """`value @ weight.T + bias`."""
    found = matmul(value, weight.T)
    return found if bias is None else found + bias


def _filled(value: Symbol, number: float) -> Symbol:
    return Symbol(value.graph, [value.graph.constant(number)] * len(value.parts), value.width)


def _same(value: Any, *_: Any, **__: Any) -> Any:
    return value


_METHODS_BY_UNIT = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", "abs", "neg")

METHODS |= {
    **{name: _elementwise(f"torch.{name}", name) for name in _METHODS_BY_UNIT},
    "add": add,
    "sub": sub,
    "subtract": sub,
    "rsub": lambda a, b: sub(b, a),
    "mul": mul,
    "multiply": mul,
    "div": div,
    "divide": div,
    "true_divide": div,
    "negative": neg,
    "gt": greater,
    "greater": greater,
    "lt": less,
    "less": less,
    "minimum": minimum,
    "maximum": maximum,
    "clamp": clamp,
    "clip": clamp,
    "where": where,
    "pow": power_of,
    "square": lambda value: value * value,
    "rsqrt": lambda value: 1 / METHODS["sqrt"](value),
    "reciprocal": lambda value: 1 / value,
    "softplus": softplus,
    "logsigmoid": lambda value: -softplus(-value),
    "log_sigmoid": lambda value: -softplus(-value),
    "silu": lambda value: value * METHODS["sigmoid"](value),
    "hardtanh": lambda value, min_val=-1.0, max_val=1.0: clamp(value, min_val, max_val),
    "log1p": lambda value: METHODS["log"](value + 1),
    "expm1": lambda value: METHODS["exp"](value) - 1,
    "sum": total,
    "mean": mean,
    "var": variance,
    "layer_norm": layer_norm,
    "chunk": chunk,
    "split": split,
    "narrow": narrow,
    "getitem": take,
    "cat": cat,
    "concat": cat,
    "matmul": matmul,
    "mm": matmul,
    "linear": linear,
    "block_linear": block_linear,
    "unbind": lambda value, dim=0: value.unbind(dim),
    "contiguous": _same,
    "clone": _same,
    "zeros_like": lambda value, **_: _filled(value, 0),
    "ones_like": lambda value, **_: _filled(value, 1),
}
