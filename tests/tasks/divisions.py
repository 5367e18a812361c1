"""Checks that a stepper gives the bits of the offline prediction, for any division of sequences into steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import load, save

from recurra.tasks.serving.stepper import Stepper


@contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rebuilt(model: Any, **params: Any) -> Any:
    """A copy of a fitted model with random weights of other sizes: the bits matter, the quality does not."""
    model = copy.deepcopy(model)  # other tests use the model too
    model.set_params(**params)
    resolved = getattr(model, "resolved_params_", {})
    resolved.update({name: value for name, value in params.items() if name in resolved})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.network_ = model._build()
        with torch.no_grad():
            for name, weight in model.network_.named_parameters():
                if weight.abs().max() == 0:  # biases that begin as zeros
                    weight.normal_()
                assert name
    return model


def check_divisions(
    data: Any,
    stepper: Stepper,
    sequences: Sequence[Any],
    offline: Callable[[list[Any]], Any],
    parse: Callable[[Any], Any] | None = None,
    rounds: int = 6,
    most: int = 5,
) -> None:
    """Advances several sequences by steps that `data` draws, and compares each answer with that of the prefix.

    Args:
        data: of `hypothesis.strategies.data`.
        stepper: what is tested.
        sequences: sequences that can be cut with slices.
        offline: predictions `(sequences, outputs)` for a list of prefixes.
        parse: converts a part of a sequence to an item of `advance`.
        rounds: calls of `advance` at most.
        most: steps of a sequence in one call at most.
    """
    parse = parse or (lambda part: part)
    count = len(sequences)
    states, rests, done = stepper.start(count), [""] * count, [0] * count
    specs = {name: (tuple(t.shape[1:]), t.dtype) for name, t in states.items()}
    assert specs == {name: (spec.shape, spec.dtype) for name, spec in stepper.specs.items()}
    order = list(range(count))
    for _ in range(rounds):
        chosen = data.draw(st.permutations(order))[: data.draw(st.integers(1, count))]
        sizes = [data.draw(st.integers(0, most)) for _ in chosen]
        parts = [sequences[i][done[i] : done[i] + size] for i, size in zip(chosen, sizes, strict=True)]
        rows = torch.tensor(chosen)
        given = {name: tensor[rows] for name, tensor in states.items()}
        if data.draw(st.booleans()):
            given = load(save(given))
        before = {name: tensor.clone() for name, tensor in given.items()}
        with threads(data.draw(st.integers(1, 2))):
            found = stepper.advance(given, [rests[i] for i in chosen], [parse(part) for part in parts])
        assert all(same_bits(given[name], before[name]) for name in before), "advance changed the states it was given"
        assert found.states.keys() == stepper.specs.keys()
        for name, tensor in found.states.items():
            assert tensor.dtype == stepper.specs[name].dtype
            states[name][rows] = tensor
        for i, rest, part in zip(chosen, found.rests, parts, strict=True):
            rests[i], done[i] = rest, done[i] + len(part)
        wanted = offline([sequences[i][: done[i]] for i in chosen])
        for row, i in enumerate(chosen):
            one, other = np.asarray(found.outputs[row]), np.asarray(wanted[row])
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), (i, done[i], one, other)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()
