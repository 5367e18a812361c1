"""Compiled cells against the readable reference: values, states and all gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from recurra import nn
from recurra.cells import GRU, LSTM, SLSTM, Cell, Mask, Step, linear, registry
from recurra.errors import EngineError
from recurra.ops import Stack, explain, recurrence

CONFIGURATIONS = int(os.environ.get("RECURRA_CONFIGURATIONS", "12"))  # of each cell; more than 200 in all


class MyLSTM(LSTM):
    name = "my_lstm"


class Everything(Cell):
    """Most operations that can be compiled; two states, rows of a matrix, a product within the step."""

    name, gates, states = "everything", ("a", "b"), ("hidden", "memory")

    def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
        n = hidden_size
        return {
            "weight_ih": (2 * n, input_size),
            "weight_hh": (2 * n, n),
            "weight_r": (n, n),
            "bias": (2 * n,),
            "gain": (n,),
            "rows": (3, n),
        }

    def step(self, x, state, weights):
        h, m = state
        first, second, third = weights["rows"]
        sums = F.layer_norm(x @ weights["weight_ih"].T + weights["bias"], (2 * h.shape[-1],))
        a, b = torch.split(sums + F.linear(h, weights["weight_hh"]), h.shape[-1], dim=-1)
        a = F.softplus(a) * weights["gain"] + first.abs()
        r = torch.relu(b * h + second) @ weights["weight_r"].t()
        low, high = torch.minimum(a, b), torch.maximum(m * 0.9, a.clamp(max=1.5))
        scale = torch.exp(-(b**2)).mean(-1, keepdim=True) + high.var(-1, keepdim=True)
        m = torch.tanh(high + low.neg() * 0.1) / (1 + scale) + third
        h = torch.tanh(r) + 0.1 * torch.log(1 + m.square()) / (1 + a * a).sqrt()
        return Step((h - torch.where(b > 0, h, 0.5 * b) * m.sigmoid(), m), (a, b))


CELLS = [*(known.cell for known in registry.known().values()), SLSTM(2), SLSTM(4), MyLSTM(), Everything()]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.name}{getattr(cell, 'heads', '')}")


def draw(cell, seed, dtype=torch.float64):
    """A stack, its weights, a ragged batch and initial states."""
    generator = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high + 1, (), generator=generator))

    def numbers(*shape, scale=1.0):
        found = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return found.to(dtype).requires_grad_()

    hidden = number(1, 5) * 4 if seed % 2 else number(1, 3) * 16
    features, layers, batch, steps = number(1, 40), number(1, 2), number(0, 20), number(0, 8)
    features = hidden if seed % 3 == 0 else 2 * hidden if seed % 3 == 1 else features
    proj = number(1, hidden) if isinstance(cell, LSTM) and seed % 4 == 0 else 0
    stack = Stack(cell, features, hidden, layers, bool(number(0, 1)), bool(number(0, 2)), proj)
    weights = [numbers(*shape, scale=0.4 / hidden**0.5) for _, shape in stack.named_shapes()]
    values = numbers(batch, steps, features)
    lengths = torch.randint(0, steps + 1, (batch,), generator=generator) if number(0, 3) else None
    states = tuple(numbers(*shape, scale=0.3) for shape in stack.state_shapes(batch)) if number(0, 2) else None
    return stack, values, weights, lengths, states


def results(arguments, engine, **options):
    """Output, final states, and the gradients of a weighted sum of them."""
    stack, values, weights, lengths, states = arguments
    output, last = recurrence(stack, values, weights, lengths, states, batch_first=True, engine=engine, **options)
    generator = torch.Generator().manual_seed(0)
    loss = sum((t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum() for t in (output, *last))
    inputs = [values, *weights, *(states or ())]
    if not loss.requires_grad:  # no steps, no states
        return [output, *last, *map(torch.zeros_like, inputs)]
    return [output, *last, *torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)]


@every_cell
def test_values_and_gradients_are_those_of_the_reference(cell):
    for seed in range(CONFIGURATIONS):
        arguments = draw(cell, seed)
        found, wanted = results(arguments, "compiled"), results(arguments, "reference")
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10, msg=lambda m, s=seed: f"seed {s}: {m}")
        with torch.no_grad():
            stack, values, weights, lengths, states = arguments
            output, last = recurrence(stack, values, weights, lengths, states, batch_first=True, engine="compiled")
        torch.testing.assert_close([output, *last], found[: 1 + len(last)], rtol=1e-12, atol=1e-13)


@every_cell
def test_float32_is_as_exact_as_the_reference(cell):
    exact = results(draw(cell, 3), "reference")
    found, wanted = (results(draw(cell, 3, torch.float32), engine) for engine in ("compiled", "reference"))
    for ours, theirs, true in zip(found, wanted, exact, strict=True):
        if true.numel():
            limit = 1e-5 * (1 + true.abs().max()) + 4 * (theirs - true).abs().max()
            assert (ours - true).abs().max() <= limit


@every_cell
def test_every_number_of_threads_gives_the_same_bits(cell):
    stack = Stack(cell, 64, 64)
    generator = torch.Generator().manual_seed(0)
    weights = [(torch.randn(s, generator=generator) * 0.1).requires_grad_() for _, s in stack.named_shapes()]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 16):
            torch.set_num_threads(count)
            for batch in (1, 19):
                values = torch.randn(batch, 60, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
                lengths = torch.arange(batch) * 3 + 6
                found.append(results((stack, values, weights, lengths, None), "compiled"))
    finally:
        torch.set_num_threads(threads)
    for i, found_by in enumerate(found[2:]):
        torch.testing.assert_close(found_by, found[i % 2], rtol=0, atol=0)


@every_cell
def test_a_sequence_has_the_same_bits_beside_others(cell):
    stack = Stack(cell, 36, 36, 2)
    weights = [torch.randn(s, generator=torch.Generator().manual_seed(0)) * 0.1 for _, s in stack.named_shapes()]
    values = torch.randn(12, 30, 36, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([30, 4, 0, 17, 30, 2, 9, 30, 1, 8, 21, 30])
    poisoned = values.clone()
    for row, length in enumerate(lengths.tolist()):
        poisoned[row, length:] = torch.nan
    poisoned[7] = torch.inf  # one sequence that is no number must not change the others
    alone, _ = recurrence(stack, values[:3], weights, lengths[:3], batch_first=True, engine="compiled")
    beside, _ = recurrence(stack, poisoned, weights, lengths, batch_first=True, engine="compiled")
    torch.testing.assert_close(beside[:3], alone, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_other_instruction_sets_give_the_same(isa):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"RECURRA_ISA": isa, "RECURRA_CONFIGURATIONS": "3"}
    done = subprocess.run([*command, "-k", "reference or beside"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_session_gives_the_steps_of_a_call():
    for cell in (MyLSTM(), SLSTM(2), Everything()):
        layer = nn.Recurrent(cell, 5, 8, 2)
        x = torch.randn(6, 3, 5)
        with torch.no_grad():
            output, last = layer(x)
        session = layer.session(3)
        steps = torch.stack([session.step(one) for one in x])
        torch.testing.assert_close(steps, output, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(session.state, last, rtol=1e-5, atol=1e-6)
        session.state = last
        again = session.step(x[0])
        with torch.no_grad():
            torch.testing.assert_close(again, layer(x[:1], last)[0][0], rtol=1e-5, atol=1e-6)
        session.reset()
        torch.testing.assert_close(session.step(x[0]), output[0], rtol=1e-5, atol=1e-6)


def test_packed_weights_follow_changes_of_the_weights():
    layer, x = nn.Recurrent(MyLSTM(), 5, 8), torch.randn(7, 2, 5)
    with torch.no_grad():
        layer(x)
        layer.weight_hh_l0.data.mul_(0.5)
        found = layer(x)[0]
        layer.engine = "reference"
        torch.testing.assert_close(found, layer(x)[0], rtol=1e-5, atol=1e-6)


def test_a_changed_attribute_of_the_cell_is_compiled_again():
    class Leaky(Cell):
        name, gates, states = "leaky", (), ("hidden",)

        def __init__(self, rate):
            self.rate = rate

        def step(self, x, state, weights):
            return Step((state[0] * self.rate + linear(x, weights, "ih")[:, : state[0].shape[-1]],), ())

        def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
            return {"weight_ih": (hidden_size, input_size)}

    layer, x = nn.Recurrent(Leaky(0.5), 2, 3), torch.randn(4, 1, 2)
    assert layer.explain(x).engine == "compiled"
    for rate in (0.5, 0.25):
        layer.stack.cell.rate = rate
        layer.engine = "reference"
        wanted = layer(x)[0]
        layer.engine = "compiled"
        torch.testing.assert_close(layer(x)[0], wanted)


def test_a_cell_without_weights():
    class Mean(Cell):
        name, gates, states = "mean", (), ("hidden",)

        def step(self, x, state, weights):
            return Step((state[0] * 0.5 + x * 0.5,), ())

        def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
            return {}

    x = torch.randn(4, 2, 3, requires_grad=True)
    found = [nn.Recurrent(Mean(), 3, 3, engine=engine)(x)[0] for engine in ("compiled", "reference")]
    torch.testing.assert_close(*found)
    with torch.no_grad():
        torch.testing.assert_close(nn.Recurrent(Mean(), 3, 3)(x)[0], found[0])
    torch.testing.assert_close(*(torch.autograd.grad(one.square().sum(), x)[0] for one in found))


def test_second_derivatives_are_refused():
    layer, x = nn.Recurrent(MyLSTM(), 2, 3), torch.randn(4, 1, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    with pytest.raises(EngineError, match="compiled cells give first derivatives only"):
        grad.sum().backward()


@every_cell
def test_recomputed_chunks_give_the_same_gradients(cell):
    for seed in (1, 2, 7):
        arguments = draw(cell, seed)
        found, wanted = results(arguments, "compiled", memory="recompute"), results(arguments, "reference")
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


class Odd(GRU):
    def __init__(self, fault):
        self.fault = fault

    name = "odd"

    def step(self, x, state, weights):
        h = state[0]
        if self.fault == "cumsum":
            h = h.cumsum(-1)  # CUMSUM
        elif self.fault == "condition":
            h = h if h.sum(-1, keepdim=True) > 0 else -h  # CONDITION
        elif self.fault == "rows":
            h = h + torch.ones(h.shape[0], 1)  # ROWS
        elif self.fault == "axis":
            h = h - h.mean(0, keepdim=True)  # AXIS
        elif self.fault == "attribute":
            self.count = 1
        return Step((h,), super().step(x, state, weights).gates)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("cumsum", "tensor.cumsum"),
        ("condition", "a condition that depends on the values of a tensor"),
        ("rows", "a Tensor that is no weight, state or input"),
        ("axis", "not over the last axis"),
        ("attribute", "the step changes an attribute of the cell"),
    ],
)
def test_a_cell_that_cannot_be_compiled_runs_on_the_reference_and_the_line_is_named(fault, reason):
    layer, x = nn.Recurrent(Odd(fault), 2, 3), torch.randn(4, 1, 2)
    choice = explain(layer, x)
    assert choice.engine == "reference"
    assert reason in choice.refusals["compiled"]
    if fault != "attribute":
        source = Path(__file__).read_text(encoding="utf-8").splitlines()
        line = next(i for i, text in enumerate(source, 1) if text.endswith(f"# {fault.upper()}"))
        assert f"test_engine.py, line {line}" in choice.refusals["compiled"]
    assert layer(x)[0].isfinite().all()


class Masked(Cell):
    """Shows its masks: the new state is the sum of both."""

    name, gates, states = "masked", (), ("hidden",)

    def masks(self, hidden_size, *, proj_size=0):
        return {"fixed": Mask(hidden_size, 0.5), "fresh": Mask(hidden_size, 0.5, per_step=True)}

    def step(self, x, state, weights):
        h = 0 * state[0] + 0 * linear(x, weights, "ih").chunk(1, -1)[0]
        h = h + weights.get("fixed", torch.ones_like(h)) + 10 * weights.get("fresh", torch.ones_like(h))
        return Step((h,), ())

    def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
        return {"weight_ih": (hidden_size, input_size)}


def test_masks_differ_by_sequence_and_some_by_step():
    layer, x = nn.Recurrent(Masked(), 2, 64), torch.zeros(4, 3, 2)
    assert str(explain(layer, x)).startswith("served by compiled")
    output = layer(x)[0]
    fixed, fresh = output % 10, output // 10
    assert set(fixed.unique().tolist()) == {0, 2}
    assert torch.equal(fixed, fixed[:1].expand(4, -1, -1))
    assert len(fixed[0].unique(dim=0)) == 3
    assert len(fresh.reshape(12, 64).unique(dim=0)) == 12
