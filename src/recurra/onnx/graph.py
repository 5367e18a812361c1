"""A graph of ONNX operators under construction. Values are names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

SMALL = 1024
"""Weights with fewer numbers stay float32 in an export with 8-bit integers."""

Shape = Sequence[int | str | None]


class Graph:
    """Collects operators, weights, inputs and outputs; each method returns the names of the values that it adds.

    Args:
        opset: version of the operators.
        int8: whether `weight` stores 8-bit integers.
        required: whether inputs with a default must be given too.
        outer: the graph that contains this one as the body of a loop; a body may use the values of the outer graph.

    Attributes:
        cache: results of computations that several parts of a graph need; a body shares that of the outer graph.
    """

    def __init__(self, opset: int, *, int8: bool = False, required: bool = False, outer: Graph | None = None) -> None:
        self.opset, self.int8, self.required = opset, int8, required
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._stored: dict[Any, str] = {}
        self._names: Counter[str] = Counter() if outer is None else outer._names
        self.cache: dict[Any, Any] = {} if outer is None else outer.cache

    # values

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator with one output. An empty name is an input that is left out."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Adds an operator with several outputs."""
        names = [self._name(kind.lower()) for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=self._name(f"node.{kind}"), **attributes))
        return names

    def const(self, value: Any, dtype: Any = None) -> str:
        """Adds a constant. Python's integers become int64, its floats float32."""
        array = np.asarray(value, dtype)
        if dtype is None and not isinstance(value, np.ndarray):
            array = array.astype(np.float32 if array.dtype.kind == "f" else array.dtype)
        return self.store(array, "const")

    def weight(self, value: Tensor | np.ndarray, name: str) -> str:
        """Adds a weight. With `int8`, matrices `(rows, columns)` are stored as integers with a scale for each row."""
        array = numbers(value)
        if not self.int8 or array.ndim != 2 or array.size < SMALL:
            return self.store(array, name)
        integers, scale = quantized(array)
        zero = self.const(np.zeros(len(scale), np.int8))
        parts = self.store(integers, name), self.store(scale, f"{name}.scale"), zero
        return self.op("DequantizeLinear", *parts, axis=0)

    def rows(self, table: Tensor | np.ndarray, numbers_of: str, name: str) -> str:
        """Adds a table `(rows, columns)` and takes the rows with some numbers. Integers are scaled after that."""
        array = numbers(table)
        if not self.int8 or array.size < SMALL:
            return self.op("Gather", self.store(array, name), numbers_of)
        integers, scale = quantized(array)
        found = self.op("Gather", self.store(integers, name), numbers_of)
        factor = self.op("Gather", self.store(scale[:, None], f"{name}.scale"), numbers_of)
        return self.op("Mul", self.cast(found, np.float32), factor)

    def store(self, array: np.ndarray, name: str) -> str:
        """Adds numbers as they are; equal ones share a value."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = array.dtype.str, array.shape, hashlib.blake2b(array.tobytes()).digest()
        if key not in self._stored:
            self._stored[key] = self._name(name)
            self._initializers.append(numpy_helper.from_array(array, self._stored[key]))
        return self._stored[key]

    def _name(self, stem: str) -> str:
        self._names[stem] += 1
        return stem if self._names[stem] == 1 else f"{stem}.{self._names[stem]}"

    # inputs and outputs

    def input(self, name: str, dtype: Any, shape: Shape, default: np.ndarray | None = None) -> str:
        """Adds an input. With a default it is optional, unless all inputs of the graph are required.

        The default is broadcast to what the graph needs.
        """
        self._names[name] += 1
        self.inputs.append(_info(name, dtype, shape))
        if default is not None and not self.required:
            self._initializers.append(numpy_helper.from_array(default, name))
        return name

    def output(self, name: str, value: str, dtype: Any, shape: Shape) -> None:
        """Makes a value an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=self._name("node.Identity")))
        self.outputs.append(_info(name, dtype, shape))

    # operators that are often used, or that differ between versions

    def cast(self, value: str, dtype: Any) -> str:
        """Converts the numbers to another type."""
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Changes the shape; 0 keeps a size, -1 computes one."""
        return self.op("Reshape", value, self.const(list(shape), np.int64))

    def unsqueeze(self, value: str, axis: int) -> str:
        """Adds an axis."""
        return self.op("Unsqueeze", value, self.const([axis], np.int64))

    def squeeze(self, value: str, axis: int) -> str:
        """Removes an axis of size 1."""
        return self.op("Squeeze", value, self.const([axis], np.int64))

    def size(self, value: str, axis: int) -> str:
        """Returns the size of an axis, `(1,)`."""
        return self.op("Gather", self.op("Shape", value), self.const([axis], np.int64))

    def slice(self, value: str, axis: int, begin: int | str, end: int | str) -> str:
        """Takes a range along an axis; begin and end are numbers, or values `(1,)`."""
        ends = [self.const([at], np.int64) if isinstance(at, int) else at for at in (begin, end)]
        return self.op("Slice", value, *ends, self.const([axis], np.int64))

    def concat(self, values: Sequence[str], axis: int) -> str:
        """Joins values along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def reduce(self, kind: str, value: str, axis: int, *, keep: bool = False) -> str:
        """Adds `ReduceSum`, `ReduceMax` or another reduction along an axis."""
        if kind == "ReduceSum" or self.opset >= 18:
            return self.op(kind, value, self.const([axis], np.int64), keepdims=int(keep))
        return self.op(kind, value, axes=[axis], keepdims=int(keep))

    def linear(self, value: str, weight: Any, bias: Any, name: str, *, tied: bool = False) -> str:
        """Computes `value · weightᵀ + bias` over the last axis; a tied weight is also used elsewhere."""
        if self.int8 or tied:
            matrix = self.op("Transpose", self.weight(weight, f"{name}.weight"), perm=[1, 0])
        else:
            matrix = self.weight(numbers(weight).T, f"{name}.weight")
        product = self.op("MatMul", value, matrix)
        return product if bias is None else self.op("Add", product, self.weight(bias, f"{name}.bias"))

    # the result

    def build(self, name: str) -> Any:
        """Returns the `GraphProto`."""
        return helper.make_graph(self._nodes, name, self.inputs, self.outputs, self._initializers)

    def model(self, metadata: Mapping[str, str]) -> Any:
        """Returns the `ModelProto` with texts about the model."""
        opsets = [helper.make_opsetid("", self.opset)]
        version = helper.find_min_ir_version_for(opsets)
        model = helper.make_model(
            self.build("recurra"), opset_imports=opsets, ir_version=version, producer_name="recurra"
        )
        helper.set_model_props(model, dict(metadata))
        return model


def numbers(value: Tensor | np.ndarray) -> np.ndarray:
    """Returns a weight as a contiguous array of float32."""
    array = value.detach().float().cpu().numpy() if isinstance(value, Tensor) else value
    return np.ascontiguousarray(array, np.float32)


def quantized(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows as integers from -127 to 127, and the scale of each row.

    Example:
        >>> integers, scale = quantized(np.array([[0.5, -1.0], [0.0, 0.0]], np.float32))
        >>> integers.tolist(), (127 * scale).tolist()
        ([[64, -127], [0, 0]], [1.0, 127.0])
    """
    largest = np.abs(array).max(1)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(array / scale[:, None]).clip(-127, 127).astype(np.int8), scale


def _info(name: str, dtype: Any, shape: Shape) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_value_info(name, kind, list(shape))
