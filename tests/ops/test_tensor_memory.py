"""Tensors without numbers in memory end with one sentence, wherever they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

import recurra
from recurra import cells, nn, ops
from recurra.errors import UsageError
from recurra.ops import attention_pooling as attend
from recurra.ops.native import bindings
from recurra.ops.tensor_memory import address, check_storage, materialize, transforming, watched

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def freed(t: Tensor) -> Tensor:
    t = t.clone()
    t.untyped_storage().resize_(0)
    return t


def forward(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    with torch.no_grad():
        return layer(x, state, lengths=lengths)


def train(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    layer(x, state, lengths=lengths)[0].sum().backward()


def recompute(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    layer.memory = "recompute"
    train(layer, x, state, lengths)


def other_engines(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    layer.engine = "builtin"  # torch itself ends with a segmentation fault
    forward(layer, x, state, lengths)


def step(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    with torch.no_grad():
        layer.step(x, state)


def session(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    found = layer.session(2)
    found.state = state
    found.step(x)


def recurrence(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    ops.recurrence(layer.stack, x, layer.weights(), lengths, state)


def record(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    ops.record(layer.stack, x, layer.weights(), lengths, state)  # batch first, but batch and steps are equal


def operator(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    sizes = (2, 8, 0, 1, False, True, False, 0.0, 0, False)
    torch.ops.recurra.forward(x, layer.weights(), list(state), lengths, None, *sizes, False, 0)


def accelerated(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    plain = torch.nn.LSTM(5, 8)
    for name, weight in layer._parameters.items():
        plain._parameters[name] = weight
    forward(recurra.accelerate(plain), x, state, lengths)


def own_cell(layer: Any, x: Tensor, state: Any, lengths: Any) -> Any:
    found = nn.Recurrent(cells.LSTM(), 5, 8)
    for name, weight in layer._parameters.items():
        found._parameters[name] = weight
    found(x, state, lengths=lengths)


ENTRIES = [
    forward, train, recompute, other_engines, step, session, recurrence, record, operator, accelerated, own_cell,
]  # fmt: skip
DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {"another device": lambda t: t.to("meta"), "freed": freed}
PLACES = ["weight_hh_l0", "bias_ih_l0", "h", "c", "x", "all weights"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_without_numbers_is_refused(entry, damage, place):
    layer, state = nn.LSTM(5, 8), torch.randn(2, 1, 2, 8)
    x = torch.randn(2, 5) if entry in (step, session) else torch.randn(2, 2, 5)
    given = {"h": state[0], "c": state[1], "x": x}
    if place in given:
        given[place] = damage(given[place])
    for name in layer._parameters if place == "all weights" else [place] if place in layer._parameters else []:
        layer._parameters[name] = damage(layer._parameters[name].detach())
    with pytest.raises(UsageError, match=r"meta|on the CPU|freed"):
        entry(layer, given["x"], (given["h"], given["c"]), None)


def test_the_message_names_the_tensor_and_both_devices():
    layer = nn.LSTM(5, 8).to("meta")
    with pytest.raises(UsageError, match="values are on the device cpu but weight_ih_l0 is on meta"):
        layer(torch.randn(4, 2, 5))
    gru = nn.GRU(5, 8)
    with pytest.raises(UsageError, match="values are on the device cpu but the initial hidden state is on meta"):
        gru(torch.randn(4, 2, 5), torch.zeros(1, 2, 8, device="meta"))
    freed_weight = nn.GRU(5, 8)
    freed_weight.weight_hh_l0.untyped_storage().resize_(0)
    with pytest.raises(UsageError, match="the storage of weight_hh_l0 was freed or made smaller: it holds 0 bytes of"):
        freed_weight(torch.randn(4, 2, 5))


def test_a_model_whole_on_the_device_meta_gives_shapes():
    layer, x = nn.LSTM(5, 8).to("meta"), torch.empty(4, 2, 5, device="meta")
    assert layer(x)[0].device.type == "meta"
    assert layer(x, lengths=[4, 2])[0].shape == (4, 2, 8)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("make", ["to_sparse", "to_sparse_csr", "to_mkldnn"])
def test_other_layouts_are_refused(make):
    for entry in (forward, train, session, recurrence, other_engines):
        layer = nn.LSTM(5, 8)
        layer._parameters["weight_hh_l0"] = getattr(layer.weight_hh_l0.detach(), make)()
        with pytest.raises(UsageError, match=r"weight_hh_l0 has the layout torch\..*to_dense"):
            entry(layer, torch.randn(2, 2, 5), None, None)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused():
    nested = torch.nested.nested_tensor([torch.randn(3, 5), torch.randn(2, 5)])
    for run in (nn.GRU(5, 8), nn.GRU(5, 8).step, nn.GRU(5, 8).session().step):
        with pytest.raises(UsageError, match="nested tensor"):
            run(nested)


def test_one_sequence_without_a_batch_is_checked_too():
    layer, state = nn.GRU(5, 8), torch.zeros(1, 8)
    for arguments in ((freed(torch.randn(4, 5)), state), (torch.randn(4, 5), freed(state))):
        with pytest.raises(UsageError, match="freed"):
            layer(*arguments)


def test_memory_freed_between_forward_and_backward_is_noticed():
    layer = nn.GRU(5, 8)
    output = layer(torch.randn(4, 2, 5))[0]
    layer.weight_hh_l0.untyped_storage().resize_(0)
    with pytest.raises(UsageError, match="freed"):
        output.sum().backward()


def test_zeros_that_have_no_memory_are_zeros():
    layer, x, state = nn.LSTM(5, 8), torch.randn(2, 2, 5), torch.randn(2, 1, 2, 8)
    nothing = torch._efficientzerotensor(state[0].shape)
    with torch.no_grad():
        expected = layer(x, (torch.zeros_like(state[0]), state[1]))[0]
        torch.testing.assert_close(layer(x, (nothing, state[1]))[0], expected, **CLOSE)
        torch.testing.assert_close(
            layer(torch._efficientzerotensor(x.shape))[0], layer(torch.zeros_like(x))[0], **CLOSE
        )
    assert not materialize(nothing)._is_zerotensor()


@pytest.mark.parametrize("which", range(4))
def test_attention_checks_its_tensors_too(which):
    values = [torch.randn(2, 3, 4), torch.randn(1, 4), torch.randn(1), torch.tensor([3, 1])]
    values[which] = freed(values[which])
    with pytest.raises(UsageError, match="freed"):
        attend.attend(*values)


def test_dropout_checks_its_tensor_too():
    with pytest.raises(UsageError, match="freed"):
        ops.dropout(freed(torch.randn(5)), 0.5)


def test_the_default_device_and_dtype_of_torch_change_nothing():
    layer = nn.LSTM(5, 8)
    x = torch.randn(2, 2, 5, requires_grad=True)
    plain = layer.session(2)
    expected = [plain.step(x[0]), *plain.state]
    wanted = torch.autograd.grad(layer(x)[0].sum(), [x, *layer.parameters()])
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        other = layer.session(2)
        torch.testing.assert_close([other.step(x[0]), *other.state], expected, rtol=0, atol=0)
        layer.memory = "recompute"
        torch.testing.assert_close(torch.autograd.grad(layer(x)[0].sum(), [x, *layer.parameters()]), wanted, **CLOSE)
        assert ops.dropout(x.detach(), 0.5).device.type == "cpu"
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_a_session_takes_no_tensor_that_a_compiler_traces():
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(torch.randn(1, 5))
    with pytest.raises(UsageError, match="numbers in memory"):
        nn.GRU(5, 8).session().step(fake)


@pytest.mark.parametrize("change", ["shape", "dtype", "lengths"])
def test_the_operator_checks_what_it_reads(change):
    layer, x, lengths = nn.LSTM(5, 8), torch.randn(2, 2, 5), torch.tensor([2, 1])
    if change == "lengths":
        lengths = lengths.int()
    else:
        weight = layer.weight_hh_l0.detach()
        layer._parameters["weight_hh_l0"] = weight[:4] if change == "shape" else weight.double()
    with pytest.raises(UsageError, match="of recurra::forward must be"):
        operator(layer, x, torch.zeros(2, 1, 2, 8), lengths)


@pytest.mark.parametrize("value", [None, "text", [[[0.0] * 5]], {}, torch.zeros(4, 2, 5).numpy()])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN, lambda *sizes: nn.Recurrent(cells.GRU(), *sizes)])
def test_a_value_that_is_no_tensor_is_named(make: Any, grad: bool, value: Any):
    layer, x = make(5, 8), torch.zeros(4, 2, 5)
    calls = [lambda: layer(value)]
    if hasattr(layer, "step"):
        calls.append(lambda: layer.step(value))
    if value is not None:
        state = (value, value) if isinstance(layer, nn.LSTM) else (value,)
        calls.append(lambda: layer(x, state))
    for call in calls:
        with torch.set_grad_enabled(grad), pytest.raises(UsageError, match="must be a tensor, not "):
            call()


def test_zeros_without_memory_become_zeros_in_memory():
    found = materialize(torch._efficientzerotensor((2, 3)))
    assert found.data_ptr() != 0
    assert torch.equal(found, torch.zeros(2, 3))


def test_a_storage_must_reach_to_the_last_number():
    """The last of two rows of three numbers, five apart and from the fifth number on: 4 + 5 + 2, and itself."""
    whole = torch.arange(40.0)
    for held, enough in ((48, True), (47, False), (0, False)):
        view = whole.clone()[4:].as_strided((2, 3), (5, 1), 4)
        view.untyped_storage().resize_(held)
        if enough:
            check_storage("it", view)
        else:
            with pytest.raises(UsageError, match=f"the storage of it was freed .* holds {held} bytes of 48"):
                check_storage("it", view)
    empty = torch.zeros(0, 3)
    empty.untyped_storage().resize_(0)
    check_storage("it", empty)
    check_storage("it", torch.zeros(2, device="meta"))
    check_storage("it", torch._efficientzerotensor((2,)))


def test_addresses():
    values = torch.zeros(3)
    assert address(None) == 0
    assert address(values) == values.data_ptr() != 0
    assert address(values[1:]) == values.data_ptr() + 4
    assert address(torch.zeros(0)) == 0
    with pytest.raises(UsageError, match=r"shape \(3,\) has no memory"):
        address(freed(values))
    with pytest.raises(UsageError, match="a tensor of shape \\(3,\\) is on meta"):
        address(torch.zeros(3, device="meta"))


class Quiet(Tensor):
    pass


class Loud(Tensor):
    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise NotImplementedError


def test_who_watches():
    plain = torch.zeros(3)
    assert not watched()
    assert not watched(plain, torch.nn.Parameter(plain), plain.as_subclass(Quiet))
    assert watched(plain, Tensor._make_subclass(Loud, plain))
    with FakeTensorMode():
        assert watched(plain)
        assert watched()
    assert transforming() is False
    assert torch.func.vmap(lambda x: x + transforming())(plain).tolist() == [1.0] * 3


def test_plain_numbers_are_not_copied():
    plain = torch.arange(3.0)
    assert materialize(plain).data_ptr() == plain.data_ptr()
    turned = torch._neg_view(plain)
    assert materialize(turned).data_ptr() != plain.data_ptr()
    assert materialize(turned).tolist() == [-0.0, -1.0, -2.0]
    assert materialize(torch.zeros(0)).shape == (0,)
    with pytest.raises(UsageError, match="has no memory"):
        materialize(freed(plain))
