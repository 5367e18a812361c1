"""The native engine against the float64 reference, and all that C++ with threads can get wrong."""

from __future__ import annotations

import copy
import dataclasses
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from recurra import nn
from recurra.cells import GRU, LSTM, RNN
from recurra.errors import EngineError
from recurra.ops import Explanation, Stack, explain, recurrence
from recurra.ops.call import prepare as checked
from recurra.ops.native import bindings
from recurra.ops.native import engine as native

EXACT = {"rtol": 0, "atol": 0}
# the same sums in another order
CLOSE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-4, "atol": 1e-5}}
LIMIT = {torch.float64: 1e-10, torch.float32: 2e-5}  # of the largest magnitude of a tensor
ROUNDINGS = 8  # times what rounding does to a tensor of which much cancels
HANG = 60  # seconds

CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
bounded_cell = pytest.mark.parametrize("cell", [RNN(), LSTM(), GRU()], ids=lambda cell: cell.name)
every_dtype = pytest.mark.parametrize("dtype", LIMIT, ids=str)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def _garbage():
    """Fills new tensors with NaN, so that what the engine forgets to write is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


# a call and all that comes out of it

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t,
    "every other element": lambda t: torch.stack([t, t], -1)[..., 0],
    "rows apart": lambda t: torch.cat([t, t], -1)[..., : t.shape[-1]],
    "last axis first": lambda t: t.movedim(-1, 0).contiguous().movedim(0, -1),
    "other axes swapped": lambda t: t.transpose(0, -2).contiguous().transpose(0, -2) if t.dim() > 1 else t,
    "one for all": lambda t: t.flatten()[:1].expand(t.shape) if t.numel() else t,
    "one row for all": lambda t: t[:1].expand(t.shape),
}


@dataclass(frozen=True)
class Sample:
    """A call as numbers; its tensors come from the seed."""

    stack: Stack
    batch: int = 3
    steps: int = 4
    lengths: tuple[int, ...] | None = None
    batch_first: bool = False
    dtype: torch.dtype = torch.float64
    with_states: bool = True
    dropout: float = 0.0
    memory: str = "full"
    precision: str = "float32"
    scale: float = 1.0
    seed: int = 0
    values_layout: str = "contiguous"
    weights_layout: str = "contiguous"
    gradients_layout: str = "contiguous"

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole: rounding must not reach the sign that the gradient of a relu hangs on."""
        return self.dtype == torch.float32 and getattr(self.stack.cell, "nonlinearity", "") == "relu"

    def draw(self, *shape: int) -> Tensor:
        return torch.randint(-2, 3, shape).float() if self.whole else torch.randn(shape, dtype=self.dtype) * self.scale

    def draw_weight(self, *shape: int) -> Tensor:
        if self.whole:  # few and small: sums stay exact in float32
            return torch.randint(-1, 2, shape).float() * (torch.rand(shape) < 1 / shape[-1])
        # no saturation, where the slope 1 - h² has no digits: sums of equal terms grow with their number
        return torch.randn(shape, dtype=self.dtype) / shape[-1] ** (1.0 if "for all" in self.weights_layout else 0.5)

    def poison(self, t: Tensor) -> Tensor:
        """`t`, batch and time as in the call, with NaN beyond each length."""
        if self.lengths is None:
            return t
        padding = torch.arange(self.steps)[:, None] >= torch.tensor(self.lengths)
        return t.masked_fill((padding.T if self.batch_first else padding)[..., None], torch.nan)

    def arguments(self) -> tuple[dict[str, Tensor], list[Tensor]]:
        """All that a gradient is taken of, by name, and the gradients of the results."""
        torch.manual_seed(self.seed)
        stack = self.stack
        shape = (self.batch, self.steps) if self.batch_first else (self.steps, self.batch)
        rows = (stack.num_layers * stack.directions, self.batch)
        values, weights, gradients = (
            LAYOUTS[name] for name in (self.values_layout, self.weights_layout, self.gradients_layout)
        )

        def ragged(layout: Callable[[Tensor], Tensor], features: int) -> Tensor:
            whole = layout(self.draw(*shape, features))
            return whole if 0 in whole.stride() else layout(self.poison(whole))

        leaves = {"values": ragged(values, stack.input_size)}
        sizes = dict(zip(stack.cell.states, stack.state_sizes, strict=True))
        if self.with_states:
            leaves |= {name: values(self.draw(*rows, size)) for name, size in sizes.items()}
        leaves |= {name: weights(self.draw_weight(*shape)) for name, shape in stack.named_shapes()}
        output = ragged(gradients, stack.output_size)
        return leaves, [output, *(gradients(self.draw(*rows, size)) for size in sizes.values())]

    def run(self, leaves: dict[str, Tensor], engine: str = "native") -> tuple[Tensor, ...]:
        """Output and final states."""
        tensors = [*leaves.values()]
        count = len(self.stack.cell.states) if self.with_states else 0
        output, last = recurrence(
            self.stack,
            tensors[0],
            tensors[1 + count :],
            None if self.lengths is None else list(self.lengths),
            tuple(tensors[1 : 1 + count]) or None,
            batch_first=self.batch_first,
            dropout=self.dropout,
            training=self.dropout > 0,
            memory=self.memory,
            precision=self.precision,
            engine=engine,
        )
        return output, *last

    def measure(self, engine: str = "native", dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """Results and gradients by name, computed in `dtype`."""
        leaves, gradients = self.arguments()
        leaves = {name: t.to(dtype or self.dtype).detach().requires_grad_() for name, t in leaves.items()}
        gradients = [g.to(dtype or self.dtype) for g in gradients]
        torch.manual_seed(self.seed)
        results = self.run(leaves, engine)
        found = torch.autograd.grad(results, [*leaves.values()], gradients, materialize_grads=True)
        names = ("output", *(f"final {name}" for name in self.stack.cell.states))
        return {
            **{name: r.detach() for name, r in zip(names, results, strict=True)},
            **{f"gradient of {name}": g for name, g in zip(leaves, found, strict=True)},
        }


def errors(actual: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """Largest error of each tensor; NaN where it has one."""
    assert actual.keys() == exact.keys()
    return {name: (actual[name].double() - e).abs().max().item() for name, e in exact.items()}


class Rounding(TorchDispatchMode):
    """Arithmetic in `dtype`, with operands and results in float64, that rounds every operand at other places each time.

    A kind of Monte Carlo arithmetic (Parker 1997): the error of a sum is proportional to its terms, not to the result,
    through all that comes after it; and equal terms have equal errors, as they really do.
    """

    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func.is_view or func._schema.is_mutable:
            return func(*args, **(kwargs or {}))
        return tree_map_only(Tensor, self.widen, func(*tree_map_only(Tensor, self.round, args), **(kwargs or {})))

    def round(self, operand: Tensor) -> Tensor:
        if not operand.is_floating_point():
            return operand
        scale = 1 + torch.rand((), generator=self.generator, dtype=operand.dtype)
        rounded = ((operand * scale).to(self.dtype).to(operand.dtype) / scale).to(self.dtype)
        # an engine may flush to zero what lies below the normal range
        return rounded.masked_fill(rounded.abs() < torch.finfo(self.dtype).smallest_normal, 0)

    def widen(self, result: Tensor) -> Tensor:
        return result.double() if result.is_floating_point() else result


def roundings(sample: Sample, exact: dict[str, Tensor]) -> dict[str, float]:
    """What rounding does to each tensor: its largest error in twenty runs of the reference that round."""
    if sample.whole:  # nothing is rounded
        return dict.fromkeys(exact, 0.0)
    found = []
    for seed in range(20):
        with Rounding(sample.dtype, seed) as mode:
            results = sample.measure("reference", torch.float64)
        found.append(errors({name: mode.round(t) for name, t in results.items()}, exact))
    return {name: max(f[name] for f in found) for name in exact}


def assert_right(sample: Sample, count: int = 1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The call on `count` threads of the native engine is as near to the float64 reference as it must be.

    That is within `LIMIT`; where much cancels, within a few times of what rounding does to the same sums.

    Returns:
        What the engine found and what is exact.
    """
    exact = sample.measure("reference", torch.float64)
    with threads(count):
        actual = sample.measure()
    rounded = {}
    for name, error in errors(actual, exact).items():
        assert actual[name].shape == exact[name].shape
        assert actual[name].dtype == sample.dtype
        limit = LIMIT[sample.dtype] * exact[name].abs().max().item()
        if not error <= limit:
            rounded = rounded or roundings(sample, exact)
            limit = max(limit, ROUNDINGS * rounded[name])
        assert error <= limit, f"{name} is off by {error:.3g}, allowed are {limit:.3g}"
    for name in ("output", "gradient of values") if sample.lengths is not None else ():
        padding = sample.poison(torch.zeros(actual[name].shape)).isnan()
        assert not actual[name][padding].any()
    return actual, exact


def excess(sample: Sample, actual: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """Logarithm of our error over that of torch's kernels in the same type, on average over the tensors of a call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        torchs, found = sample.measure("builtin"), []
    for name, e in exact.items():
        # an error far below the last place says nothing, and has no logarithm when it is 0
        least = e.abs().max() * torch.finfo(sample.dtype).eps / 100
        ours, theirs = ((t[name].double() - e).square().mean().sqrt() + least for t in (actual, torchs))
        found.append((ours / theirs).log().item() if least else 0.0)
    return sum(found) / len(found)


def assert_no_further_off_than_torch(excesses: list[float]) -> None:
    """On average over many calls, beyond chance: by less than four standard errors."""
    n = len(excesses)
    mean = sum(excesses) / n
    deviation = math.sqrt(sum((e - mean) ** 2 for e in excesses) / (n - 1))
    chance = 4 * deviation / math.sqrt(n)
    assert mean <= chance, f"{math.exp(mean):.3f} times torch's error, where chance allows {math.exp(chance):.3f}"


# random calls

SIZES = [1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100]


@st.composite
def samples(draw, dtype: torch.dtype) -> Sample:
    size, flag = st.sampled_from(SIZES), st.booleans()
    cell, hidden = draw(st.sampled_from([*CELLS.values()])), draw(size)
    projections = [0, *(n for n in SIZES if n < hidden)] if cell.name == "lstm" else [0]
    stack = Stack(
        cell, draw(size), hidden, draw(st.integers(1, 3)), draw(flag), draw(flag), draw(st.sampled_from(projections))
    )
    batch, steps = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    return Sample(
        stack=stack,
        batch=batch,
        steps=steps,
        lengths=draw(st.none() | st.tuples(*[st.integers(0, steps)] * batch)),
        batch_first=draw(flag),
        dtype=dtype,
        with_states=draw(flag),
        memory=draw(st.sampled_from(["full", "recompute"])),
        seed=draw(st.integers(0, 2**32)),
        values_layout=draw(st.sampled_from([*LAYOUTS])),
        weights_layout=draw(st.sampled_from([*LAYOUTS])),
        gradients_layout=draw(st.sampled_from([*LAYOUTS])),
    )


def sweep(examples: int) -> Callable[[], None]:
    """A test of that many random calls in float32, and a quarter as many in float64."""

    def test() -> None:
        count, excesses = st.sampled_from([1, 2, 3]), []

        # also where no conftest.py is at hand
        @settings(max_examples=examples, deadline=None)
        @given(sample=samples(torch.float32), count=count)
        def single(sample: Sample, count: int) -> None:
            excesses.append(excess(sample, *assert_right(sample, count)))

        @settings(max_examples=examples // 4, deadline=None)
        @given(sample=samples(torch.float64), count=count)
        def double(sample: Sample, count: int) -> None:
            assert_right(sample, count)

        single()
        double()
        assert len(excesses) >= examples
        assert_no_further_off_than_torch(excesses)

    return test


test_random_calls_are_the_reference = sweep(100)
test_many_random_calls_are_the_reference = pytest.mark.slow(sweep(1000))


def blur(monkeypatch, size: float, names: tuple[str, ...] = ()) -> None:
    """Makes the native engine worse: a relative error of that size in these tensors, or in all."""
    measure = Sample.measure

    def worse(sample: Sample, engine: str = "native", dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        found = measure(sample, engine, dtype)
        for name in names or found if engine == "native" else ():
            found[name] = found[name] * (1 + size * torch.randn(found[name].shape, dtype=found[name].dtype))
        return found

    monkeypatch.setattr(Sample, "measure", worse)


@every_cell
@pytest.mark.parametrize("name", ["output", "gradient of values", "gradient of weight_hh_l0", "gradient of bias_ih_l0"])
def test_a_small_error_would_be_seen(monkeypatch, cell, name):
    sample = Sample(Stack(cell, 31, 17), 5, 4, (3, 0, 2, 1, 4), dtype=torch.float32)
    assert_right(sample)
    blur(monkeypatch, 1e-4, (name,))
    with pytest.raises(AssertionError, match=f"{name} is off by"):
        assert_right(sample)


@bounded_cell
def test_errors_beyond_torchs_would_be_seen(monkeypatch, cell):
    calls = [Sample(Stack(cell, 9, 17, 2), 4, 5, dtype=torch.float32, seed=seed) for seed in range(50)]
    found = [(call, *assert_right(call)) for call in calls]
    assert_no_further_off_than_torch([excess(*one) for one in found])
    blur(monkeypatch, 3e-7)
    with pytest.raises(AssertionError, match="times torch's error"):
        assert_no_further_off_than_torch([excess(call, call.measure(), exact) for call, _, exact in found])


@pytest.mark.parametrize(
    ("hidden", "batch_first"), [(256, True), (260, False)]
)  # rows of whole cache lines, and others
@every_cell
def test_outputs_larger_than_the_caches_beside_a_core(cell, hidden, batch_first):
    assert_right(Sample(Stack(cell, 3, hidden), 5, 230, (230, 229, 0, 230, 228), batch_first, torch.float32))


@every_cell
@every_dtype
@pytest.mark.parametrize("batch_first", [True, False])
def test_padding_of_nan_changes_no_bit(cell, dtype, batch_first):
    poisoned = Sample(Stack(cell, 5, 7, 2, bidirectional=True), 4, 6, (3, 0, 6, 1), batch_first, dtype)

    class Clean(Sample):
        def poison(self, t):
            return super().poison(t).nan_to_num(0.0)

    clean = Clean(**vars(poisoned))
    assert poisoned.arguments()[0]["values"].isnan().any()
    assert poisoned.arguments()[1][0].isnan().any()
    torch.testing.assert_close(poisoned.measure(), clean.measure(), **EXACT)
    assert all(t.isfinite().all() for t in poisoned.measure().values())


@every_cell
@every_dtype
@pytest.mark.parametrize("memory", ["full", "recompute"])
@pytest.mark.parametrize(
    "lengths", [(7,) * 9, (1,) * 20, (3, 0, 7, 7, 1, 6), (9,)], ids=["dense", "1", "ragged", "alone"]
)
def test_no_states_are_zeros_to_the_last_bit(cell, dtype, lengths, memory):
    # products with the zeros are left out
    bare = Sample(
        Stack(cell, 5, 17, 2, bidirectional=True, proj_size=7 if cell.name == "lstm" else 0),
        *(len(lengths), 9, lengths),
        dtype=dtype,
        with_states=False,
        memory=memory,
    )

    class Zeros(Sample):
        def arguments(self):
            leaves, gradients = bare.arguments()
            states = {name: torch.zeros_like(g) for name, g in zip(cell.states, gradients[1:], strict=True)}
            return {"values": leaves.pop("values"), **states, **leaves}, gradients

    found = bare.measure()
    zeros = Zeros(**vars(bare) | {"with_states": True}).measure()
    torch.testing.assert_close(found, {name: zeros[name] for name in found}, **EXACT)


@every_cell
@every_dtype
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_one_sequence_of_nan_or_infinity_leaves_the_others_alone(cell, dtype, broken):
    sample = Sample(Stack(cell, 3, 5, 2), 4, 6, (3, 5, 6, 1), dtype=dtype)
    leaves, _ = sample.arguments()
    whole = sample.run(leaves)
    leaves["values"][:, 2] = broken
    others = [0, 1, 3]
    for actual, expected in zip(sample.run(leaves), whole, strict=True):
        torch.testing.assert_close(actual[:, others], expected[:, others], **EXACT)


@bounded_cell
@every_dtype
def test_an_infinite_feature_saturates_as_in_torch(cell, dtype):
    # a unit of width beyond the hidden size, which only pads the vectors, would make NaN of it: 0 * inf
    sample = Sample(Stack(cell, 3, 5, 2, bidirectional=True), dtype=dtype)
    leaves, _ = sample.arguments()
    leaves["values"][1, 0, 0] = torch.inf
    leaves = {name: t.requires_grad_() for name, t in leaves.items()}
    results = {engine: sample.run(leaves, engine) for engine in ("native", "reference")}
    assert all(t.isfinite().all() for t in results["reference"])
    torch.testing.assert_close(results["native"], results["reference"])
    found = {engine: torch.autograd.grad([r.sum() for r in rs], [*leaves.values()]) for engine, rs in results.items()}
    for actual, expected in zip(found["native"], found["reference"], strict=True):
        known = expected.isfinite()  # where infinity meets a slope of 0
        torch.testing.assert_close(actual[known], expected[known])
    assert sum(expected.isfinite().sum() for expected in found["reference"]) > 0.9 * sum(
        t.numel() for t in leaves.values()
    )


@every_cell
@pytest.mark.parametrize("scale", [1e-6, 1e-30, 1e-39], ids=["small", "tiny", "denormal"])
def test_small_numbers_stay_as_exact_as_their_roundings(cell, scale):
    lengths = (9, 0, 4, 7, 2)
    assert_right(Sample(Stack(cell, 7, 17, 2, bias=False), 5, 9, lengths, dtype=torch.float32, scale=scale))


@bounded_cell
@every_dtype
@pytest.mark.parametrize("size", [1e2, 1e30])
def test_large_numbers_saturate(cell, dtype, size):
    sample = Sample(Stack(cell, 7, 17, 2, bidirectional=True), dtype=dtype)
    leaves, _ = sample.arguments()
    leaves["values"] *= size
    actual, expected = (sample.run(leaves, engine) for engine in ("native", "reference"))
    torch.testing.assert_close(actual, expected)


@every_cell
@every_dtype
def test_a_long_sequence_is_the_reference(cell, dtype):
    # without recurrent growth: what 1000 steps make of it would be no number
    stack = Stack(cell, 3, 5)
    assert_right(Sample(stack, 3, 1000, (1000, 0, 617), dtype=dtype, scale=0.3))


def test_the_gradient_of_a_bias_over_many_tokens_is_as_exact_as_torchs():
    # all terms are alike, so that each rounding of a running sum goes the same way
    stack = Stack(RNN(), 1, 1)
    values, weights = torch.full((3000, 300, 1), 0.3), [torch.full(s, 0.1) for _, s in stack.named_shapes()]
    found = {}
    for engine, dtype in [("native", torch.float32), ("builtin", torch.float32), ("builtin", torch.float64)]:
        leaves = [w.to(dtype).requires_grad_() for w in weights]
        output, _ = recurrence(stack, values.to(dtype), leaves, engine=engine)
        found[engine, dtype] = torch.stack([g.flatten()[0] for g in torch.autograd.grad(output.sum(), leaves)])
    exact = found["builtin", torch.float64]
    torchs, ours = (((found[e, torch.float32] - exact) / exact).abs().max().item() for e in ("builtin", "native"))
    assert ours <= max(4 * torchs, 2e-5)


# threads and processes

# a batch of which only some sequences, only one, or none is not empty
BATCHES = {
    "1 sequence": (20,),
    "1 of 3": (0, 13, 0),
    "0 of 2": (0, 0),
    "5 sequences": (3, 20, 0, 11, 7),
    "33 sequences": tuple((7 * b + 20) % 21 for b in range(33)),
}


def assert_same_on_any_threads(sample: Sample) -> None:
    assert_equal_on_any_threads(sample.measure)


def assert_equal_on_any_threads(measure: Callable[[], Any]) -> None:
    found = []
    for count in (1, 2, 3, 8):
        with threads(count):
            found.append(measure())
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], **EXACT)


@every_cell
@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize(
    ("dtype", "bidirectional"), [(torch.float32, True), (torch.float64, False)], ids=["both ways", "double"]
)
def test_the_number_of_threads_changes_no_bit(cell, dtype, lengths, bidirectional):
    sample = Sample(Stack(cell, 33, 150, 2, bidirectional), len(lengths), 20, lengths, dtype=dtype, dropout=0.3)
    assert_same_on_any_threads(sample)


OTHER_WAYS = {
    "projection": (Stack(LSTM(), 33, 150, 2, proj_size=40), "full"),
    "projection, both ways": (Stack(LSTM(), 33, 150, 2, bidirectional=True, proj_size=17), "full"),
    "recompute": (Stack(GRU(), 33, 150, 2), "recompute"),
    "recompute, both ways": (Stack(GRU(), 33, 150, 3, bidirectional=True), "recompute"),
    "both": (Stack(LSTM(), 33, 150, 3, bidirectional=True, proj_size=40), "recompute"),
}
every_other_way = pytest.mark.parametrize(("stack", "memory"), OTHER_WAYS.values(), ids=OTHER_WAYS.keys())


@every_other_way
@pytest.mark.parametrize(
    ("dtype", "lengths"),
    [(torch.float64, (20,)), (torch.float32, (3, 20, 0, 11, 7))],
    ids=["1 sequence, double", "5 sequences"],
)
def test_the_number_of_threads_changes_no_bit_here_either(stack, memory, dtype, lengths):
    sample = Sample(stack, len(lengths), 20, lengths, dtype=dtype, dropout=0.3, memory=memory)
    assert_same_on_any_threads(sample)


@every_cell
@every_dtype
@pytest.mark.parametrize(
    ("size", "steps"), [(7, 5), (128, 1), (128, 2), (130, 1), (130, 5), (192, 2), (257, 1), (257, 5)]
)
def test_the_number_of_threads_changes_no_bit_of_few_steps(cell, dtype, size, steps):
    """Few steps read the weights as torch keeps them, and threads divide their columns at any multiple of a vector."""
    assert_same_on_any_threads(Sample(Stack(cell, size, size), 1, steps, None, dtype=dtype))


@every_cell
@every_dtype
@pytest.mark.parametrize("lengths", [None, (17, 0, 9, 1)], ids=["dense", "ragged"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recomputing_is_remembering(cell, dtype, lengths, bidirectional):
    stack = Stack(cell, 5, 33, 3, bidirectional, proj_size=7 if cell.name == "lstm" else 0)
    full = Sample(stack, 4, 17, lengths, dtype=dtype, dropout=0.3)
    recompute = dataclasses.replace(full, memory="recompute")
    torch.testing.assert_close(recompute.measure(), full.measure(), **CLOSE[dtype])


def test_what_is_kept_grows_as_the_square_root_of_the_steps_where_it_is_recomputed():
    def kept(steps: int, memory: str) -> int:
        stack = Stack(LSTM(), 8, 32)
        weights = [torch.zeros(s) for _, s in stack.named_shapes()]
        call, _ = checked(stack, torch.zeros(steps, 4, 8), weights, memory=memory)
        return bindings.tape_size(native.configure(call), torch.float32, steps, 4)

    assert kept(10_000, "full") == 100 * kept(100, "full")
    assert kept(10_000, "recompute") == 10 * kept(100, "recompute")


@every_cell
@every_dtype
@pytest.mark.parametrize("size", [64, 150])
@pytest.mark.parametrize("lengths", [(9,), (0, 7, 0)], ids=["alone", "among empty ones"])
def test_one_sequence_shared_by_threads_is_the_reference(cell, dtype, size, lengths):
    for count in (2, 3):
        assert_right(Sample(Stack(cell, 5, size, 2), len(lengths), 9, lengths, dtype=dtype), count)


@pytest.mark.parametrize("memory", ["full", "recompute"])
@pytest.mark.parametrize(("cell", "size"), [(RNN(), 740), (GRU(), 430), (LSTM(), 370)], ids=["rnn", "gru", "lstm"])
def test_large_weights_shared_by_threads_for_few_sequences_are_the_reference(cell, size, memory):
    """Threads share recurrent weights of more than 2 MB; see `weights_are_far` in forward.h."""
    sample = Sample(Stack(cell, 5, size, 2), 5, 20, (13, 20, 0, 20, 9), dtype=torch.float32, memory=memory)
    for count in (2, 3):
        assert_right(sample, count)
    assert_same_on_any_threads(sample)


def shared_work(cell: str, *, backward: bool = True, size: int = 48, batch: int = 9) -> Callable[[], list[np.ndarray]]:
    """Work for several threads of the engine; in torch for one, whose own threads do not survive a fork."""
    lengths = (20, 3, 0, 7, 20, 11, 1, 5, 9)[:batch]
    sample = Sample(Stack(CELLS[cell], 40, size, 2, bidirectional=batch > 1), batch, 20, lengths)
    leaves, gradients = sample.arguments()
    inputs = [t.requires_grad_(backward) for t in leaves.values()]

    def work() -> list[np.ndarray]:
        results = sample.run(leaves)
        found = torch.autograd.grad(results, inputs, gradients) if backward else ()
        return [t.detach().numpy() for t in (*results, *found)]

    return work


def do(cell: str, backward: bool) -> list[np.ndarray]:
    return shared_work(cell, backward=backward)()


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


def test_several_python_threads_at_once_give_the_same():
    with threads(2):
        works = [shared_work(cell, **options) for cell in CELLS for options in ({}, {"size": 150, "batch": 1})]
        expected = [work() for work in works]
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(work) for work in works * 6]
            for job, wanted in zip(jobs, expected * 6, strict=True):
                assert_same(job.result(timeout=HANG), wanted)


fork_warns = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


@pytest.mark.parametrize("how", ["fork", "spawn"])
@fork_warns
@pytest.mark.slow
def test_another_process_gives_the_same_after_threads_were_used(how):
    if how not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system knows no {how!r}")
    # torch itself refuses a backward pass in a fork of a process that had one on a GPU
    backward = not torch.cuda.is_available()
    with threads(2):
        expected = [do(cell, backward) for cell in CELLS]
        with multiprocessing.get_context(how).Pool(2, torch.set_num_threads, (2,)) as pool:
            jobs = [pool.apply_async(do, (cell, backward)) for cell in [*CELLS] * 2]
            for job, wanted in zip(jobs, expected * 2, strict=True):
                assert_same(job.get(timeout=HANG), wanted)
        for cell, wanted in zip(CELLS, expected, strict=True):  # and this process goes on
            assert_same(do(cell, backward), wanted)


def end_of(child: int) -> int | None:
    """How a child process ended; None if it hung and had to be killed."""
    give_up = time.monotonic() + HANG / 6
    while time.monotonic() < give_up:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def fork_amid_calls(times: int) -> None:
    """Forks while other threads are inside the engine; each child must get the right bits, and in time."""
    done = Event()
    sample = Sample(Stack(LSTM(), 16, 32, 3), 9, 10)
    leaves, _ = sample.arguments()

    def compute() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return sample.run(leaves)

    def go_on() -> None:
        while not done.is_set():
            compute()

    expected = compute()
    workers = [Thread(target=go_on) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(times):
            child = os.fork()
            if not child:
                same = [torch.equal(a, e) for _ in range(2) for a, e in zip(compute(), expected, strict=True)]
                os._exit(not all(same))
            assert end_of(child) == 0
    finally:
        done.set()
        for worker in workers:
            worker.join(HANG)
    assert not any(worker.is_alive() for worker in workers)


with_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")


@pytest.mark.slow
@fork_warns
@with_fork
def test_forks_in_the_middle_of_other_threads_calls_go_on():
    with threads(2):  # a lock held for an instant is seldom met
        fork_amid_calls(500)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in an interpreter of its own, which can import this module."""
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10 * HANG)


SWEEP = """
import torch, test_native
torch.use_deterministic_algorithms(True)
assert test_native.bindings.engine.chosen() == {isa!r}
test_native.sweep({examples})()
"""


def check_instruction_set(isa: str, examples: int) -> None:
    # the allocator fills what the engine has not written with huge numbers, where it can
    done = python(SWEEP.format(isa=isa, examples=examples), RECURRA_ISA=isa, MALLOC_PERTURB_="128")
    assert (done.returncode, done.stderr) == (0, "")


every_isa = pytest.mark.parametrize("isa", bindings.engine.instruction_sets() if bindings.engine else [])


def test_the_plain_instruction_set_is_the_reference():
    check_instruction_set("baseline", 25)


@pytest.mark.slow
@every_isa
def test_every_instruction_set_is_the_reference_on_many_calls(isa):
    check_instruction_set(isa, 400)


def test_the_best_instruction_set_is_chosen_and_the_plain_one_always_there():
    known = bindings.engine.instruction_sets()
    assert known[-1] == "baseline"
    assert bindings.engine.chosen() == (os.environ.get("RECURRA_ISA") or known[0])


ONE_CALL = "import torch; from recurra import nn; output = nn.GRU(3, 4, engine='native')(torch.zeros(2, 1, 3))[0]"


def test_an_unknown_instruction_set_is_an_error_that_names_it():
    done = python(ONE_CALL, RECURRA_ISA="neon9")
    assert done.returncode == 1
    assert "RECURRA_ISA=neon9 is not available on this processor" in done.stderr.splitlines()[-1]


def test_a_graph_alive_at_exit_is_no_remark():
    done = python(ONE_CALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_the_engine_was_not_built_builtin_serves():
    code = "import sys; sys.modules['recurra.ops.native._engine'] = None; import torch; from recurra import nn, ops\n"
    done = python(f"{code}print(ops.explain(nn.GRU(3, 4), torch.zeros(2, 1, 3)))")
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "served by builtin"
    assert second.startswith("  not native: the native engine was not built: ")
    assert "_engine" in second


def test_where_the_engine_is_absent_it_is_not_asked(monkeypatch):
    layer, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    before, _ = layer(x)
    monkeypatch.setattr(bindings, "engine", None)
    choice = explain(layer, x)
    assert choice.engine == "builtin"
    assert "was not built" in choice.refusals["native"]
    other = copy.deepcopy(layer)  # which never met the engine
    torch.testing.assert_close(other(x)[0], before)
    with torch.no_grad():
        torch.testing.assert_close(other.step(x[0])[0], before[0])
    other.engine = "native"
    with pytest.raises(EngineError, match="was not built"):
        other(x)


# dropout


def copying(layers: int, *, bidirectional: bool = False, steps: int = 4, batch: int = 6, dropout: float = 0.3):
    """A stack that copies, layer by layer, and values of 1 to 2: the output shows the mask."""
    size = 33
    stack = Stack(RNN("relu"), size, size, layers, bidirectional, bias=False)
    weights = [  # each direction copies its own
        torch.eye(*shape).roll(size * ("reverse" in name), -1) * ("ih" in name) for name, shape in stack.named_shapes()
    ]
    values = torch.rand(steps, batch, size, generator=torch.Generator().manual_seed(1)) + 1

    def run(values: Tensor = values, training: bool = True) -> Tensor:
        return recurrence(stack, values, weights, dropout=dropout, training=training, engine="native")[0]

    return values, run


def test_dropout_drops_every_place_equally_often_and_is_unbiased():
    values, run = copying(2)
    torch.manual_seed(0)
    draws = 600
    outputs = torch.stack([run() for _ in range(draws)])
    share = (outputs == 0).float().mean(0)
    deviation = (0.3 * 0.7 / draws) ** 0.5
    assert (share - 0.3).abs().max() < 5 * deviation  # 792 places
    assert share.std().item() == pytest.approx(deviation, rel=0.2)
    assert ((outputs.mean(0) / values) - 1).abs().max() < 5 * deviation / 0.7
    assert (outputs.mean() / values.mean()).item() == pytest.approx(1, abs=0.005)


def test_no_two_masks_are_alike():
    def dropped(layers, **options):
        return copying(layers, steps=20, batch=20, **options)[1]() == 0

    torch.manual_seed(0)
    once = dropped(2)
    both = dropped(2, bidirectional=True)
    pairs = {"calls": (once, dropped(2)), "directions": (both[..., :33], both[..., 33:])}
    pairs |= {name: (once, once.roll(1, axis)) for axis, name in enumerate(("steps", "sequences", "units"))}
    together = {name: (a & b).float().mean().item() for name, (a, b) in pairs.items()}
    assert together == {name: pytest.approx(0.3**2, abs=0.015) for name in pairs}
    assert (~dropped(3)).float().mean().item() == pytest.approx(0.7**2, abs=0.02)  # layers


def test_dropout_of_one_drops_all_and_of_zero_none():
    assert not copying(2, dropout=1.0)[1]().any()
    values, run = copying(2, dropout=0.0)
    torch.testing.assert_close(run(), values, **EXACT)


def test_dropout_is_drawn_from_torchs_seed_and_in_training_only():
    values, run = copying(2)

    def seeded(seed, **options):
        torch.manual_seed(seed)
        return run(**options)

    assert torch.equal(seeded(0), seeded(0))
    assert not torch.equal(seeded(0), seeded(1))
    torch.testing.assert_close(seeded(0, training=False), values, **EXACT)
    torch.manual_seed(0)
    assert not torch.equal(run(), run())
    state = torch.get_rng_state()
    run(training=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_backward_uses_the_mask_of_its_own_forward():
    values, run = copying(3)
    leaf = values.clone().requires_grad_()
    first, second = run(leaf), run(leaf)
    assert not torch.equal(first, second)
    for output in (first, second, first):
        (gradient,) = torch.autograd.grad(output, leaf, torch.ones_like(output), retain_graph=True)
        torch.testing.assert_close(gradient, output.detach() / values)  # the stack is linear where nothing is negative


@every_cell
def test_derivatives_are_right_under_dropout(cell):
    sample = Sample(Stack(cell, 2, 3, 3, bidirectional=True), 3, 4, (4, 0, 2), dropout=0.4)
    check_gradients(sample, fast_mode=True)


# autograd


def check_gradients(sample: Sample, *, fast_mode: bool = False) -> None:
    leaves, _ = sample.arguments()
    leaves["values"] = leaves["values"].nan_to_num(1.0)  # finite differences of padding are 0, not NaN
    inputs = [t.requires_grad_() for t in leaves.values()]

    def function(*tensors):
        torch.manual_seed(0)
        return sample.run(dict(zip(leaves, tensors, strict=True)))

    assert torch.autograd.gradcheck(function, inputs, fast_mode=fast_mode)


@every_cell
@pytest.mark.parametrize(("bias", "lengths"), [(False, None), (True, (4, 0, 2))], ids=["dense", "ragged"])
def test_derivatives_are_right(cell, bias, lengths):
    check_gradients(Sample(Stack(cell, 2, 3, 2, bidirectional=True, bias=bias), 3, 4, lengths, batch_first=True))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("lengths", [None, (4, 0, 2)], ids=["dense", "ragged"])
def test_derivatives_of_a_projection_are_right(bidirectional, lengths):
    check_gradients(Sample(Stack(LSTM(), 2, 3, 2, bidirectional, proj_size=2), 3, 4, lengths), fast_mode=True)


@every_cell
@pytest.mark.parametrize("bidirectional", [True, False])
def test_derivatives_are_right_where_they_are_recomputed(cell, bidirectional):
    projected = 2 if cell.name == "lstm" else 0
    stack = Stack(cell, 2, 3, 2, bidirectional, proj_size=projected)
    check_gradients(Sample(stack, 3, 5, (5, 0, 2), memory="recompute"), fast_mode=True)


@every_cell
def test_the_callers_lengths_may_change_before_backward(cell):
    # as where one tensor serves for every batch; and it need not be contiguous
    lengths = torch.tensor([[4, 9], [0, 9], [6, 9]])[:, 0]
    layer, x = nn.Recurrent(cell, 3, 5, engine="native"), torch.randn(6, 3, 3)
    weighting = torch.randn(6, 3, 5)
    expected = torch.autograd.grad((layer(x, None, [4, 0, 6])[0] * weighting).sum(), [*layer.parameters()])
    output = layer(x, None, lengths)[0]
    lengths.fill_(6)
    torch.testing.assert_close(
        torch.autograd.grad((output * weighting).sum(), [*layer.parameters()]), expected, **EXACT
    )


def prepare(cell, **options) -> tuple[Sample, dict[str, Tensor], list[Tensor]]:
    """A ragged bidirectional call with its leaves and gradients."""
    sample = Sample(Stack(cell, 5, 7, 2, bidirectional=True), 3, 6, (4, 0, 6), **options)
    leaves, gradients = sample.arguments()
    return sample, {name: t.requires_grad_() for name, t in leaves.items()}, gradients


@every_cell
def test_a_graph_that_is_kept_gives_the_same_gradients_again(cell):
    sample, leaves, gradients = prepare(cell, dropout=0.3)
    results, inputs = sample.run(leaves), [*leaves.values()]
    first = torch.autograd.grad(results, inputs, gradients, retain_graph=True)
    again = torch.autograd.grad(results, inputs, gradients)
    torch.testing.assert_close(again, first, **EXACT)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(results, inputs, gradients)


@every_cell
def test_two_calls_before_two_backward_passes_do_not_mix(cell):
    (a, leaves_a, gradients_a), (b, leaves_b, gradients_b) = prepare(cell), prepare(cell, seed=1)
    expected = [[*s.measure().values()] for s in (a, b)]
    results_a, results_b = a.run(leaves_a), b.run(leaves_b)
    for results, leaves, gradients, wanted in [
        (results_a, leaves_a, gradients_a, expected[0]),
        (results_b, leaves_b, gradients_b, expected[1]),
    ]:
        found = torch.autograd.grad(results, [*leaves.values()], gradients)
        torch.testing.assert_close([*results, *found], wanted, **EXACT)


@every_cell
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1_reverse"])
def test_weights_changed_before_backward_are_noticed(cell, name):
    sample, leaves, gradients = prepare(cell)
    results = sample.run(leaves)
    with torch.no_grad():
        leaves[name].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(results, [*leaves.values()], gradients)


@every_cell
def test_an_output_may_be_overwritten_before_backward(cell):
    sample, leaves, gradients = prepare(cell)
    expected = torch.autograd.grad(sample.run(leaves), [*leaves.values()], gradients)
    results = sample.run(leaves)
    changed = [results[0].mul_(2), *results[1:]]
    halved = [gradients[0] / 2, *gradients[1:]]
    torch.testing.assert_close(torch.autograd.grad(changed, [*leaves.values()], halved), expected, **EXACT)


@every_cell
def test_a_second_derivative_is_refused_and_never_zero(cell):
    sample, leaves, gradients = prepare(cell)
    why = "the native engine gives first derivatives only"
    for name in ("values", "hidden", "weight_hh_l0"):
        results = sample.run(leaves)
        found = torch.autograd.grad(results, [*leaves.values()], gradients, create_graph=True)
        torch.testing.assert_close([*found], [*sample.measure().values()][len(results) :], **EXACT)
        # the gradients are used: the engine must not look like a constant, to whomever
        with pytest.raises(EngineError, match=why):
            torch.autograd.grad([g.sum() for g in found], leaves[name], allow_unused=True)

    def loss(values):
        return sample.run({**leaves, "values": values})[0].sum()

    def output(values):
        return sample.run({**leaves, "values": values})[0]

    values = leaves["values"].detach().nan_to_num(0.0)
    with pytest.raises(EngineError, match=why):
        torch.autograd.functional.hessian(loss, values)
    with pytest.raises(EngineError, match=why):  # differentiates by the incoming gradient
        torch.autograd.functional.jvp(output, values, values)


@every_cell
@pytest.mark.parametrize("wanted", ["values", "states", "weights", "one weight", "one state"])
def test_only_what_needs_a_gradient_gets_one(cell, wanted):
    sample, leaves, gradients = prepare(cell)
    names = {
        "values": ["values"],
        "states": [*cell.states],
        "weights": [name for name, _ in sample.stack.named_shapes()],
        "one weight": ["bias_hh_l0_reverse"],
        "one state": ["hidden"],
    }[wanted]
    everything = sample.measure()
    leaves = {name: t.detach().requires_grad_(name in names) for name, t in leaves.items()}
    results = sample.run(leaves)
    torch.autograd.backward(results, gradients)
    assert {name for name, t in leaves.items() if t.grad is not None} == set(names)
    for name in names:
        torch.testing.assert_close(leaves[name].grad, everything[f"gradient of {name}"], **EXACT)


@pytest.mark.parametrize(
    ("cell", "used"),
    [(cell, used) for cell in CELLS.values() for used in ("output", *cell.states)],
    ids=[f"{name}-{used}" for name, cell in CELLS.items() for used in ("output", *cell.states)],
)
def test_a_loss_of_one_result_only(cell, used):
    sample, leaves, gradients = prepare(cell)
    names = ["output", *cell.states]
    which, found = names.index(used), {}
    for engine in ("native", "reference"):
        result = sample.run(leaves, engine)[which]
        found[engine] = torch.autograd.grad(result, [*leaves.values()], gradients[which], materialize_grads=True)
    torch.testing.assert_close(found["native"], found["reference"], rtol=1e-10, atol=1e-12)
    assert any(gradient.any() for gradient in found["native"])


@every_cell
@pytest.mark.parametrize("memory", ["full", "recompute"])
def test_without_gradients_the_results_are_the_same(cell, memory):
    sample, leaves, _ = prepare(cell, memory=memory)
    expected = [t.detach() for t in sample.run(leaves)]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            results = sample.run(leaves)
        assert not any(t.requires_grad for t in results)
        torch.testing.assert_close([*results], expected, **EXACT)


@every_other_way
@every_dtype
@pytest.mark.parametrize("batch", [1, 2, 5, 40])
def test_without_gradients_the_results_are_the_same_to_the_rounding(stack, memory, dtype, batch):
    lengths = (20, 0, 7, 13, 1)[:batch] if batch < 40 else tuple(b % 21 for b in range(40))
    for sample in (
        Sample(stack, batch, 20, memory=memory, dtype=dtype),
        Sample(stack, batch, 20, lengths, dtype=dtype),
    ):
        leaves, _ = sample.arguments()
        with torch.no_grad():
            results = sample.run(leaves)
        expected = [t.detach() for t in sample.run({name: t.requires_grad_() for name, t in leaves.items()})]
        torch.testing.assert_close([*results], expected, **CLOSE[dtype])


def test_values_that_torch_keeps_negated_are_read_as_what_they_are():
    values = torch.randn(5, 2, 1, dtype=torch.complex64).conj().imag
    assert values.is_neg()
    layer = nn.GRU(1, 4, engine="native")
    torch.testing.assert_close(layer(values), layer(values.resolve_neg().clone()), **EXACT)


# what looks into a call or changes what it means; compilers and torch.func have files of their own


@pytest.fixture
def served(monkeypatch) -> list[Explanation]:
    """The choices made for the calls of a test."""
    from recurra.ops import dispatch

    choices, choose = [], dispatch._choose

    def record(*args: Any) -> Explanation:
        choices.append(choose(*args))
        return choices[-1]

    monkeypatch.setattr(dispatch, "_choose", record)
    return choices


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
@every_cell
def test_forward_mode_is_left_to_the_next_engine(cell, served):
    layer = nn.Recurrent(cell, 3, 4, dtype=torch.float64)  # torch's LSTM has no forward mode in float32
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def loss(x):
        return layer(x)[0].square().sum()

    _, tangent = torch.func.jvp(loss, (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        dual = loss(torch.autograd.forward_ad.make_dual(x, x))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, tangent)
    reason = "the native engine has no forward-mode derivatives"
    assert served == [Explanation("builtin", {"native": reason})] * 2
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    assert served[-1].engine == "native"
    torch.testing.assert_close((gradient * x).sum(), tangent)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_tracing_is_left_to_the_next_engine(served):
    layer, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    traced = torch.jit.trace(layer, (torch.zeros(5, 2, 3),), check_trace=False)
    assert served[0] == Explanation("builtin", {"native": "the native engine cannot be traced by torch.jit"})
    torch.testing.assert_close(traced(x), layer(x))
