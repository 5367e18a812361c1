"""`recurra.export(model, "model.c")`: builds the C file of a model."""

from __future__ import annotations

from typing import Any

from .check import check
from .names import identifier
from .read import read
from .source import source


def build(model: Any, *, name: str, int8: bool = False) -> bytes:
    """Returns the C file of a model.

    Args:
        model: a fitted classifier or regressor of numeric series, or a recurrent layer, in one direction.
        name: name of the file without its ending; the names in the file begin with it.
        int8: stores the weights as 8-bit integers with one scale for each row.

    Raises:
        UsageError: the model cannot run step by step in C.
        RecurraError: the contents of the file do not give the answers of the model.
    """
    plan = read(model)
    check(model, plan)
    return source(plan.quantized() if int8 else plan, identifier(name), name).encode()
