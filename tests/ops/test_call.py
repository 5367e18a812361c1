"""Lengths in every form that users bring: right, or one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recurra import nn
from recurra.errors import UsageError

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
