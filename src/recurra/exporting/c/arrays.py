"""Writes arrays of numbers in C, so that a compiler reads back exactly the same numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import numpy as np

from .plan import Matrix

WIDTH = 110


class Arrays:
    """Writes constant arrays, and counts their bytes.

    Attributes:
        bytes: size of all constants so far, with pointers of 4 bytes.
    """

    def __init__(self) -> None:
        self.bytes = 0

    def floats(self, name: str, values: np.ndarray) -> str:
        """Returns the definition of an array of floats; an empty one gets a number, because C has no empty arrays."""
        values = values if values.size else np.zeros(1, np.float32)
        self.bytes += 4 * values.size
        return _definition("float", name, values.size, float_literals(values))

    def doubles(self, name: str, values: np.ndarray, zero: str = "0.0") -> str:
        """Returns the definition of an array of doubles; `zero` is written for 0."""
        self.bytes += 8 * values.size
        return _definition("double", name, values.size, (repr(v) if v else zero for v in values.tolist()))

    def integers(self, name: str, values: np.ndarray) -> str:
        """Returns the definition of an array of 16-bit integers."""
        self.bytes += 2 * values.size
        return _definition("uint16_t", name, values.size, map(str, values.tolist()))

    def times(self, name: str, values: np.ndarray) -> str:
        """Returns the definition of an array of 64-bit integers."""
        self.bytes += 8 * values.size
        return _definition("int64_t", name, values.size, (f"INT64_C({value})" for value in values.tolist()))

    def sides(self, name: str, values: np.ndarray) -> str:
        """Returns the definition of an array of 8-bit integers."""
        self.bytes += values.size
        return _definition("int8_t", name, values.size, map(str, values.tolist()))

    def weights(self, name: str, matrix: Matrix) -> str:
        """Returns the definitions of the weights of a matrix, and of their scales if they have 8 bits."""
        if matrix.codes is None:
            return self.floats(f"{name}_weights", matrix.values)
        self.bytes += matrix.codes.size
        codes = _definition("int8_t", f"{name}_weights", matrix.codes.size, map(str, matrix.codes.ravel().tolist()))
        return codes + "\n" + self.floats(f"{name}_scales", matrix.scales)

    def entry(self, name: str, matrix: Matrix) -> str:
        """Returns the initializer of a matrix whose weights were defined."""
        scales = "" if matrix.codes is None else f", {name}_scales"
        self.bytes += 8 + 4 * bool(scales)
        return f"{{{name}_weights{scales}, {matrix.values.shape[1]}}}"

    def matrix(self, name: str, matrix: Matrix) -> str:
        """Returns the definitions of the weights and of the matrix."""
        return f"{self.weights(name, matrix)}\nstatic const model_matrix {name} = {self.entry(name, matrix)};\n"


def float_literals(values: np.ndarray) -> list[str]:
    """Returns literals of C for float32 numbers. Nine digits identify every number.

    Example:
        >>> float_literals(np.array([1, 0.1, 1e-10], np.float32))
        ['1.0f', '0.100000001f', '1.00000001e-10f']
    """
    found = [f"{value:.9g}" for value in values.ravel().tolist()]
    return [f"{text}f" if "." in text or "e" in text else f"{text}.0f" for text in found]


def _definition(kind: str, name: str, size: int, values: Iterable[str]) -> str:
    lines = textwrap.fill(", ".join(values), WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"static const {kind} {name}[{size}] = {{\n{lines}\n}};\n"
