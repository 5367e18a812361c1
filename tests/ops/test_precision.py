"""Products of bfloat16 in training: used where they are faster, and all else as it was."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from test_native import Sample, assert_equal_on_any_threads, assert_same_on_any_threads, errors, roundings
from torch import Tensor

from recurra import SequenceClassifier, nn, ops
from recurra.cells import GRU, LSTM, RNN
from recurra.errors import UsageError
from recurra.ops import Stack
from recurra.ops.native import bindings
from recurra.ops.reproducible import rounded_products

pytestmark = pytest.mark.skipif(bindings.engine is None, reason=f"the native engine was not built: {bindings.absent}")
NAMES = bindings.engine.bf16_engines() if bindings.engine is not None else []
needs_halves = pytest.mark.skipif(not NAMES, reason="this processor does not multiply bfloat16")
EXACT = {"rtol": 0, "atol": 0}

STACKS = {
    "tanh": Stack(RNN(), 33, 40, 2),
    "relu": Stack(RNN("relu"), 5, 17),
    "gru": Stack(GRU(), 15, 31, 2, bidirectional=True),
    "lstm": Stack(LSTM(), 64, 64, bidirectional=True),
    "odd": Stack(LSTM(), 1, 300),
    "projection": Stack(LSTM(), 33, 40, 2, proj_size=7),
}
every_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
LENGTHS = (7, 3, 0, 6, 7, 7, 1, 5, 2, 7)


@pytest.fixture(autouse=True, params=NAMES or [""])
def used(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Uses the products of one instruction set, also where they are slower. The value changes this."""
    bindings.engine.use_bf16(request.param)
    yield bindings.engine.use_bf16
    bindings.engine.use_bf16("faster")


def case(stack: Stack, lengths: tuple[int, ...], memory: str) -> Sample:
    return Sample(stack, len(lengths), max(lengths), lengths, dtype=torch.float32, memory=memory, precision="bfloat16")


@every_stack
@pytest.mark.parametrize("memory", ["full", "recompute"])
@pytest.mark.parametrize("lengths", [(14,), LENGTHS], ids=["alone", "ragged"])
@needs_halves
def test_results_and_gradients_have_the_digits_of_bfloat16(stack, memory, lengths):
    sample = case(stack, lengths, memory)
    exact = sample.measure("reference", torch.float64)
    single = dataclasses.replace(sample, precision="float32").measure()
    for name, value in sample.measure().items():
        size = exact[name].norm()
        assert (value - exact[name]).norm() <= 0.02 * size, name
        if name == "gradient of values" and not sample.whole:  # few whole numbers are exact in either
            assert (value - exact[name]).norm() > 1e-4 * size >= 10 * (single[name] - exact[name]).norm()


@pytest.mark.slow
@every_stack
@pytest.mark.parametrize("lengths", [(14,), LENGTHS], ids=["alone", "ragged"])
@needs_halves
def test_it_is_as_near_as_arithmetic_that_rounds_every_number(stack, lengths):
    sample = case(stack, lengths, "full")
    exact = sample.measure("reference", torch.float64)
    allowed = roundings(dataclasses.replace(sample, dtype=torch.bfloat16), exact)
    for name, error in errors(sample.measure(), exact).items():
        assert error <= 2 * allowed[name], f"{name} is off by {error:.3g}, allowed are {2 * allowed[name]:.3g}"


@every_stack
@pytest.mark.parametrize("lengths", [(14,), LENGTHS], ids=["alone", "ragged"])
def test_the_number_of_threads_changes_no_bit(stack, lengths):
    sample = Sample(stack, len(lengths), max(lengths), lengths, dtype=torch.float32, dropout=0.3, precision="bfloat16")
    assert_same_on_any_threads(sample)


@pytest.mark.parametrize("memory", ["full", "recompute"])
def test_the_number_of_threads_changes_no_bit_of_large_layers(memory):
    """Threads share recurrent weights of more than 2 MB."""
    lengths = tuple(20 - i % 5 for i in range(17))
    sample = case(Stack(LSTM(), 9, 600), lengths, memory)
    assert_same_on_any_threads(sample)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_such_products_nothing_is_rounded(dtype, used):
    used("")
    assert bindings.engine.bf16_engine() is None
    plain = Sample(STACKS["gru"], 10, 7, LENGTHS, dtype=dtype)
    torch.testing.assert_close(dataclasses.replace(plain, precision="bfloat16").measure(), plain.measure(), **EXACT)


def test_by_default_they_are_used_only_where_they_exist(used):
    for name in NAMES:
        used(name)
        assert bindings.engine.bf16_engine() == name
    used("faster")
    assert bindings.engine.bf16_engine() in [None, *NAMES]


def twins(**options: Any) -> tuple[nn.LSTM, nn.LSTM, Tensor]:
    torch.manual_seed(0)
    layer = nn.LSTM(8, 32, batch_first=True, **options)
    other = copy.deepcopy(layer)
    other.precision = "bfloat16"
    return layer, other, torch.randn(4, 9, 8)


def test_without_gradients_nothing_is_rounded():
    layer, other, x = twins()
    with torch.no_grad():
        torch.testing.assert_close(other(x), layer(x), **EXACT)
        torch.testing.assert_close(other.step(x[:, 0]), layer.step(x[:, 0]), **EXACT)


@needs_halves
@pytest.mark.parametrize("way", ["compiled", "grad of a function", "memory"])
def test_every_way_in_rounds_alike(way):
    _, layer, x = twins()

    def loss(values: Tensor) -> Tensor:
        return layer(values)[0].square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    if way == "memory":
        layer.memory = "recompute"
        (found,) = torch.autograd.grad(loss(leaf), leaf)
    elif way == "compiled":
        torch._dynamo.reset()
        (found,) = torch.autograd.grad(torch.compile(loss, backend="aot_eager", fullgraph=True)(leaf), leaf)
    else:
        found = torch.func.grad(loss)(x)
    torch.testing.assert_close(found, expected, **({"rtol": 1e-2, "atol": 1e-3} if way == "memory" else EXACT))


def test_nothing_beyond_the_end_is_read():
    _, layer, x = twins()
    lengths = torch.tensor([9, 0, 4, 1])
    poisoned = x.masked_fill((torch.arange(9) >= lengths[:, None])[..., None], torch.nan).requires_grad_()
    clean = x.clone().requires_grad_()
    for values in (poisoned, clean):
        layer(values, lengths=lengths)[0].sum().backward()
    torch.testing.assert_close(poisoned.grad, clean.grad, **EXACT)


def test_a_nan_and_an_infinity_stay_what_they_are():
    _, layer, x = twins()
    for bad in (torch.nan, torch.inf):
        y = x.clone().requires_grad_()
        output, _ = layer(torch.where(torch.arange(9)[:, None] == 3, bad, y))
        assert output[:, :3].isfinite().all()
        if bad != bad:
            assert output[:, 3:].isnan().all()


def products(rows: int, *, context: Any, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """A large product and its gradients."""
    torch.manual_seed(0)
    drawn = [torch.randn(n, dtype=torch.float64) for n in ((rows, 130), (3000, 130), (3000,), (rows, 3000))]
    values, weight, bias, grad = (t.to(dtype).requires_grad_() for t in drawn)
    with context:
        result = ops.linear(values, weight, bias)
    return [result, *torch.autograd.grad(result, (values, weight, bias), grad.detach())]


@needs_halves
def test_large_products_are_rounded_in_training():
    exact = products(301, context=nullcontext(), dtype=torch.float64)
    plain, rounded = products(301, context=nullcontext()), products(301, context=rounded_products())
    for name, true, single, found in zip(("result", "values", "weight"), exact, plain, rounded, strict=False):
        size, error = true.norm(), (found - true).norm()
        assert 1e-3 * size < error < 4e-3 * size, name  # two roundings to 8 bits: 2.3e-3 on average
        assert (single - true).norm() < 1e-5 * size, name
    torch.testing.assert_close(rounded[3], plain[3], **EXACT)


@needs_halves
def test_the_number_of_threads_changes_no_bit_of_a_rounded_product():
    assert_equal_on_any_threads(lambda: products(301, context=rounded_products()))


def test_products_without_gradients_or_in_float64_are_not_rounded():
    values, weight = torch.randn(301, 130), torch.randn(3000, 130)
    for dtype in (torch.float32, torch.float64):
        expected = ops.linear(values.to(dtype), weight.to(dtype))
        with rounded_products(), torch.no_grad():
            torch.testing.assert_close(ops.linear(values.to(dtype), weight.to(dtype)), expected, **EXACT)
    expected = products(20, context=nullcontext(), dtype=torch.float64)
    torch.testing.assert_close(products(20, context=rounded_products(), dtype=torch.float64), expected, **EXACT)


def test_a_second_derivative_of_a_rounded_product():
    values, weight = torch.randn(301, 130, requires_grad=True), torch.randn(3000, 130, requires_grad=True)
    with rounded_products():
        result = ops.linear(values, weight)
    (first,) = torch.autograd.grad(result.square().sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    assert second.isfinite().all()


def test_a_precision_that_does_not_exist():
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16, not 'half'"):
        nn.GRU(2, 3, precision="half", engine="builtin")(torch.randn(1, 1, 2))
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16, not 'half'"):
        nn.GRU(2, 3, precision="half")(torch.randn(1, 1, 2))
    with pytest.raises(UsageError, match="precision is one of float32, bfloat16, not 'half'"):
        SequenceClassifier(precision="half").fit(["a b", "b a"] * 10, [0, 1] * 10)


@needs_halves
def test_an_estimator_trains_with_it_and_predicts_without():
    texts, labels = ["good film", "bad film", "fine play", "poor play"] * 20, [1, 0, 1, 0] * 20
    options = {"epochs": 2, "hidden_size": 8, "tokens": "word", "verbose": 0}
    fast = SequenceClassifier(**options).fit(texts, labels)
    single = SequenceClassifier(**options, precision="float32").fit(texts, labels)
    weights = [dict(e.network_.named_parameters())["encoder.recurrent.weight_hh_l0"] for e in (fast, single)]
    assert not torch.equal(*weights)
    torch.testing.assert_close(*weights, rtol=0, atol=0.02)
    assert fast.network_.encoder.recurrent.precision == "float32"
