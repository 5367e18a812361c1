"""Which tensors the quick ways take, seen by DLPack's C functions or, as in older torch, by attributes."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recurra import nn
from recurra.errors import EngineError
from recurra.ops.native import bindings

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
EXACT = {"rtol": 0, "atol": 0}
KINDS = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True, params=[True, False], ids=["by functions", "by attributes"])
def _way(request) -> Iterator[None]:
    torch.manual_seed(0)
    if bindings.engine.exchange(request.param) != request.param:
        pytest.skip("this torch has no such functions")
    yield
    bindings.engine.exchange(True)


def build(kind: str, inputs: int = 7, units: int = 17) -> Any:
    return KINDS[kind](inputs, units, num_layers=2)


def draw_state(kind: str, units: int = 17) -> Any:
    h, c = torch.randn(2, 2, 3, units)
    return (h, c) if kind == "lstm" else h


def quick_step(layer: Any, x: Any, state: Any = None) -> Any:
    fast = layer._fast_layers[layer.engine]
    with torch.no_grad():
        return None if fast is None else fast.step(layer._parameters, x, state)


def quick_call(layer: Any, x: Any, lengths: Any = None) -> Any:
    return layer._fast_layers["auto"].forward(layer._parameters, x, None, lengths, False)


def everything(layer: Any, x: Tensor, lengths: Any, state: Any) -> list[Any]:
    """What all quick ways give, gradients too."""
    session = layer.session(x.shape[1])
    with torch.no_grad():
        found = [layer(x, state, lengths), layer.step(x[0]), layer.step(x[0], state), session.step(x[0])]
    output, last = layer(x, state, lengths)
    weighting = torch.linspace(-1, 1, output.numel()).view(output.shape)
    return [*found, output, last, *torch.autograd.grad(output, [x, *layer.parameters()], weighting)]


def test_a_quick_step_leaves_gradients_and_other_engines_to_the_long_way():
    layer, x = nn.GRU(7, 17), torch.randn(3, 7)
    with torch.no_grad():
        assert layer._fast_layers["auto"].step(layer._parameters, x, None) is not None
    assert layer._fast_layers["auto"].step(layer._parameters, x, None) is None
    for engine, served in [("reference", False), ("native", True), ("builtin", False), ("auto", True)]:
        layer.engine = engine
        assert (quick_step(layer, x) is not None) == served
    del layer.engine  # the class has one, as for an accelerated layer
    assert quick_step(layer, x) is not None
    layer.engine = None
    with pytest.raises(EngineError, match="there is no engine None"):
        layer.step(x)


@every_kind
def test_both_ways_give_the_same_bits(kind):
    layer, x, lengths, state = build(kind), torch.randn(6, 3, 7), torch.tensor([2, 6, 0]), draw_state(kind)
    x.requires_grad_()
    found = everything(layer, x, lengths, state)
    assert quick_step(layer, x[0].detach()) is not None
    assert quick_call(layer, x.detach(), lengths) is not None
    bindings.engine.exchange(False)
    torch.testing.assert_close(found, everything(layer, x, lengths, state), **EXACT)


def pending(t: Tensor) -> Tensor:
    """The same numbers, whose signs torch has yet to turn."""
    turned = torch.complex(torch.zeros_like(t), -t).conj().imag
    assert turned.is_neg()
    torch.testing.assert_close(turned.clone(), t, **EXACT)
    return turned


@every_kind
def test_signs_that_are_yet_to_be_turned(kind):
    layer, x, state = build(kind), torch.randn(6, 3, 7), draw_state(kind)
    late = tuple(pending(s) for s in state) if kind == "lstm" else pending(state)
    expected = everything(layer, x.clone().requires_grad_(), None, state)
    torch.testing.assert_close(everything(layer, pending(x).requires_grad_(), None, late), expected, **CLOSE)
    for weight in layer.parameters():
        weight.data = pending(weight.data)
    torch.testing.assert_close(everything(layer, x.clone().requires_grad_(), None, state), expected, **CLOSE)


@every_kind
def test_a_gradient_may_bring_signs_that_are_yet_to_be_turned(kind):
    layer, x = build(kind), torch.randn(6, 3, 7)
    output, last = layer(x)
    results = [output, *(last if kind == "lstm" else [last])]
    gradients = [torch.randn_like(r) for r in results]
    leaves = [*layer.parameters()]
    expected = torch.autograd.grad(results, leaves, gradients, retain_graph=True)
    found = torch.autograd.grad(results, leaves, [pending(g) for g in gradients])
    torch.testing.assert_close(found, expected, **CLOSE)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda t: t,
    "a parameter": lambda t: torch.nn.Parameter(t),
    "a part": lambda t: t[1:, :, 2:5],
    "every other": lambda t: t[..., ::2],
    "transposed": lambda t: t.transpose(0, 2),
    "flat": lambda t: t.flatten(),
    "folded": lambda t: t.view(4, 3, 2, 3),
    "an axis more": lambda t: t[..., None],
    "one axis less": lambda t: t.select(1, 0),
    "repeated": lambda t: t.expand(2, 4, 3, 6),
    "a diagonal": lambda t: t.diagonal(),
    "windows": lambda t: t.unfold(2, 3, 1),
    "copied": lambda t: t.clone(),
    "gathered": lambda t: t.contiguous(),
    "deeply copied": copy.deepcopy,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_signs_are_read_right_in_every_view(view):
    t = view(torch.randn(4, 3, 6, dtype=torch.complex64).conj().imag)
    layer = nn.RNN(t.shape[-1], 5)
    with torch.no_grad():
        for x in (t, torch._neg_view(t), t.clone()):
            if x.dim() in (1, 2):
                torch.testing.assert_close(layer.step(x)[0], layer.step(x.detach().clone())[0], **CLOSE)
            elif x.dim() == 3:
                torch.testing.assert_close(layer(x)[0], layer(x.detach().clone())[0], **CLOSE)


@every_kind
def test_contiguous_tensors_with_the_negative_bit_are_read_with_their_signs(kind):
    layer, x, state = build(kind), torch.randn(6, 3, 7), draw_state(kind)

    def turned(t: Tensor) -> Tensor:
        found = torch._neg_view(-t)
        assert found.is_contiguous()
        assert found.is_neg()
        return found

    late = tuple(turned(s) for s in state) if kind == "lstm" else turned(state)
    lengths = torch.tensor([2, 6, 0])
    expected = everything(layer, x.clone().requires_grad_(), lengths, state)
    found = everything(layer, turned(x).requires_grad_(), turned(lengths), late)
    torch.testing.assert_close(found, expected, **CLOSE)
    for weight in layer.parameters():
        weight.data = turned(weight.data)  # at the same address as the numbers with the other sign
    torch.testing.assert_close(everything(layer, x.clone().requires_grad_(), lengths, state), expected, **CLOSE)


def test_the_imaginary_part_of_a_conjugate_is_read_with_its_sign():
    layer, z = nn.LSTM(1, 17), torch.randn(1, 1, dtype=torch.complex64)
    part = z.conj().imag
    assert part.is_contiguous()
    with torch.no_grad():
        torch.testing.assert_close(layer.step(part), layer.step(-z.imag.clone()), **CLOSE)


OTHERS: dict[str, Callable[[Tensor], Any]] = {
    "a number": lambda x: 1.0,
    "a list": lambda x: x.tolist(),
    "an array": lambda x: x.numpy(),
    "a subclass": lambda x: x.as_subclass(type("Own", (Tensor,), {})),
    "another device": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "compressed": lambda x: x.to_sparse_csr(),
    "halves": lambda x: x.bfloat16(),
    "float64": lambda x: x.double(),
    "whole numbers": lambda x: x.long(),
    "complex": lambda x: x.to(torch.complex64),
    "pending signs": pending,
    "zeros without memory": lambda x: torch._efficientzerotensor(x.shape),
    "four dimensions": lambda x: x[None, None],
    "one dimension": lambda x: x[0],
    "turned": lambda x: x.T.contiguous().T,
    "every other": lambda x: torch.stack([x, x], -1)[..., 0],
    "a row for all": lambda x: x[:1].expand(x.shape),
    "another size": lambda x: x[:, 1:].contiguous(),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_plain_tensor_is_left_to_the_long_way(other):
    layer, x, state = build("lstm"), torch.randn(3, 7), draw_state("lstm")
    with torch.no_grad():
        assert quick_step(layer, x, state) is not None
        assert quick_step(layer, other(x), state) is None
        assert quick_step(layer, x, (other(state[0][0]), state[1])) is None
        assert quick_step(layer, x, (state[0], other(state[1][0]))) is None
        layer._parameters["weight_hh_l0"] = other(layer.weight_hh_l0.detach())
        assert quick_step(layer, x, state) is None


def test_a_layer_of_its_own_type_of_parameter_is_left_to_the_long_way():
    layer, x = build("gru"), torch.randn(3, 7)
    own = type("Own", (torch.nn.Parameter,), {})
    with torch.no_grad():
        expected = layer.step(x)
        layer.weight_hh_l0 = own(layer.weight_hh_l0.detach().clone())
        assert quick_step(layer, x) is None
        torch.testing.assert_close(layer.step(x), expected, **CLOSE)


def test_lengths_are_looked_at_too():
    layer, x, lengths = build("gru"), torch.randn(6, 3, 7), torch.tensor([2, 6, 0])
    with torch.no_grad():
        assert quick_call(layer, x, lengths) is not None
        for other in (lengths.int(), lengths.float(), lengths[:2], lengths[None], torch.stack([lengths] * 2, 1)[:, 0]):
            assert quick_call(layer, x, other) is None
        spread = torch.stack([lengths] * 2, 1)[:, 0]
        torch.testing.assert_close(layer(x, lengths=spread), layer(x, lengths=lengths), **EXACT)


@every_kind
def test_transforms_of_torch_func_are_left_to_the_long_way(kind):
    layer, x = build(kind), torch.randn(4, 3, 7)
    seen = []

    def run(values: Tensor) -> Tensor:
        seen.append(quick_step(layer, values))
        return layer.step(values)[0]

    with torch.no_grad():
        torch.testing.assert_close(torch.func.vmap(run)(x), torch.stack([layer.step(v)[0] for v in x]), **CLOSE)
        torch.func.functionalize(lambda values: seen.append(quick_step(layer, values)) or values)(x[0])
    torch.func.grad(lambda values: run(values).sum())(x[0])
    assert seen == [None] * 3


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated")
def test_who_watches_every_operation_sees_them():
    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    layer, x = build("gru"), torch.randn(3, 7)
    seen = []
    with torch.no_grad():
        with Mode():
            seen.append(quick_step(layer, x))
        torch.jit.trace(lambda values: seen.append(quick_step(layer, values)) or values + 1, x, check_trace=False)
    assert seen == [None] * 2


@every_kind
def test_weights_and_states_are_seen_where_they_are_now(kind):
    layer, x, state = build(kind), torch.randn(3, 7), None

    def check() -> None:
        fresh = build(kind)
        fresh.load_state_dict(layer.state_dict())
        copied = tuple(s.clone() for s in state) if isinstance(state, tuple) else state.clone()
        torch.testing.assert_close(layer.step(x, state), fresh.step(x, copied), **CLOSE)

    with torch.no_grad():
        _, state = layer.step(x)
        check()
        first = state[0] if kind == "lstm" else state
        first.data = torch.randn_like(first)
        check()
        first.data = torch.stack([first, first], -1)[..., 0]  # no longer contiguous
        check()
        first.data = pending(torch.randn_like(first))
        check()
        weight = layer.weight_hh_l1
        for change in (weight.data * 2, weight.data.T.contiguous().T, pending(weight.data * 3), -weight.data):
            weight.data = change
            check()
        square = nn.RNN(17, 17)
        before = square.step(torch.ones(1, 17))[0].clone()
        square.weight_ih_l0.data = square.weight_ih_l0.data.T  # the same object, shape and address
        assert not torch.equal(square.step(torch.ones(1, 17))[0], before)


@every_kind
def test_what_is_no_number_stays_so(kind):
    layer, x = build(kind), torch.randn(3, 7)
    x[1, 2] = torch.nan
    with torch.no_grad():
        y, state = layer.step(x)
        again, _ = layer.step(torch.randn(3, 7), state)
    for result in (y, again):
        assert result[1].isnan().all()
        assert result[[0, 2]].isfinite().all()


def test_new_tensors_are_tensors_like_others():
    layer, x = build("lstm"), torch.randn(3, 7)
    with torch.inference_mode():
        assert layer.step(x)[0].is_inference()
    with torch.no_grad():
        y, (h, c) = layer.step(x)
    for t in (y, h, c):
        assert type(t) is Tensor
        assert t.is_contiguous()
        assert t.is_leaf
        assert [t.requires_grad, t.is_inference(), t.is_neg()] == [False] * 3
    kept, view = y.clone(), y.numpy()
    del layer, y, h, c
    gc.collect()
    torch.testing.assert_close(torch.from_numpy(view), kept, **EXACT)
    view *= 2
    assert not torch.equal(torch.from_numpy(view), kept)
