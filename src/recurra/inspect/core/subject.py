"""Converts a model and its inputs to a `Subject`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.errors import DataError, UsageError
from recurra.tasks.base import Estimator
from recurra.tasks.subject import Subject

LONG_TOKEN = 200
"""Tokens are stored as Python objects if one has more characters than this."""


class Plain(NamedTuple):
    """A batch for a module that is called with one tensor.

    Attributes:
        values: argument of the module, in the layout that it expects.
        lengths: steps of each sequence `(batch,)`, or None.
    """

    values: Tensor
    lengths: Tensor | None


def subject_of(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    lengths: Any = None,
    score: Callable[[Any], Tensor] | None = None,
    loss: Callable[[Any], Tensor] | None = None,
) -> Subject:
    """Converts a model and its inputs to the form that the measures take.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: for an estimator, sequences as its `predict` takes them; for a module, the tensor that it is called with. A
            `Subject` is returned unchanged.
        y: for an estimator, targets as its `fit` takes them, to compute losses.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        score: for a module: function from its output to one number per sequence, `(batch,)`; None for the sum of the
            outputs at the last step of each sequence.
        loss: for a module: function from its output to the losses of the sequences, `(batch,)`.

    Raises:
        NotFittedError: the estimator is not fitted.
        UsageError: the type of the model is not supported.
        DataError: `x` cannot be used, or is empty.

    Example:
        >>> import torch
        >>> from recurra.inspect import subject_of
        >>> x = torch.randn(3, 9, 2)
        >>> subject = subject_of(torch.nn.GRU(2, 4, batch_first=True), x, score=lambda output: output[0][:, 0, 1])
        >>> subject.scores().shape, subject_of(subject) is subject
        (torch.Size([3]), True)
    """
    given = model if x is None else x
    if isinstance(given, Subject):
        return given
    if isinstance(model, Estimator):
        if lengths is not None or score is not None or loss is not None:
            raise UsageError("an estimator defines its lengths, score and loss; leave these arguments out")
        return model.subject(x, y)
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"give an estimator of recurra, a torch module or a layer, not {type(model).__name__}")
    if not isinstance(x, Tensor):
        raise UsageError(f"a module is called with a tensor, not {type(x).__name__}")
    if not x.numel():
        raise DataError("the input is empty: there is no step to inspect")
    if lengths is not None:
        lengths = torch.as_tensor(lengths)
    return _of_module(model, Plain(x, lengths), score, loss)


def step_coords(subject: Subject, part: str, lengths: Sequence[int], time: Sequence[int]) -> dict[str, Any]:
    """Returns coordinates of sequences and steps of a recurrent layer: numbers, lengths and, if known, tokens."""
    import numpy as np

    coords: dict[str, Any] = {
        "batch": range(len(lengths)),
        "time": list(time),
        "length": ("batch", np.array(lengths, np.int64)),
    }
    texts = subject.steps_of(part, lengths)
    if texts is not None:
        words = [[row[t] if t < len(row) else "" for t in time] for row in texts]
        # in an array of fixed-width strings, every step takes the bytes of the longest token
        long = any(len(word) > LONG_TOKEN for row in words for word in row)
        tokens = np.array(words, dtype=object if long else str)
        coords["token"] = (("batch", "time"), tokens.reshape(len(lengths), len(time)))
    return coords


def _of_module(
    model: torch.nn.Module, batch: Plain, score: Callable[[Any], Tensor] | None, loss: Callable[[Any], Tensor] | None
) -> Subject:
    takes_lengths = "lengths" in inspect.signature(model.forward).parameters
    if batch.lengths is not None and not takes_lengths:
        raise UsageError(f"{type(model).__name__} does not take lengths; cut the input instead")

    alone = isinstance(model, torch.nn.RNNBase) and batch.values.dim() == 2  # one sequence without a batch axis
    found = score or _LastOutputs(alone or getattr(model, "batch_first", True), alone)

    def forward(batch: Plain) -> Any:
        if isinstance(found, _LastOutputs):
            found.lengths = batch.lengths
        with _evaluating(model):
            return model(batch.values, lengths=batch.lengths) if batch.lengths is not None else model(batch.values)

    def losses(batch: Plain) -> tuple[Tensor, Tensor]:
        each = loss(forward(batch))  # type: ignore[misc]
        return each.sum(), torch.tensor(float(each.numel()))

    about: dict[str, Any] = {"title": type(model).__name__, "any_length": True}
    return Subject(model, batch, forward, found, "score", None if loss is None else losses, **about)


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Context in which the model is in evaluation mode. Afterwards every module is in its previous mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _LastOutputs:
    """Score of a module: sum of the outputs at the last step of each sequence of the last batch."""

    lengths: Tensor | None = None

    def __init__(self, batch_first: bool, alone: bool) -> None:
        self.batch_first, self.alone = batch_first, alone

    def __call__(self, output: Any) -> Tensor:
        while isinstance(output, tuple | list):
            output = output[0]
        if not isinstance(output, Tensor):
            raise UsageError(f"the module returns {type(output).__name__}; give score= to convert it to numbers")
        output = output.unsqueeze(0) if self.alone else output
        if output.dim() < 2:
            return output.reshape(-1)
        if output.dim() == 2:
            return output.sum(1)
        output = output if self.batch_first else output.transpose(0, 1)
        if self.lengths is None:
            return output[:, -1].sum(-1)
        rows = torch.arange(len(output))
        return output[rows, (self.lengths - 1).clamp(min=0)].sum(-1)
