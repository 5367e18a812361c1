"""Chooses the engine of a call and gives the reasons why the others do not serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from recurra.cells import State
from recurra.errors import EngineError

from .call import prepare
from .call_spec import CallSpec
from .dropout import DRAWS
from .onnx import torch_export
from .registry import candidates
from .stack import Stack


@dataclass(frozen=True)
class Explanation:
    """Result of `explain`: the engine that serves a call, and the refusals of the others.

    Attributes:
        engine: name of the engine, or None if none serves the call.
        refusals: engine name to reason, for each candidate that does not serve the call.

    Example:
        >>> print(Explanation("builtin", {"native": "the native engine was not built"}))
        served by builtin
          not native: the native engine was not built
    """

    engine: str | None
    refusals: dict[str, str]

    def __str__(self) -> str:
        """Returns the choice on the first line and a refusal on each further line."""
        lines = [f"served by {self.engine}" if self.engine else "no engine serves this call"]
        return "\n".join([*lines, *(f"  not {name}: {reason}" for name, reason in self.refusals.items())])


def recurrence(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | Sequence[int] | None = None,
    states: State | None = None,
    *,
    batch_first: bool = False,
    dropout: float = 0.0,
    training: bool = False,
    memory: str = "full",
    precision: str = "float32",
    engine: str = "auto",
) -> tuple[Tensor, State]:
    """Runs a stack of recurrent layers over a ragged batch.

    Args:
        stack: cell, sizes, layers and directions.
        values: `(time, batch, features)`, or `(batch, time, features)` with `batch_first`. Values beyond
            a sequence's length are never read.
        weights: flat, in the order of `stack.named_shapes()`.
        lengths: steps of each sequence, `(batch,)`, any order, zeros allowed; None when all are full.
        states: initial states, each `(layers * directions, batch, size)`; zeros when None.
        batch_first: layout of `values` and of the output.
        dropout: probability of dropping an output between layers, in training.
        training: whether dropout is on, and the masks of the cell.
        memory: `"full"` stores every gate of every step for the backward pass; `"recompute"` stores the states of
            √T steps and computes the rest again, which takes about a third longer.
        precision: `"float32"`, or `"bfloat16"` to round the factors of matrix products in training, for float32 values
            on a processor that multiplies bfloat16 faster. Sums, states and gradients stay float32.
        engine: `"auto"`, or the name of one engine.

    Returns:
        The output `(time, batch, directions * size)` in the layout of `values`, 0 beyond each length, and the
        states after each sequence's own last step (for the backward direction: its first), each
        `(layers * directions, batch, size)`. An empty sequence passes its initial state through.

    Raises:
        ValueError: sizes or lengths do not fit.
        EngineError: the requested engine does not serve this call.

    Example:
        >>> import torch
        >>> from recurra.cells import GRU
        >>> from recurra.ops import Stack, recurrence
        >>> stack = Stack(GRU(), input_size=2, hidden_size=3)
        >>> weights = [torch.randn(shape) for _, shape in stack.named_shapes()]
        >>> output, (hidden,) = recurrence(stack, torch.randn(5, 2, 2), weights, lengths=[5, 0])
        >>> output[:, 1].abs().sum().item()
        0.0
        >>> from recurra.ops import MEMORIES, PRECISIONS
        >>> MEMORIES, PRECISIONS
        (('full', 'recompute'), ('float32', 'bfloat16'))
    """
    options = {"batch_first": batch_first, "dropout": dropout, "training": training, "memory": memory}
    call, checked = prepare(stack, values, weights, lengths, states, **options, precision=precision)
    if training and stack.masks:
        call = replace(call, draws=DRAWS)
    if torch_export.exports(call):
        return torch_export.run(call, values, weights, checked, states)
    choice = _choose(call, engine)
    if choice.engine is None:
        raise EngineError(str(choice))
    return candidates(choice.engine)[0].run(call, values, weights, checked, states)


def explain(what: Any, *args: Any, **kwargs: Any) -> Explanation:
    """Returns which engine would serve a call, and why the others would not.

    Args:
        what: a `Stack`, or a layer of `recurra.nn`.
        *args: arguments of `recurrence` after the stack, or arguments of the layer's call.
        **kwargs: likewise.

    Example:
        >>> import torch
        >>> from recurra import nn, ops
        >>> print(ops.explain(nn.GRU(4, 4, engine="reference"), torch.randn(3, 1, 4)))
        served by reference
    """
    if not isinstance(what, Stack):
        return what.explain(*args, **kwargs)
    engine = kwargs.pop("engine", "auto")
    call, _ = prepare(what, *args, **kwargs)
    return _choose(call, engine)


def _choose(call: CallSpec, engine: str) -> Explanation:
    refusals: dict[str, str] = {}
    for candidate in candidates(engine):
        reason = candidate.refuses(call)
        if reason is None:
            return Explanation(candidate.name, refusals)
        refusals[candidate.name] = reason
    return Explanation(None, refusals)
