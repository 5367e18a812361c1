"""Gradients of the outputs of a recurrent layer, or of the loss of a model, with respect to all earlier states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.cells import State, Step
from recurra.errors import UsageError
from recurra.inspect.core.direction_runs import DirectionRun, LayerRun, refuse_inference_mode, reorder, vjp_step
from recurra.inspect.core.layers import LayerCall, serving
from recurra.ops import Stack
from recurra.ops.recording import replay
from recurra.ops.reference import Place
from recurra.tasks.subject import Subject

CHUNK_BYTES = 128 << 20
"""Approximate memory in bytes of the gradients for the layer below. More targets are processed in groups."""

Sizes = dict[tuple[int, int], Tensor]
"""Norms of gradients for each layer and direction."""


def from_outputs(run: LayerRun, targets: Tensor, probes: int) -> Sizes:
    """Computes the size of the gradient of the output of a step at every earlier state, through the whole stack.

    The output at a target step is multiplied with random unit vectors (probes). The result is the root mean square of
    the norms of the gradients over the probes. With one orthogonal probe per unit, it is exactly the Frobenius norm of
    ∂output/∂state divided by √units. With fewer probes, its square is an unbiased estimate.

    Args:
        run: a call of a recurrent layer.
        targets: for each direction the target steps in the order of the direction, `(directions, targets, batch)`; -1
            if a sequence has no such step.
        probes: number of random unit vectors.

    Returns:
        For each layer and direction `(states, targets, time, batch)`, steps in the order of the direction.
    """
    stack, batch = run.stack, len(run.rows)
    like = run.direction_runs[0][0].inputs
    directions = _directions(stack, probes, like)
    per_target = (
        directions.shape[1] * batch * run.steps * stack.output_size * like.element_size() if stack.num_layers > 1 else 1
    )
    group = max(1, CHUNK_BYTES // per_target)
    groups = [_group(run, targets[:, i : i + group], directions) for i in range(0, targets.shape[1], group)]
    return {place: torch.cat([found[place] for found in groups], 1) for place in groups[0]}


def _directions(stack: Stack, probes: int, like: Tensor) -> Tensor:
    """Returns orthonormal rows `(directions, probes, size)` from a fixed seed."""
    random = torch.Generator().manual_seed(0)
    size = stack.state_sizes[0]
    drawn = torch.randn(stack.directions, size, probes, generator=random, dtype=torch.float64)
    found = torch.linalg.qr(drawn)[0].transpose(1, 2).to(like)
    if probes < size or stack.directions == 1 or stack.num_layers == 1:
        return found
    # below the top layer the gradients of both directions are added; both signs cancel the cross terms
    return torch.cat([found, found * torch.tensor([1.0, -1.0]).to(like)[:, None, None]], 1)


def _group(run: LayerRun, targets: Tensor, seeds: Tensor) -> Sizes:
    stack, batch, probes = run.stack, len(run.rows), seeds.shape[1]
    count, size = targets.shape[1], stack.state_sizes[0]
    found: Sizes = {}
    arriving: Tensor | None = None  # at the outputs of a layer, in the order of time
    for layer in reversed(range(stack.num_layers)):
        below = None
        if layer:
            below = run.direction_runs[0][0].inputs.new_zeros(run.steps, count * probes, batch, stack.output_size)
        for direction, direction_run in enumerate(run.direction_runs[layer]):
            if arriving is None:
                source = _Seeds(targets[direction].to(direction_run.inputs.device), seeds[direction])
            else:
                part = slice(direction * size, (direction + 1) * size)
                latest = targets[0].amax(1) if not stack.bidirectional else torch.full((count,), run.steps - 1)
                source = _Arriving(arriving[..., part], direction_run, latest)
            found[layer, direction] = _back(direction_run, source, probes, below)
        arriving = below
    return found


class _Seeds:
    """Gradients at the outputs of the top layer: the probes at the step of their target."""

    def __init__(self, targets: Tensor, seeds: Tensor) -> None:
        self.targets, self.seeds = targets, seeds
        self.latest = targets.amax(1).cpu()

    def at(self, step: int, chosen: Tensor) -> Tensor:
        """Returns gradients `(targets · probes, batch, size)`."""
        here = (self.targets[chosen] == step).to(self.seeds)
        return (here[:, None, :, None] * self.seeds[None, :, None]).flatten(0, 1)


class _Arriving:
    """Gradients from the layer above."""

    def __init__(self, gradients: Tensor, run: DirectionRun, latest: Tensor) -> None:
        self.gradients, self.order, self.latest = gradients, run.order, latest

    def at(self, step: int, chosen: Tensor) -> Tensor:
        """Returns gradients `(targets · probes, batch, size)`."""
        rows = torch.arange(self.order.shape[1], device=self.order.device)
        found = self.gradients[self.order[step], :, rows].transpose(0, 1)
        return found.unflatten(0, (len(self.latest), -1))[chosen].flatten(0, 1)


def _back(run: DirectionRun, source: _Seeds | _Arriving, probes: int, below: Tensor | None) -> Tensor:
    """Returns norms `(states, targets, time, batch)` of one direction; adds the gradients of its inputs to `below`."""
    count, batch = len(source.latest), run.states[0].shape[1]
    rows = torch.arange(batch, device=run.order.device)
    # later targets first, so that targets without gradients yet are left out of the products
    rank = torch.argsort(source.latest, descending=True, stable=True)
    norms = run.inputs.new_zeros(len(run.states), count, run.steps, batch, dtype=torch.float64)
    adjoint = tuple(s.new_zeros(0, batch, s.shape[-1]) for s in run.states)
    for step in reversed(range(run.steps)):
        live = rank[: int((source.latest >= step).sum())]
        if not len(live):
            continue
        more = len(live) * probes - len(adjoint[0])
        adjoint = tuple(torch.cat([a, a.new_zeros(more, *a.shape[1:])]) for a in adjoint)
        adjoint = (adjoint[0] + source.at(step, live), *adjoint[1:])
        if not any(bool(a.any()) for a in adjoint):  # the gradients of later targets have vanished
            continue
        for i, gradient in enumerate(adjoint):
            squares = _norm(gradient).square().unflatten(0, (len(live), probes))
            norms[i, live, step] = squares.mean(1).sqrt()
        to_input, adjoint = vjp_step(run, step, adjoint, inputs=below is not None)
        if below is not None and to_input is not None:
            columns = (live[:, None] * probes + torch.arange(probes)).flatten().to(rows.device)
            place = run.order[step][:, None].expand(-1, len(columns))
            below[place, columns[None], rows[:, None]] += to_input.transpose(0, 1)
    return norms


def along_cell(run: LayerRun, gates: Sizes, targets: Tensor) -> Sizes:
    """Like `from_outputs`, but only for the path on which the state is multiplied with the gate that keeps it.

    Args:
        run: a call of a recurrent layer.
        gates: for each layer and direction the gate `(time, batch, units)` in the order of the direction.
        targets: as in `from_outputs`.

    Returns:
        For each layer and direction `(1, targets, time, batch)`: the product of the gates from a step to the target,
        as root mean square over the units.
    """
    found: Sizes = {}
    for (layer, direction), gate in gates.items():
        kept = gate.double().clamp(min=1e-300).log().cumsum(0)  # (time, batch, units)
        goal = targets[direction].to(kept.device)  # (targets, batch)
        rows = torch.arange(kept.shape[1], device=kept.device)
        norms = kept.new_zeros(1, len(goal), *kept.shape[:2])
        steps = torch.arange(len(kept), device=kept.device)
        for i, own in enumerate(goal):
            product = (kept[own.clamp(min=0), rows] - kept).exp()
            there = steps[:, None] <= own
            norms[0, i] = product.square().mean(-1).sqrt().masked_fill(~there, 0)
        found[layer, direction] = norms
    return found


def from_total(subject: Subject, of: str) -> list[tuple[str, Stack, Tensor, Tensor]]:
    """Computes the size of the gradient of each sequence's score or loss at every state, through the whole model.

    It uses one backward pass through the reference loop. The gradient of a state includes all paths.

    Args:
        subject: the model and its inputs.
        of: `"score"` or `"loss"`.

    Returns:
        For each call of a recurrent layer its name, shape, lengths `(batch,)` and the norms
        `(states, layers, directions, batch, time)`, steps in the order of time.
    """
    if of == "loss" and subject.loss is None:
        raise UsageError("of='loss' needs the targets: give y (for a module, loss=)")
    calls: list[tuple[LayerCall, _Kept]] = []

    def serve(call: LayerCall) -> tuple[Tensor, State]:
        kept = _Kept()
        calls.append((call, kept))
        # only the states need gradients, not the parameters
        return replay(call.stack, call.values, call.weights, call.lengths, call.states, watcher=kept)

    refuse_inference_mode()
    with torch.enable_grad(), serving(subject.network, serve, replace=True):
        total = subject.loss(subject.batch)[0] if of == "loss" and subject.loss else subject.scores().sum()
        seen = [(i, place, name) for i, (_, kept) in enumerate(calls) for place, name in kept.seen]
        states = [calls[i][1].seen[place, name] for i, place, name in seen]
        if not total.requires_grad:
            raise UsageError(f"the {of} has no gradient with respect to the recurrent layers")
        gradients = torch.autograd.grad(total, states, allow_unused=True)
    found = []
    for call, _ in calls:
        batch, steps = call.values.shape[:2]
        shape = (len(call.stack.cell.states), call.stack.num_layers, call.stack.directions, batch, steps)
        found.append((call, call.values.new_zeros(shape, dtype=torch.float64)))
    for (i, place, name), gradient in zip(seen, gradients, strict=True):
        if gradient is not None:
            found[i][1][name, place.layer, place.direction, :, place.time] = _norm(gradient)
    result = []
    for call, norms in found:
        full = torch.full(norms.shape[3:4], norms.shape[4])
        lengths = full if call.lengths is None else call.lengths.cpu()
        name = call.name if call.number == 0 else f"{call.name} (call {call.number + 1})"
        result.append((name, call.stack, lengths, norms.detach()))
    return result


class _Kept:
    """A hook that stores the states as nodes of the autograd graph."""

    alters = False

    def __init__(self) -> None:
        self.seen: dict[tuple[Place, int], Tensor] = {}

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """Returns the gate unchanged."""
        return gate

    def stepped(self, place: Place, step: Step) -> State:
        """Continues with copies, so that the gradient of the cell state excludes the path through the hidden state."""
        copies = tuple(s.clone().requires_grad_() if not s.requires_grad else s.clone() for s in step.state)
        self.seen.update({(place, i): s for i, s in enumerate(copies)})
        return copies


def _norm(gradient: Tensor) -> Tensor:
    # in double precision: float32 cannot hold the square of 1e-20
    return torch.linalg.vector_norm(gradient, dim=-1, dtype=torch.float64)


def targets_in_own_order(run: LayerRun, times: Sequence[int] | None) -> Tensor:
    """Returns target steps `(directions, targets, batch)` in the order of each direction; -1 if a step does not exist.

    Args:
        run: a call of a recurrent layer.
        times: steps in the order of time; None for the last step of each direction.
    """
    lengths = run.lengths
    if times is None:
        return (lengths - 1).expand(run.stack.directions, 1, -1)
    goal = torch.tensor(list(times)).unsqueeze(1)  # (targets, 1)
    there = goal < lengths
    both = [torch.where(there, goal, -1), torch.where(there, lengths - 1 - goal, -1)]
    return torch.stack(both[: run.stack.directions])


def in_time(norms: Tensor, run: DirectionRun) -> Tensor:
    """Converts norms `(states, targets, time, batch)` from the order of the direction to the order of time."""
    return reorder(norms.permute(2, 3, 0, 1), run.order).permute(2, 3, 0, 1)
