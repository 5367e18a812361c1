"""Where a loss that is not a finite number comes from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recurra.nn import RECURRENT
from recurra.training.settings import Carrying, Objective

from .statistics import Activity, Bad, bad_inputs, bad_weights


def first_bad(network: torch.nn.Module, objective: Objective, batch: Any, seed: Callable[[], Any]) -> Bad | None:
    """The first number of a training step that is not finite: in the weights, the inputs, or what came of them.

    Args:
        network: in the state in which the step found it.
        objective: its loss is computed once more; what it carried is given up.
        batch: the batch of the step.
        seed: resets the generator of dropout to its state before the step.

    Returns:
        None where nothing bad is found in front of the loss itself.
    """
    found = bad_weights(network) or bad_inputs(batch.values, batch.lengths)
    if found is not None:
        return found
    if isinstance(objective, Carrying):
        objective.carry(None)  # what the step carried away may be bad already
    seen: list[Bad] = []
    hooks = [
        module.register_forward_hook(partial(_look, name, seen), with_kwargs=True)
        for name, module in network.named_modules()
        if isinstance(module, RECURRENT) or not list(module.children())
    ]
    try:
        seed()
        with torch.no_grad():
            objective.loss(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None


def _look(name: str, seen: list[Bad], module: Any, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
    """Notes the first module whose output is bad."""
    first = output[0] if isinstance(output, tuple) else output
    if seen or not isinstance(first, Tensor) or bool(torch.isfinite(first).all()):
        return
    bad = ~torch.isfinite(first)
    row = int(bad.nonzero()[0][0]) if bad.dim() else None
    found = Bad(int(bad.sum()), f"output of {name}", float(first[bad][0]), row)
    if isinstance(module, RECURRENT):
        values, lengths, states = layer_call(module, *args, **kwargs)
        activity = Activity(name, module.stack)
        activity.run(values, module.weights(), lengths, states)
        found = activity.bad or found  # dropout between the layers may have had a part in it
    seen.append(found)


def layer_call(layer: Any, input: Tensor, hx: Any = None, lengths: Any = None, states: Any = None) -> tuple:
    """The batch-first values `(batch, time, features)`, lengths and states of a call of one of our layers."""
    if hasattr(layer, "prepare"):
        values, states, lengths = layer.prepare(input, hx, lengths)
    else:
        values, states = input, hx if states is None else states
    lengths = None if lengths is None else torch.as_tensor(lengths)
    return values if layer.batch_first else values.transpose(0, 1), lengths, states
