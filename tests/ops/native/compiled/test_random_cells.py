"""Cells with random equations: compiled, they give what the reference gives."""

from __future__ import annotations

import os
import random

import pytest
import torch
import torch.nn.functional as F

from recurra.cells import Cell, Step, linear
from recurra.ops import Stack, explain, recurrence

CELLS = int(os.environ.get("RECURRA_RANDOM_CELLS", "120"))

ONE = (
    torch.sigmoid,
    torch.tanh,
    torch.relu,
    lambda v: torch.exp(v.clamp(max=2)),
    F.softplus,
    torch.abs,
    lambda v: -v,
    lambda v: v * v * 0.5,
    lambda v: v.clamp(-1, 1),
    lambda v: torch.log(1 + v * v),
    lambda v: torch.sqrt(1 + v * v),
    lambda v: v - v.mean(-1, keepdim=True),
    lambda v: F.layer_norm(v, (v.shape[-1],)),
    lambda v: v * v.sum(-1, keepdim=True).tanh(),
)
TWO = (
    torch.add,
    torch.sub,
    torch.mul,
    lambda a, b: a / (1 + b * b),
    torch.minimum,
    torch.maximum,
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.where(a < 0.1, b, a),
)


class RandomCell(Cell):
    """Three states, one of twice the size; gates, products and operations chosen by the seed."""

    name, gates, states = "random", (), ("hidden", "memory", "wide")

    def __init__(self, seed):
        self.seed = seed

    def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
        n, count = hidden_size, random.Random(self.seed).randint(1, 4)
        shapes = {
            "weight_ih": (count * n, input_size),
            "weight_hh": (count * n, n),
            "weight_within": (n, n),
            "weight_wide": (2 * n, 2 * n),
            "vector": (n,),
            "wide_vector": (2 * n,),
            "rows": (2, n),
        }
        return shapes | ({"bias_ih": (count * n,), "bias_hh": (count * n,)} if bias else {})

    def state_sizes(self, hidden_size, *, proj_size=0):
        return (hidden_size, hidden_size, 2 * hidden_size)

    def step(self, x, state, weights):
        draw = random.Random(self.seed)
        h, m, wide = state
        count = draw.randint(1, 4)
        of_x, of_h = linear(x, weights, "ih"), linear(h, weights, "hh")
        values = [h, m, *wide.chunk(2, -1)]
        values += [part for whole in (of_x, of_h, of_x + of_h) for part in whole.chunk(count, -1)]
        if draw.random() < 0.5:
            values += [weights["vector"], *weights["rows"]]
        if draw.random() < 0.5 and x.shape[-1] == h.shape[-1]:
            values.append(x)
        if draw.random() < 0.4:
            values += (wide @ weights["weight_wide"].T).split(h.shape[-1], dim=-1)
        if draw.random() < 0.3:
            values += (wide * weights["wide_vector"]).tanh().chunk(2, -1)
        for _ in range(draw.randint(3, 14)):
            kind = draw.random()
            if kind < 0.4:
                value = draw.choice(ONE)(draw.choice(values))
            elif kind < 0.9:
                value = draw.choice(TWO)(draw.choice(values), draw.choice(values))
            else:
                value = torch.tanh(draw.choice(values)) @ weights["weight_within"].T
            values.append(value + h * 0 if value.ndim == 1 else value)
        new = [
            torch.tanh(draw.choice(values[-6:]) + h * 0) if draw.random() < 0.8 else draw.choice([h, m])
            for _ in range(4)
        ]
        return Step((new[0], new[1], torch.cat(new[2:], -1)), ())


@pytest.mark.parametrize("part", range(6))
def test_random_equations(part):
    for seed in range(part, CELLS, 6):
        draw = random.Random(seed + 1)
        hidden = draw.choice([1, 3, 8, 16, 20])
        stack = Stack(
            RandomCell(seed),
            draw.choice([hidden, 2 * hidden, 5]),
            hidden,
            draw.choice([1, 2]),
            draw.random() < 0.5,
            draw.random() < 0.8,
        )
        generator = torch.Generator().manual_seed(seed)
        options = {"generator": generator, "dtype": torch.float64}
        weights = [(torch.randn(s, **options) * 0.3).requires_grad_() for _, s in stack.named_shapes()]
        batch, steps = draw.choice([1, 3, 9, 18]), draw.choice([1, 4, 9])
        values = torch.randn(batch, steps, stack.input_size, **options).requires_grad_()
        lengths = torch.randint(0, steps + 1, (batch,), generator=generator)
        states = tuple(torch.randn(shape, **options).requires_grad_() for shape in stack.state_shapes(batch))
        arguments = stack, values, weights, lengths, states
        assert explain(*arguments, batch_first=True).engine == "compiled", explain(*arguments, batch_first=True)
        found = []
        for engine in ("compiled", "reference"):
            output, last = recurrence(*arguments, batch_first=True, engine=engine)
            seeded = torch.Generator().manual_seed(0)
            loss = sum((t * torch.randn(t.shape, generator=seeded, dtype=t.dtype)).sum() for t in (output, *last))
            inputs = [values, *weights, *states]
            grads = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
            found.append([output, *last, *grads])
        torch.testing.assert_close(*found, rtol=1e-7, atol=1e-8, msg=lambda text, seed=seed: f"cell {seed}: {text}")
