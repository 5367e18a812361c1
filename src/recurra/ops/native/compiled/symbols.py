"""Symbolic tensors. A cell's `step` is called with them once, and they record its operations as a graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .graph import Graph, Node

METHODS: dict[str, Callable[..., Any]] = {}
"""The operations that can be compiled, by torch's names. `functions.py` adds them."""


class CompileError(Exception):
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
        """The number of rows, which is unknown, and of units."""
        return (self.width,) if self.is_vector else (_Rows(), self.width)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one of its numbers."""
        return self.shape if dim is None else self.shape[dim]

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return functools.partial(METHODS[name], self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise CompileError(f"tensor.{name}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if any(getattr(kind, "takes_over", False) for kind in types):
            return NotImplemented
        name = getattr(function, "__name__", str(function))
        if name not in METHODS:
            raise CompileError(f"torch.{name}")
        return METHODS[name](*args, **(kwargs or {}))

    def __bool__(self) -> bool:
        raise CompileError("a condition that depends on the values of a tensor")

    def __add__(self, other: Any) -> Symbol:
        return METHODS["add"](self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return METHODS["sub"](self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return METHODS["sub"](other, self)

    def __mul__(self, other: Any) -> Symbol:
        return METHODS["mul"](self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return METHODS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return METHODS["div"](other, self)

    def __neg__(self) -> Symbol:
        return METHODS["neg"](self)

    def __pow__(self, power: Any) -> Symbol:
        return METHODS["pow"](self, power)

    def __matmul__(self, matrix: Any) -> Symbol:
        if getattr(type(matrix), "takes_over", False):
            return NotImplemented
        return METHODS["matmul"](self, matrix)

    def __getitem__(self, index: Any) -> Symbol:
        return METHODS["getitem"](self, index)

    def __gt__(self, other: Any) -> Symbol:
        return METHODS["gt"](self, other)

    def __lt__(self, other: Any) -> Symbol:
        return METHODS["gt"](other, self)


class _Rows(int):
    """The number of rows of a batch, which is not known."""

    def __new__(cls) -> _Rows:
        return super().__new__(cls, 0)

    def _refuse(self, *_: Any) -> Any:
        raise CompileError("an operation that depends on the number of rows of the batch")

    __index__ = __int__ = __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = _refuse
    __hash__ = int.__hash__


class Matrix:
    """Rows and columns of a weight with two dimensions, or their transpose."""

    def __init__(
        self,
        graph: Graph,
        name: str,
        columns: int,
        rows: tuple[int, int],
        used: tuple[int, int],
        *,
        transposed: bool = False,
    ) -> None:
        self.graph, self.name, self.columns = graph, name, columns
        self.rows, self.used, self.transposed = rows, used, transposed

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows, which is unknown, and of units."""
        rows, columns = self.rows[1] - self.rows[0], self.used[1] - self.used[0]
        return (columns, rows) if self.transposed else (rows, columns)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one of its numbers."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def T(self) -> Matrix:  # noqa: N802  (torch's name)
        """The transpose."""
        return Matrix(self.graph, self.name, self.columns, self.rows, self.used, transposed=not self.transposed)

    def t(self) -> Matrix:
        """The transpose."""
        return self.T

    def _between(self, dim: int, begin: int, end: int) -> Matrix:
        along_rows = (dim % 2 == 0) != self.transposed
        rows = (self.rows[0] + begin, self.rows[0] + end) if along_rows else self.rows
        used = self.used if along_rows else (self.used[0] + begin, self.used[0] + end)
        return Matrix(self.graph, self.name, self.columns, rows, used, transposed=self.transposed)

    def chunk(self, count: int, dim: int = 0) -> tuple[Matrix, ...]:
        """Parts of equal size."""
        size = -(-self.shape[dim] // count)
        return self.split(size, dim)

    def split(self, sizes: int | Sequence[int], dim: int = 0) -> tuple[Matrix, ...]:
        """Consecutive parts."""
        return tuple(self._between(dim, begin, end) for begin, end in bounds(self.shape[dim], sizes))

    def __iter__(self) -> Iterator[Symbol]:
        return iter(self.unbind())

    def unbind(self, dim: int = 0) -> tuple[Symbol, ...]:
        """The rows, as vectors of weights."""
        if dim != 0 or self.transposed or self.used != (0, self.columns):
            raise CompileError("an unbind of columns of a weight")
        return tuple(
            vector_of_weights(self.graph, self.name, row * self.columns, self.columns) for row in range(*self.rows)
        )

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            return self.unbind()[index]
        found = self
        for dim, part in enumerate(index if isinstance(index, tuple) else (index,)):
            if not isinstance(part, slice) or part.step not in (None, 1):
                raise CompileError(f"the index {index!r} of a weight")
            found = found._between(dim, *part.indices(self.shape[dim])[:2])
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CompileError(f"tensor.{name} of the matrix {self.name!r}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return Symbol.__torch_function__(function, types, args, kwargs)


def vector_of_weights(graph: Graph, name: str, first: int, size: int) -> Symbol:
    """Returns `size` numbers of a weight from number `first` on."""
    widths = graph.widths(size)
    parts = [graph.node("param", width=width, info=(name, first + sum(widths[:i]))) for i, width in enumerate(widths)]
    return Symbol(graph, parts, size, is_vector=True)


def bounds(total: int, sizes: int | Sequence[int]) -> list[tuple[int, int]]:
    """Returns where parts of the given sizes begin and end."""
    if isinstance(sizes, int):
        sizes = [min(sizes, total - begin) for begin in range(0, total, sizes)]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    if not ends or ends[-1] != total:
        raise CompileError(f"a split of {total} units into {list(sizes)}")
    return list(zip([0, *ends[:-1]], ends, strict=True))
