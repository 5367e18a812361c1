"""A model as a function of the input of one of its recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.cells import State
from recurra.errors import UsageError
from recurra.ops import recurrence
from recurra.tasks.subject import Subject

from .layers import LayerCall, recurrent_layers, serving
from .subject import step_coords

if TYPE_CHECKING:
    import xarray

RUN_BYTES = 128 << 20
"""Approximate memory in bytes of the variants in one batch for the backward pass. More variants run in groups."""

RunStack = Callable[[LayerCall], tuple[Tensor, State]]
"""Runs a stack on the values of a call; returns the output `(batch, time, size)` and the final states."""

Query = Callable[[Any], Any]
"""Runs the network on a batch and returns a result."""


class LayerInput:
    """A model as a function of the input of one recurrent layer. This is the same for tokens, series and audio.

    The layer runs many variants of its input in one batch. The rest of the model runs separately for each variant, so
    it may be any code.

    Args:
        subject: the model and its inputs.
        layer: name of the recurrent layer; None for the first layer that the model calls and that runs over the steps
            of the inputs.

    Attributes:
        values: the layer's input, `(batch, time, features)`, 0 in the padding.
        mask: True for real steps, `(batch, time)`.
        lengths: steps of each sequence, `(batch,)`.
        others: other layers that read the same input, each with True if it reads it in reverse. They also get the
            variants.

    Raises:
        UsageError: the model has no such layer, or does not call it.

    Example:
        >>> import torch
        >>> from recurra.inspect import subject_of
        >>> layer_input = LayerInput(subject_of(torch.nn.GRU(5, 8, batch_first=True), torch.randn(3, 10, 5)))
        >>> tuple(layer_input.scores(torch.stack([layer_input.values, 0 * layer_input.values])).shape)
        (2, 3)
    """

    def __init__(self, subject: Subject, layer: str | None = None) -> None:
        self.subject = subject
        calls = _calls(subject)
        self.call = _chosen(subject, calls, layer)
        values, lengths = self.call.values.detach(), self.call.lengths
        batch, steps = values.shape[:2]
        full = torch.full((batch,), steps) if lengths is None else lengths
        self.mask = torch.arange(steps, device=values.device) < full.to(values.device)[:, None]
        self.values = values.masked_fill(~self.mask.unsqueeze(-1), 0)  # padding may contain any value
        self.lengths = full.cpu()
        self.others = _readers(calls, self)

    @property
    def at_once(self) -> int:
        """Number of variants to run in one batch."""
        stack = self.call.stack
        width = stack.input_size + 2 * sum(stack.inner_sizes.values()) * stack.num_layers * stack.directions
        return max(1, RUN_BYTES // max(1, self.values[..., 0].numel() * width * self.values.element_size()))

    def query(self, values: Tensor, queries: Sequence[Query], run: RunStack | None = None) -> list[list[Any]]:
        """Runs the model for each variant of the layer's input.

        Args:
            values: `(variants, batch, time, features)`.
            queries: functions that run the network on a batch, such as `subject.forward` and `subject.loss`.
            run: runs the stack on all variants, stacked in the batch; None for the fastest engine.

        Returns:
            For each variant, the results of the queries.
        """
        variants, batch = values.shape[:2]
        done = {(self.call.name, 0): (run or run_unchanged)(_repeated(self.call, values))}
        for call, backwards in [] if run else self.others:
            done[call.name, 0] = run_unchanged(
                _repeated(call, _mirrored(values, self.lengths) if backwards else values)
            )
        found: list[list[Any]] = []
        for i in range(variants):
            rows = slice(i * batch, (i + 1) * batch)

            def serve(call: LayerCall, rows: slice = rows) -> tuple[Tensor, State]:
                if (call.name, call.number) not in done:
                    return run_unchanged(call)
                output, last = done[call.name, call.number]
                return output[rows], tuple(s[:, rows] for s in last)

            found.append([])
            for question in queries:
                with serving(self.subject.network, serve, replace=True):
                    found[-1].append(question(self.subject.batch))
        return found

    def scores(self, values: Tensor, run: RunStack | None = None) -> Tensor:
        """Returns the score of each sequence for each variant, `(variants, batch)`; autograd tracks it if enabled."""
        return torch.stack([score for (score,) in self.query(values, [self.subject.scores], run)])

    def gradients(self, values: Tensor) -> Tensor:
        """Returns the gradients of the scores with respect to the variants, in their shape."""
        with torch.enable_grad():
            leaf = values.detach().requires_grad_()
            total = self.scores(leaf).sum()
            (found,) = torch.autograd.grad(total, leaf)
        return found

    def by_step(self, values: Tensor, name: str, **attributes: Any) -> xarray.DataArray:
        """Names the axes of an array `(batch, time)` and puts NaN in the padding."""
        masked = values.masked_fill(~self.mask, torch.nan)
        return by_step(self.subject, self.call.part, masked, self.lengths, name, **attributes)


def run_unchanged(call: LayerCall) -> tuple[Tensor, State]:
    """Runs a call with the fastest engine."""
    return recurrence(call.stack, call.values, call.weights, call.lengths, call.states, batch_first=True)


def _repeated(call: LayerCall, values: Tensor) -> LayerCall:
    """A call with variants of its input, stacked in the batch."""
    variants = len(values)
    return LayerCall(
        call.name,
        call.number,
        call.stack,
        [w.detach() for w in call.weights],
        values.flatten(0, 1),
        None if call.lengths is None else call.lengths.repeat(variants),
        None if call.states is None else tuple(s.detach().repeat(1, variants, 1) for s in call.states),
    )


def by_step(
    subject: Subject, part: str, values: Tensor, lengths: Tensor, name: str, **attributes: Any
) -> xarray.DataArray:
    """Names the axes of an array `(batch, time, …)` of a recurrent layer, and adds the tokens as coordinates."""
    import xarray

    coords = step_coords(subject, part, lengths.tolist(), range(values.shape[1]))
    dims = ("batch", "time", "feature")[: values.dim()]
    if values.dim() == 3 and subject.features is not None and len(subject.features) == values.shape[-1]:
        coords["feature"] = subject.features
    return xarray.DataArray(values.detach().cpu().numpy(), coords, dims, name, attributes)


def _calls(subject: Subject) -> list[LayerCall]:
    """The first call of each recurrent layer."""
    found: list[LayerCall] = []

    def serve(call: LayerCall) -> tuple[Tensor, State]:
        if call.number == 0:
            found.append(call)
        return run_unchanged(call)

    with torch.no_grad(), serving(subject.network, serve, replace=True):
        subject.forward(subject.batch)
    return found


def _chosen(subject: Subject, found: list[LayerCall], layer: str | None) -> LayerCall:
    """The call of a layer, by default of the first layer that runs over the steps of the inputs."""
    if layer is None and found:
        return next((call for call in found if _over_steps(subject, call)), found[0])
    for call in found:
        if call.name == layer:
            return call
    names = ", ".join(map(repr, recurrent_layers(subject.network)))
    raise UsageError(f"the model does not call a recurrent layer {layer!r}; it has {names}")


def _over_steps(subject: Subject, call: LayerCall) -> bool:
    """Returns whether a layer runs once over each sequence. A layer over the characters of words does not."""
    if subject.steps is not None:
        return call.part not in subject.layer_steps and subject.steps_of(call.part, call.full_lengths) is not None
    given = getattr(subject.batch, "lengths", None)
    return given is None or len(given) == len(call.values)


def _mirrored(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverses sequences `(…, batch, time, features)` in time."""
    steps = torch.arange(values.shape[-2])
    order = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # (batch, time)
    return values.gather(-2, order.to(values.device).unsqueeze(-1).expand(values.shape))


def _readers(calls: list[LayerCall], layer_input: LayerInput) -> list[tuple[LayerCall, bool]]:
    """Returns other layers that read the same input, each with True if it reads it in reverse."""
    found = []
    for call in calls:
        if (
            call.part == layer_input.call.part
            or call.values.shape != layer_input.values.shape
            or not layer_input.values.numel()
        ):
            continue
        values = call.values.detach().masked_fill(~layer_input.mask.unsqueeze(-1), 0)
        for backwards in (False, True):
            if torch.equal(
                values, _mirrored(layer_input.values, layer_input.lengths) if backwards else layer_input.values
            ):
                found.append((call, backwards))
                break
    return found
