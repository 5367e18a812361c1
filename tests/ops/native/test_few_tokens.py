"""Calls with few tokens, which read the unpacked weights once for all sequences, against torch's layers."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra import nn

KINDS = ("LSTM", "GRU", "RNN")
CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 2e-6}, torch.float64: {"rtol": 1e-11, "atol": 1e-13}}


@st.composite
def calls(draw):
    """A layer with its torch counterpart, values, initial states or none, and lengths or none."""
    kind, dtype = draw(st.sampled_from(KINDS)), draw(st.sampled_from(list(CLOSE)))
    inputs, hidden = draw(st.sampled_from([1, 7, 16, 40])), draw(st.sampled_from([1, 3, 16, 33, 130]))
    settings = {"num_layers": draw(st.sampled_from([1, 2])), "bidirectional": draw(st.booleans())}
    if kind == "LSTM" and hidden > 1 and draw(st.booleans()):
        settings["proj_size"] = hidden // 2
    torch.manual_seed(draw(st.integers(0, 9)))
    steps = draw(st.sampled_from([1, 1, 2, 3]))
    batch = draw(st.integers(1, 12 // steps))
    theirs = getattr(torch.nn, kind)(inputs, hidden, dtype=dtype, **settings)
    ours = getattr(nn, kind)(inputs, hidden, dtype=dtype, **settings)
    ours.load_state_dict(theirs.state_dict())
    rows = settings["num_layers"] * (1 + settings["bidirectional"])
    states = None
    if draw(st.booleans()):
        h = torch.randn(rows, batch, settings.get("proj_size", hidden), dtype=dtype)
        states = (h, torch.randn(rows, batch, hidden, dtype=dtype)) if kind == "LSTM" else h
    lengths = None
    if draw(st.booleans()):
        lengths = torch.tensor(draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)))
    return ours, theirs, torch.randn(steps, batch, inputs, dtype=dtype), states, lengths


def flat(result) -> list[torch.Tensor]:
    output, states = result
    return [output, *(states if isinstance(states, tuple) else [states])]


def run_torch(layer, x, states, lengths):
    if lengths is None:
        return layer(x, states)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, states = layer(packed, states)
    return torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(x))[0], states


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@settings(deadline=None, max_examples=300)
@given(calls())
def test_results_are_those_of_torch(call):
    ours, theirs, x, states, lengths = call
    with torch.no_grad():
        wanted = flat(run_torch(theirs, x, states, lengths))
        if lengths is not None:
            padding = torch.arange(len(x))[:, None] >= lengths
            x = torch.where(padding[..., None], torch.nan, x)
        found = flat(ours(x, states, lengths=lengths))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, **CLOSE[x.dtype])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(16, 16), (5, 33), (300, 300)])
def test_a_step_of_a_sequence_does_not_depend_on_the_others(kind, size):
    torch.manual_seed(0)
    layer, x = getattr(nn, kind)(*size), torch.randn(1, 12, size[0])
    with torch.no_grad():
        together = layer(x)[0]
        alone = torch.cat([layer(x[:, i : i + 1])[0] for i in range(12)], 1)
        some = torch.cat([layer(x[:, :5])[0], layer(x[:, 5:])[0]], 1)
    assert torch.equal(together, alone)
    assert torch.equal(together, some)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("steps", "batch"), [(1, 30), (2, 15), (6, 6), (36, 1)])
def test_gradients_with_tokens_that_only_the_forward_pass_counts_as_few(kind, steps, batch):
    """With so many weights, the forward pass reads them unpacked and the backward pass packs them."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(520, 520, dtype=torch.float64)
    ours = getattr(nn, kind)(520, 520, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(steps, batch, 520, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(steps, batch, 520, dtype=torch.float64)
    found = []
    for layer in (theirs, ours):
        values = copy.deepcopy(x)
        layer(values)[0].backward(upstream)
        found.append([values.grad, *(parameter.grad for parameter in layer.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, **CLOSE[torch.float64])
