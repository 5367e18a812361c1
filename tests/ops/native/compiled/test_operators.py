"""Compiled cells under the tools of torch: torch.compile, torch.func, fake tensors and operator checks."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, vmap

from recurra import nn
from recurra.errors import EngineError
from recurra.ops.native.compiled import operators
from recurra.ops.native.compiled.cell import cells_of

LENGTHS = torch.tensor([7, 3, 0, 5])


@pytest.fixture(autouse=True)
def fresh():
    """A compiler without the graphs of other tests, whose number it limits."""
    torch._dynamo.reset()


def make(cell="mgu", **options):
    torch.manual_seed(0)
    return nn.Recurrent(cell, 5, 8, num_layers=2, bidirectional=True, batch_first=True, **options)


def gradients(layer, run, x):
    x = x.clone().requires_grad_()
    output, states = run(x, lengths=LENGTHS)
    loss = output.square().sum() + sum(state.sum() for state in states)
    return [output, *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_layer_runs_on_the_engine_in_one_graph(backend):
    layer, x = make("peephole_lstm", engine="compiled"), torch.randn(4, 7, 5)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    expected = gradients(layer, layer, x)
    for one, other in zip(gradients(layer, compiled, x), expected, strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        assert torch.equal(compiled(x)[0], layer(x)[0])
        states = tuple(torch.randn(4, 4, 8) for _ in range(2))
        assert torch.equal(compiled(x, states)[0], layer(x, states)[0])


def test_masks_are_drawn_anew_at_each_call_of_a_graph():
    layer, x = make("gru", recurrent_dropout=0.4, zoneout=0.2), torch.randn(4, 7, 5)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    first, second = compiled(x)[0], compiled(x)[0]
    assert not torch.equal(first, second)
    first.sum().backward()
    layer.eval()
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_a_cell_that_cannot_be_compiled_runs_as_a_loop_in_the_graph():
    class Cumulative(type(nn.Recurrent("mgu", 2, 2).stack.cell)):
        name = "cumulative"

        def step(self, x, state, weights):
            return super().step(x.cumsum(-1), state, weights)

    layer, x = nn.Recurrent(Cumulative(), 5, 8), torch.randn(3, 2, 5)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_copies_of_a_layer_have_graphs_of_their_own():
    layer, x = make(), torch.randn(4, 7, 5)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301
        assert other._number != layer._number
        with torch.no_grad():
            other.weight_hh_l0.mul_(0.5)
        assert torch.equal(torch.compile(other, backend="eager", fullgraph=True)(x)[0], other(x)[0])


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # by torch's forward mode
def test_gradients_of_functions():
    layer, reference = (make(engine=engine) for engine in ("compiled", "reference"))
    weights, x = {name: weight.detach() for name, weight in layer.named_parameters()}, torch.randn(4, 7, 5)

    def loss(layer, weights, x):
        output, (state,) = functional_call(layer, weights, (x,))
        return output.square().sum() + state.sum()

    def each(layer):
        return vmap(grad(lambda w, one: loss(layer, w, one[None])), in_dims=(None, 0))(weights, x)

    expected = each(reference)
    for name, found in each(layer).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)
    expected = grad(lambda w: loss(reference, w, x))(weights)
    for name, found in grad(lambda w: loss(layer, w, x))(weights).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)
    with pytest.raises(EngineError, match="first derivatives only"):
        grad(lambda one: grad(lambda two: loss(layer, weights, two))(one).sum())(x)
    automatic = make()
    found = jvp(lambda one: automatic(one)[0], (x,), (torch.ones_like(x),))[1]  # by the reference engine
    torch.testing.assert_close(found, jvp(lambda one: reference(one)[0], (x,), (torch.ones_like(x),))[1])


def test_fake_tensors_have_the_shapes():
    with FakeTensorMode():
        output, (state,) = make()(torch.randn(4, 7, 5), lengths=torch.tensor([7, 7, 7, 7]))
    assert (tuple(output.shape), tuple(state.shape)) == ((4, 7, 16), (4, 4, 8))


def test_the_operators_keep_the_rules_of_torch():
    layer = nn.Recurrent("mgu", 3, 4)
    cells = cells_of(layer.stack)
    assert not isinstance(cells, str)
    inputs = torch.randn(5, 2, 3).requires_grad_(), [], list(layer.parameters()), torch.tensor([5, 2])
    call = (*inputs, None, [], 0, operators.key_of(cells[0]), False, False, True)
    torch.library.opcheck(operators.forward, call)
    assert cells[0].key.startswith("mgu:")
    assert cells[0].key != cells_of(nn.Recurrent("gru", 3, 4).stack)[0].key
