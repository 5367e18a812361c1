"""Shapes of stacks."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import GRU, LSTM, RNN
from recurra.ops import Stack


def test_by_default_one_layer_in_one_direction_with_biases():
    stack = Stack(RNN(), 2, 3)
    assert (stack.num_layers, stack.bidirectional, stack.bias, stack.proj_size) == (1, False, True, 0)
    assert (stack.directions, stack.state_sizes, stack.output_size) == (1, (3,), 3)
    assert dict(stack.named_shapes()) == {
        "weight_ih_l0": (3, 2), "weight_hh_l0": (3, 3), "bias_ih_l0": (3,), "bias_hh_l0": (3,),
    }  # fmt: skip


def test_a_deep_stack_of_both_directions_with_a_projection():
    stack = Stack(LSTM(), 2, 5, 2, True, False, 3)
    assert (stack.directions, stack.state_sizes, stack.output_size) == (2, (3, 5), 6)
    assert stack.inner_sizes == {"input": 5, "forget": 5, "candidate": 5, "output": 5, "hidden": 3, "cell": 5}
    shapes = [(20, 2), (20, 3), (3, 5)] * 2 + [(20, 6), (20, 3), (3, 5)] * 2
    names = [
        f"weight_{kind}_l{layer}{direction}"
        for layer in (0, 1)
        for direction in ("", "_reverse")
        for kind in ("ih", "hh", "hr")
    ]
    assert stack.named_shapes() == tuple(zip(names, shapes, strict=True))
    assert stack.state_shapes(7) == ((4, 7, 3), (4, 7, 5))
    assert stack.result_shapes(7, 9, batch_first=True) == ((7, 9, 6), (4, 7, 3), (4, 7, 5))
    assert stack.result_shapes(7, 9, batch_first=False)[0] == (9, 7, 6)
    weights = [torch.zeros(shape) for shape in shapes]
    groups = stack.split(weights)
    assert [list(group) for group in groups] == [["weight_ih", "weight_hh", "weight_hr"]] * 4
    assert [group["weight_hr"].data_ptr() for group in groups] == [weights[i].data_ptr() for i in (2, 5, 8, 11)]


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers"])
def test_sizes_begin_with_1(name):
    sizes = {"input_size": 1, "hidden_size": 1, "num_layers": 1}
    assert Stack(GRU(), **sizes).output_size == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got {wrong}"):
            Stack(GRU(), **{**sizes, name: wrong})
