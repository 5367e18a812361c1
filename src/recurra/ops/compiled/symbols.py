"""Symbolic tensors. A cell's `step` is called with them once, and they record its operations as a graph."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from .graph import Graph, Node, Product


class CannotCompile(Exception):
    """A step has an operation that cannot be compiled. The message names it."""


class Symbol:
    """A value `(batch, width)` of a step. It has the operations of a tensor that can be compiled.

    Attributes:
        graph: the graph that records the operations.
        parts: its segments.
        width: total width; 1 for a number per row that is equal for all units.
        is_input: whether this is the whole input of the step.
        is_vector: whether this is a weight with one dimension.
    """

    def __init__(
        self, graph: Graph, parts: Sequence[Node], width: int, *, is_input: bool = False, is_vector: bool = False
    ) -> None:
        self.graph, self.parts, self.width = graph, tuple(parts), width
        self.is_input, self.is_vector = is_input, is_vector

    # ---- what a cell may ask of a tensor

    @property
    def shape(self) -> tuple[Any, ...]:
        return (self.width,) if self.is_vector else (_Rows(), self.width)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return functools.partial(METHODS[name], self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise CannotCompile(f"tensor.{name}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function))
        if name not in METHODS:
            raise CannotCompile(f"torch.{name}")
        return METHODS[name](*args, **(kwargs or {}))

    def __bool__(self) -> bool:
        raise CannotCompile("a condition that depends on the values of a tensor")

    def __add__(self, other: Any) -> Symbol:
        return add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return sub(self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return sub(other, self)

    def __mul__(self, other: Any) -> Symbol:
        return mul(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return div(self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return div(other, self)

    def __neg__(self) -> Symbol:
        return neg(self)

    def __pow__(self, power: Any) -> Symbol:
        return power_of(self, power)

    def __matmul__(self, matrix: Any) -> Symbol:
        return matmul(self, matrix)

    def __getitem__(self, index: Any) -> Symbol:
        return take(self, index)

    def __gt__(self, other: Any) -> Symbol:
        return greater(self, other)

    def __lt__(self, other: Any) -> Symbol:
        return greater(other, self)


class _Rows(int):
    """The number of rows of a batch, which is not known."""

    def __new__(cls) -> _Rows:
        return super().__new__(cls, 0)

    def _refuse(self, *_: Any) -> Any:
        raise CannotCompile("an operation that depends on the number of rows of the batch")

    __index__ = __int__ = __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = _refuse
    __hash__ = int.__hash__


class Matrix:
    """Rows and columns of a weight with two dimensions, or their transpose."""

    def __init__(
        self, name: str, columns: int, rows: tuple[int, int], used: tuple[int, int], *, transposed: bool = False
    ) -> None:
        self.name, self.columns, self.rows, self.used, self.transposed = name, columns, rows, used, transposed

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.rows[1] - self.rows[0], self.used[1] - self.used[0]
        return (columns, rows) if self.transposed else (rows, columns)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    @property
    def T(self) -> Matrix:  # noqa: N802  (torch's name)
        return Matrix(self.name, self.columns, self.rows, self.used, transposed=not self.transposed)

    def t(self) -> Matrix:
        return self.T

    def _between(self, dim: int, begin: int, end: int) -> Matrix:
        along_rows = (dim % 2 == 0) != self.transposed
        rows = (self.rows[0] + begin, self.rows[0] + end) if along_rows else self.rows
        used = self.used if along_rows else (self.used[0] + begin, self.used[0] + end)
        return Matrix(self.name, self.columns, rows, used, transposed=self.transposed)

    def chunk(self, count: int, dim: int = 0) -> tuple[Matrix, ...]:
        size = -(-self.shape[dim] // count)
        return self.split(size, dim)

    def split(self, sizes: int | Sequence[int], dim: int = 0) -> tuple[Matrix, ...]:
        return tuple(self._between(dim, begin, end) for begin, end in _bounds(self.shape[dim], sizes))

    def __getitem__(self, index: Any) -> Matrix:
        found = self
        for dim, part in enumerate(index if isinstance(index, tuple) else (index,)):
            if not isinstance(part, slice) or part.step not in (None, 1):
                raise CannotCompile(f"the index {index!r} of a weight")
            found = found._between(dim, *part.indices(self.shape[dim])[:2])
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CannotCompile(f"tensor.{name} of the matrix {self.name!r}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return Symbol.__torch_function__(function, types, args, kwargs)


def _bounds(total: int, sizes: int | Sequence[int]) -> list[tuple[int, int]]:
    if isinstance(sizes, int):
        sizes = [min(sizes, total - begin) for begin in range(0, total, sizes)]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    if not ends or ends[-1] != total:
        raise CannotCompile(f"a split of {total} units into {list(sizes)}")
    return list(zip([0, *ends[:-1]], ends, strict=True))


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
                raise CannotCompile(f"{name} of values with {value.width} and {wide} units")
            found.append(value.parts * count if len(value.parts) != count else value.parts)
        elif isinstance(value, numbers.Real):
            found.append((graph.constant(float(value)),) * count)
        else:
            raise CannotCompile(f"{name} with a {type(value).__name__} that is no weight, state or input")
    return graph, found, wide


def _elementwise(name: str, op: str | Callable[..., Node]) -> Callable[..., Symbol]:
    def apply(*values: Any, **options: Any) -> Symbol:
        if set(options) - {"other", "input", "alpha"} or options.get("alpha", 1) != 1:
            raise CannotCompile(f"{name} with {', '.join(options)}")
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
    return _elementwise("torch.where", "where")(condition, one, other)


def power_of(value: Any, power: Any) -> Symbol:
    if power == 2:
        return value * value
    if power == 0.5:
        return METHODS["sqrt"](value)
    if power == -0.5:
        return METHODS["rsqrt"](value)
    raise CannotCompile(f"the power {power!r}")


def clamp(value: Any, min: Any = None, max: Any = None) -> Symbol:
    # as in torch, a value on a limit keeps its gradient
    value = value if min is None else where(greater(min, value), min, value)
    return value if max is None else where(greater(value, max), max, value)


def softplus(value: Any, beta: float = 1, threshold: float = 20) -> Symbol:
    if beta != 1:
        raise CannotCompile("torch.softplus with beta")
    return _elementwise("softplus", "softplus")(value)


# ---- reductions over the units of a row


def total(value: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
    if dims not in ((-1,), (1,)) or not keepdim:
        raise CannotCompile("a sum or mean that is not over the last axis with keepdim=True")
    if any(part.width == 0 for part in value.parts) and value.width > 1:
        raise CannotCompile("a sum or mean of a value that is equal for all units")
    nodes = [value.graph.node("sum", part, width=0) for part in value.parts]
    return Symbol(value.graph, [functools.reduce(lambda a, b: value.graph.node("add", a, b), nodes)], 1)


def mean(value: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    return total(value, dim, keepdim) * (1 / value.width)


def variance(value: Symbol, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None):
    if correction is None:
        correction = int(unbiased)
    centred = value - mean(value, dim, keepdim)
    return total(centred * centred, dim, keepdim) * (1 / (value.width - correction))


def layer_norm(value: Symbol, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Symbol:
    if tuple(shape) != (value.width,):
        raise CannotCompile(f"layer_norm over the shape {tuple(shape)} of a value with {value.width} units")
    centred = value - mean(value, -1, True)
    scaled = centred / METHODS["sqrt"](mean(centred * centred, -1, True) + eps)
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


# ---- parts of values


def take(value: Symbol, index: Any) -> Symbol:
    parts = index if isinstance(index, tuple) else (index,)
    if value.is_vector and len(parts) == 1:
        parts = (Ellipsis, *parts)
    if len(parts) != 2 or parts[0] not in (Ellipsis, slice(None)) or not isinstance(parts[1], slice):
        raise CannotCompile(f"the index {index!r}")
    begin, end, step = parts[1].indices(value.width)
    if step != 1:
        raise CannotCompile(f"the index {index!r}")
    return _between(value, begin, end)


def _between(value: Symbol, begin: int, end: int) -> Symbol:
    if (begin, end) == (0, value.width):
        return value
    hidden = value.graph.hidden
    if begin % hidden or end % hidden or len(value.parts) == 1:
        raise CannotCompile(f"units {begin} to {end} of a value with {value.width}, which are no multiple of {hidden}")
    parts = value.parts[begin // hidden : end // hidden]
    return Symbol(value.graph, parts, end - begin, is_vector=value.is_vector)


def _last(value: Any, dim: int) -> None:
    if not isinstance(value, Symbol) or dim not in (-1, value.ndim - 1):
        raise CannotCompile("a division of a value along its first axis")


def split(value: Any, sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    if isinstance(value, Matrix):
        return value.split(sizes, dim)
    _last(value, dim)
    return tuple(_between(value, *bounds) for bounds in _bounds(value.width, sizes))


def chunk(value: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    if isinstance(value, Matrix):
        return value.chunk(chunks, dim)
    return split(value, -(-value.width // chunks), dim)


def narrow(value: Any, dim: int, start: int, length: int) -> Symbol:
    _last(value, dim)
    return _between(value, start, start + length)


def cat(values: Sequence[Any], dim: int = 0) -> Symbol:
    for value in values:
        _last(value, dim)
    graph = _graph(*values)
    if any(part.width != graph.hidden for value in values for part in value.parts):
        raise CannotCompile("torch.cat of values whose widths are no multiple of the hidden size")
    parts = [part for value in values for part in value.parts]
    vector = all(value.is_vector for value in values)
    return Symbol(graph, parts, sum(v.width for v in values), is_vector=vector)


# ---- products


def matmul(value: Any, matrix: Any) -> Symbol:
    if not isinstance(value, Symbol) or not isinstance(matrix, Matrix) or not matrix.transposed:
        raise CannotCompile("a matrix product that is not `value @ weight.T`")
    graph, (depth, rows) = value.graph, matrix.shape
    if value.width != depth:
        raise CannotCompile(f"a product of {value.width} units with a matrix of {depth} columns")
    widths = graph.widths(rows)
    shape = {"columns": matrix.columns, "first_row": matrix.rows[0], "segments": len(widths), "width": widths[0]}
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
        raise CannotCompile("a product by heads of another value than a state with a weight")
    graph, rows, (part,) = value.graph, weight.shape[0], value.parts
    if heads * weight.shape[1] != value.width or rows % value.width or weight.used != (0, weight.columns):
        raise CannotCompile(f"a product of {value.width} units by {heads} heads with a matrix {weight.shape}")
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
        raise CannotCompile("a product of a constant value with a weight")
    # an input is stored, because the gradient of the weight reads it
    return graph.node("move", part) if part.op == "input" else part


def linear(value: Any, weight: Any, bias: Any = None) -> Symbol:
    found = matmul(value, weight.T)
    return found if bias is None else found + bias


def _filled(value: Symbol, number: float) -> Symbol:
    return Symbol(value.graph, [value.graph.constant(number)] * len(value.parts), value.width)


def _same(value: Any, *_: Any, **__: Any) -> Any:
    return value


_METHODS_BY_UNIT = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", "abs", "neg")

METHODS: dict[str, Callable[..., Any]] = {
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
    "cat": cat,
    "concat": cat,
    "matmul": matmul,
    "mm": matmul,
    "linear": linear,
    "block_linear": block_linear,
    "contiguous": _same,
    "clone": _same,
    "zeros_like": lambda value, **_: _filled(value, 0),
    "ones_like": lambda value, **_: _filled(value, 1),
}
