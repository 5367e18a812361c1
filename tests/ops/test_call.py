"""Lengths in every form that users bring: right, or one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recurra import nn
from recurra.cells import LSTM
from recurra.errors import UsageError
from recurra.ops import CallSpec, Stack
from recurra.ops.call import prepare

RIGHT = [5, 2, 0]
INTEGERS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
FORMS: dict[str, Any] = {
    "tuple": tuple(RIGHT),
    "tensors": [torch.tensor(n) for n in RIGHT],
    "every other": torch.tensor([5, 9, 2, 9, 0, 9])[::2],
    "negative bit": torch._neg_view(torch.tensor([-5, -2, 0])),
    **{f"tensor of {name}": torch.tensor(RIGHT).to(getattr(torch, name)) for name in INTEGERS},
    **{f"array of {name}": np.array(RIGHT, dtype=name) for name in INTEGERS},
}
WRONG: dict[str, tuple[Any, str]] = {
    "set": ({5, 2, 0}, "a set has no such order"),
    "frozenset": (frozenset({5, 2, 0}), "a frozenset has no such order"),
    "dict": ({0: 5, 1: 2, 2: 0}, "a dict has no such order"),
    "generator": ((n for n in RIGHT), "cannot read generator"),
    "text": ("520", "cannot read str"),
    "words": (["5", "2", "0"], "cannot read list"),
    "None inside": ([5, None, 0], "cannot read list"),
    "objects": (np.array([5, 2, None]), "cannot read ndarray"),
    "uneven": ([[5], [2, 1]], "cannot read list"),
    "bool": (torch.tensor([True, True, False]), "whole numbers, got torch.bool"),
    "float": (torch.tensor([5.0, 2.0, 0.0]), "whole numbers, got torch.float32"),
    "float array": (np.array([5.0, 2.0, 0.0]), "whole numbers, got torch.float64"),
    "complex": (torch.tensor(RIGHT) + 0j, "whole numbers, got torch.complex64"),
    "two axes": (torch.tensor([[5], [2], [0]]), r"shape \(3,\), one per sequence; got \(3, 1\)"),
    "one number": (5, r"shape \(3,\), one per sequence; got \(\)"),
    "too few": ([5, 2], r"shape \(3,\), one per sequence; got \(2,\)"),
    "negative": ([5, -1, 0], "between 0 and the 5 steps of the batch; got -1 to 5"),
    "too long": (torch.tensor([6, 2, 0]), "between 0 and the 5 steps of the batch; got 0 to 6"),
    "beyond int64": (torch.tensor([2**63 + 1, 2, 0], dtype=torch.uint64), "between 0 and the 5 steps"),
    "beyond every type": ([2**70, 2, 0], "cannot read list"),
    "another device": (torch.tensor(RIGHT, device="meta"), "on the device meta"),
    "sparse": (torch.tensor(RIGHT).to_sparse(), "the layout torch.sparse_coo"),
}


@pytest.fixture(params=["infer", "train", "reference", "memoryless"])
def run(request):
    """A layer called with lengths; its output."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, 3)
    layer = nn.Memoryless(3, 4) if request.param == "memoryless" else nn.GRU(3, 4, batch_first=True)
    if request.param == "reference":
        layer.engine = "reference"

    def call(lengths: Any) -> torch.Tensor:
        with torch.set_grad_enabled(request.param == "train"):
            return layer(x, lengths=lengths)[0]

    return call


@pytest.mark.parametrize("lengths", FORMS.values(), ids=FORMS.keys())
def test_whole_numbers_of_any_type_are_lengths(run, lengths):
    torch.testing.assert_close(run(lengths), run(RIGHT), rtol=0, atol=0)


@pytest.mark.parametrize(("lengths", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_length_is_refused_in_one_sentence(run, lengths, message):
    with pytest.raises(UsageError, match=message) as caught:
        run(lengths)
    assert "\n" not in str(caught.value)


def test_lengths_whose_memory_was_freed_are_refused(run):
    lengths = torch.tensor(RIGHT)
    lengths.untyped_storage().resize_(0)
    with pytest.raises(UsageError, match="freed"):
        run(lengths)


STACK = Stack(LSTM(), 3, 4, 2, True, proj_size=2)


def about(steps=5, batch=2, grad=(), states=False, **options):
    """The description of a call; `grad` names what needs a gradient."""
    first, second = (batch, steps) if options.get("batch_first") else (steps, batch)
    values = torch.zeros(first, second, 3, requires_grad="values" in grad)
    weights = [torch.zeros(shape) for _, shape in STACK.named_shapes()]
    weights[-1].requires_grad_("weight" in grad)
    given = tuple(torch.zeros(4, batch, size) for size in (2, 4)) if states else None
    if "state" in grad:
        given[1].requires_grad_()
    return prepare(STACK, values, weights, options.pop("lengths", None), given, **options)[0]


def test_a_call_is_described_by_its_arguments():
    plain = CallSpec(
        STACK, torch.device("cpu"), torch.float32, False, 5, 2, False, False, False, 0.0, False, 0, "float32"
    )
    assert about() == about(states=True) == plain
    assert about(batch_first=True) == replace(plain, batch_first=True)
    assert about(steps=7, batch=4, lengths=[7, 0, 1, 2]) == replace(plain, steps=7, batch=4, ragged=True)
    changed = {"dropout": 0.3, "training": True, "precision": "bfloat16"}
    assert about(**changed) == replace(plain, **changed)
    with torch.autocast("cpu"):
        assert about() == replace(plain, mixed=True)
    for grad, states in (["values"], False), (["weight"], True), (["state"], True):
        assert about(grad=grad, states=states).needs_grad is True
        with torch.no_grad():
            assert about(grad=grad, states=states).needs_grad is False
    assert [tuple(s.shape) for s in plain.zeros(torch.zeros(1))] == [(4, 2, 2), (4, 2, 4)]


@pytest.mark.parametrize(("steps", "chunk"), [(0, 1), (1, 1), (3, 1), (4, 2), (8, 2), (9, 3), (100, 10)])
def test_recomputing_stores_the_square_root_of_the_steps(steps, chunk):
    assert about(steps=steps, memory="recompute").chunk == chunk
    assert about(steps=steps).chunk == about(steps=steps, memory="full").chunk == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, w, s: (v[0], w, s), "3 dimensions, the last of size 3; got"),
        (lambda v, w, s: (v[..., :2], w, s), "3 dimensions, the last of size 3; got"),
        (lambda v, w, s: (v, w[:-1], s), "has 20 weights, got 19"),
        (lambda v, w, s: (v, [w[0][:-1], *w[1:]], s), r"weight_ih_l0 must have shape \(16, 3\), got \(15, 3\)"),
        (lambda v, w, s: (v, [*w[:-1], w[-1].double()], s), "values are torch.float32 but .* is torch.float64"),
        (lambda v, w, s: (v, w, s[:1]), r"lstm has 2 states \(hidden, cell\), got 1"),
        (lambda v, w, s: (v, w, (s[0], s[0])), r"the initial cell state must have shape \(4, 2, 4\), got \(4, 2, 2\)"),
        (lambda v, w, s: (v, w, (s[0][:2], s[1])), r"the initial hidden state must have shape \(4, 2, 2\)"),
        (lambda v, w, s: (v, w, (s[0].double(), s[1])), "but the initial hidden state is torch.float64"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    weights = [torch.zeros(shape) for _, shape in STACK.named_shapes()]
    states = tuple(torch.zeros(4, 2, size) for size in STACK.state_sizes)
    values, weights, states = change(torch.zeros(5, 2, 3), weights, states)
    with pytest.raises(UsageError, match=message):
        prepare(STACK, values, weights, None, states)


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_memory_and_sizes_are_compared_by_value():
    assert about(steps=9, memory=other("recompute")).chunk == 3
    stack = Stack(LSTM(), int("300"), 4, 40, True)
    assert len(stack.named_shapes()) == 320
    weights = [torch.zeros(shape) for _, shape in stack.named_shapes()]
    assert prepare(stack, torch.zeros(1, 1, 300), weights)[0].stack == stack
    with pytest.raises(UsageError, match="has 320 weights, got 319"):
        prepare(stack, torch.zeros(1, 1, 300), weights[1:])
