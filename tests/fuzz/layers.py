"""One random recurrent layer, compared with torch's in outputs, states and gradients."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

import recurra
from recurra import nn

LARGE = 1e38
SPECIAL = (float("nan"), float("inf"), -float("inf"), LARGE, 1e-42, 0.0)
OVERFLOW = 1e30
"""From about here on, sums of products may exceed float32 in one order of summation and not in another."""


def compare(seed: int) -> None:
    """Draws a layer and its input; raises `AssertionError` if the two layers differ."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    options = draw_options(rng)
    dtype = rng.choice((torch.float32, torch.float32, torch.float64))
    theirs = getattr(torch.nn, options.pop("kind"))(**options).to(dtype)
    ours = getattr(nn, type(theirs).__name__)(**options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    damage_weights(rng, theirs, ours)
    values, states = draw_input(rng, theirs, dtype)
    trains = rng.random() < 0.6
    found = [outcome(layer, values, states, trains) for layer in (ours, theirs)]
    large = any((t == LARGE).any() for t in (values, *theirs.parameters()))
    exact = outcome(deepcopy(theirs).double(), *doubled(values, states), trains) if large else found[1]
    for (name, mine), (_, right), (_, reference) in zip(*found, exact, strict=True):
        tolerance = 1e-9 if dtype == torch.float64 else 2e-4
        if large:
            mine, right = without_overflow(mine, right, reference)
        scale = max(1.0, float(right.detach().nan_to_num(0, 0, 0).abs().max())) if right.numel() else 1.0
        torch.testing.assert_close(
            mine / scale, right / scale, rtol=tolerance, atol=tolerance, equal_nan=True,
            msg=lambda text, name=name: f"{name}: {type(theirs).__name__} {options} {tuple(values.shape)}: {text}",
        )  # fmt: skip
    if rng.random() < 0.3:
        refuse_other_devices(rng, ours, values)


def doubled(values: Tensor, states: Any) -> tuple[Tensor, Any]:
    """The input and the initial states in double precision."""
    if isinstance(states, tuple):
        return values.double(), tuple(state.double() for state in states)
    return values.double(), None if states is None else states.double()


def without_overflow(mine: Tensor, right: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Sets to zero where torch's number is out of range; there ours must be so too, if the exact one is.

    Whether a sum overflows, and whether infinities of both signs meet in it, depends on the order of its terms.
    """
    left_out = ~(right.abs() < OVERFLOW)
    both = left_out & ~(exact.abs() < OVERFLOW)
    assert not (mine[both].abs() < OVERFLOW / 10).any(), "a small number where torch's and the exact one are large"
    return mine.masked_fill(left_out, 0), right.masked_fill(left_out, 0)


def draw_options(rng: random.Random) -> dict[str, Any]:
    """Arguments of a layer."""
    kind = rng.choice(("LSTM", "GRU", "RNN"))
    options: dict[str, Any] = {
        "kind": kind,
        "input_size": rng.choice((1, 2, 3, 7, 16, 33)),
        "hidden_size": rng.choice((1, 2, 5, 16, 17, 31, 64)),
        "num_layers": rng.choice((1, 1, 2, 3)),
        "bias": rng.random() < 0.8,
        "batch_first": rng.random() < 0.5,
        "bidirectional": rng.random() < 0.4,
    }
    if kind == "RNN":
        options["nonlinearity"] = rng.choice(("tanh", "relu"))
    if kind == "LSTM" and options["hidden_size"] > 1 and rng.random() < 0.3:
        options["proj_size"] = rng.randint(1, options["hidden_size"] - 1)
    return options


def damage_weights(rng: random.Random, *layers: torch.nn.Module) -> None:
    """Puts special numbers into the weights of both layers, sometimes."""
    if rng.random() < 0.7:
        return
    name, weight = rng.choice(list(layers[0].named_parameters()))
    place, value = rng.randrange(weight.numel()), draw_special(rng, layers[0])
    for layer in layers:
        with torch.no_grad():
            layer.get_parameter(name).view(-1)[place] = value


def draw_special(rng: random.Random, layer: Any) -> float:
    """A special number; not the large one where nothing bounds the states, since sums of them overflow soon."""
    return rng.choice([value for value in SPECIAL if value != LARGE or "RELU" not in layer.mode])


def draw_input(rng: random.Random, layer: Any, dtype: torch.dtype) -> tuple[Tensor, Any]:
    """Input `(time, batch, features)`, or another layout that torch takes, and initial states or None."""
    batch, time = rng.choice((1, 1, 2, 3, 9, 33)), rng.choice((1, 1, 2, 5, 30))
    shape = (batch, time) if layer.batch_first else (time, batch)
    values = torch.randn(*shape, layer.input_size, dtype=dtype)
    layout = rng.random()
    if layout < 0.15:
        values = torch.randn(layer.input_size, *shape, dtype=dtype).permute(1, 2, 0)
    elif layout < 0.3:
        values = torch.randn(*shape, 2 * layer.input_size, dtype=dtype)[..., ::2]
    elif layout < 0.4:
        values = torch.randn(*shape, 1, dtype=dtype).expand(*shape, layer.input_size)
    elif layout < 0.5:
        values = torch.complex(values, values).conj().imag.detach()  # carries torch's lazy negative bit
    alone = rng.random() < 0.15
    if alone:
        values, batch = values[0] if layer.batch_first else values[:, 0], 1
    if rng.random() < 0.15 and values.numel():
        values = values.contiguous().clone()
        values.view(-1)[rng.randrange(values.numel())] = draw_special(rng, layer)
    if rng.random() < 0.5:
        return values, None
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 2 if layer.mode == "LSTM" else 1]
    states = [torch.randn(rows, batch, size, dtype=dtype) for size in sizes]
    if alone:
        states = [state[:, 0] for state in states]
    return values, tuple(states) if len(states) == 2 else states[0]


def outcome(layer: torch.nn.Module, values: Tensor, states: Any, trains: bool) -> list[tuple[str, Tensor]]:
    """Outputs and final states, and in training all gradients, each with its name."""
    layer.train(trains)
    layer.zero_grad()
    values = values.clone().requires_grad_() if trains else values
    with torch.set_grad_enabled(trains):
        output, final = layer(values, states)
    final = final if isinstance(final, tuple) else (final,)
    found = [("output", output), *((f"state {i}", state) for i, state in enumerate(final))]
    if trains:
        (output.sum() + sum((state * state).sum() for state in final)).backward()
        found += [("gradient of the input", values.grad)]
        found += [(f"gradient of {name}", p.grad) for name, p in layer.named_parameters()]
    return found  # type: ignore[return-value]


def refuse_other_devices(rng: random.Random, layer: torch.nn.Module, values: Tensor) -> None:
    """A tensor of another device or without storage is an error that says so, never a crash."""
    name, weight = rng.choice(list(layer.named_parameters()))
    kind = rng.choice(("meta weight", "meta input", "freed weight"))
    if kind == "freed weight":
        weight.untyped_storage().resize_(0)
    elif kind == "meta weight":
        owner = layer
        setattr(owner, name, torch.nn.Parameter(weight.detach().to("meta")))
    else:
        values = values.to("meta")
    try:
        with torch.no_grad():
            layer(values)
    except (RuntimeError, ValueError, recurra.errors.RecurraError):
        return
    raise AssertionError(f"{kind} {name}: no error")
