"""The native engine under the transforms of `torch.func`, and what it says to second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from recurra import nn
from recurra.errors import EngineError

EXACT = {"rtol": 0, "atol": 0}
WHY = 'first derivatives only; use engine="builtin" or "reference"'
OPTIONS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
    "projection": {"proj_size": 2},
}
KINDS = {"tanh": nn.RNN, "relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "projection": nn.LSTM}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_length = pytest.mark.parametrize("lengths", [None, (4, 0, 2, 5)], ids=["dense", "ragged"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind: str, **options: Any) -> Any:
    options = {"num_layers": 2, "engine": "native", "dtype": torch.float64, **OPTIONS[kind], **options}
    return KINDS[kind](3, 4, **options)


def draw_states(layer: Any, batch: int) -> Any:
    """Initial states as the layer takes them."""
    rows = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 1 + isinstance(layer, nn.LSTM)]
    states = tuple(torch.randn(rows, batch, size, dtype=torch.float64) for size in sizes)
    return states if len(states) == 2 else states[0]


def weights_of(layer: Any) -> dict[str, Tensor]:
    return {name: w.detach() for name, w in layer.named_parameters()}


def loss_of(layer: Any) -> Callable:
    """A number that hangs on the output and all final states."""

    def loss(weights: dict[str, Tensor], x: Tensor, states: Any = None, lengths: Any = None) -> Tensor:
        output, last = functional_call(layer, weights, (x, states, lengths))
        finals = last if isinstance(last, tuple) else (last,)
        return output.square().sum() + sum(s.sin().sum() for s in finals)

    return loss


def flat(states: Any) -> list[Tensor]:
    return [] if states is None else [*states] if isinstance(states, tuple) else [states]


def gradients(layer: Any, loss: Callable, x: Tensor, states: Any, lengths: Any) -> list[Tensor]:
    """Those of the weights, values and states, by plain autograd."""
    leaves = [x.clone().requires_grad_(), *(s.clone().requires_grad_() for s in flat(states))]
    given = None if states is None else tuple(leaves[1:]) if isinstance(states, tuple) else leaves[1]
    parameters = dict(layer.named_parameters())
    return [*torch.autograd.grad(loss(parameters, leaves[0], given, lengths), [*parameters.values(), *leaves])]


def in_order(found: tuple, states: Any) -> list[Tensor]:
    weights, values, *rest = found
    return [*weights.values(), values, *(flat(rest[0]) if states is not None else [])]


@every_kind
@every_length
@pytest.mark.parametrize("with_states", [True, False], ids=["states", "no states"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "memory": "recompute"}], ids=["plain", "recompute"])
def test_grad_is_that_of_autograd(kind, lengths, with_states, options):
    layer = build(kind, **options)
    loss, x = loss_of(layer), torch.randn(5, 4, 3, dtype=torch.float64)
    states = draw_states(layer, 4) if with_states else None
    found = grad(loss, argnums=(0, 1, 2) if with_states else (0, 1))(weights_of(layer), x, states, lengths)
    expected = gradients(layer, loss, x, states, lengths)
    torch.testing.assert_close(in_order(found, states), expected)


@every_kind
@every_length
@pytest.mark.parametrize("bidirectional", [True, False])
def test_per_sample_gradients_are_those_of_each_sample(kind, lengths, bidirectional):
    layer = build(kind, bidirectional=bidirectional)
    loss, x, states = loss_of(layer), torch.randn(4, 5, 1, 3, dtype=torch.float64), draw_states(layer, 4)
    apart = tuple(s.unsqueeze(2) for s in states) if isinstance(states, tuple) else states.unsqueeze(2)
    given = (weights_of(layer), x, apart, None if lengths is None else torch.tensor(lengths).unsqueeze(1))
    dims = (None, 0, 1, None if lengths is None else 0)
    found = in_order(vmap(grad(loss, argnums=(0, 1, 2)), dims)(*given), states)
    for i in range(4):
        own = tuple(s[:, i] for s in apart) if isinstance(apart, tuple) else apart[:, i]
        expected = gradients(layer, loss, x[i], own, None if lengths is None else [lengths[i]])
        torch.testing.assert_close([f[i] for f in found], expected)


@every_kind
@every_length
def test_an_ensemble_is_each_of_its_models(kind, lengths):
    models = [build(kind, bidirectional=True) for _ in range(3)]
    weights, _ = stack_module_state(models)
    x, states = torch.randn(5, 4, 3, dtype=torch.float64), draw_states(models[0], 4)

    def call(weights: dict[str, Tensor]) -> Any:
        return functional_call(models[0], weights, (x, states, lengths))

    for context in (torch.enable_grad, torch.no_grad):
        with context():
            output, last = vmap(call)(weights)
        for i, model in enumerate(models):
            expected = model(x, states, lengths)
            torch.testing.assert_close([output[i], *(s[i] for s in flat(last))], [expected[0], *flat(expected[1])])


def test_an_ensemble_trains_each_of_its_models():
    models = [build("lstm") for _ in range(3)]
    weights, _ = stack_module_state(models)
    loss, x = loss_of(models[0]), torch.randn(5, 4, 3, dtype=torch.float64)
    vmap(loss, (0, None))(weights, x).sum().backward()
    for i, model in enumerate(models):
        loss(dict(model.named_parameters()), x).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(weights[name].grad[i], parameter.grad)


@every_kind
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("what", ["values", "states"])
def test_vmap_of_a_call(kind, context, what):
    layer = build(kind)
    x, states = torch.randn(3, 5, 2, 3, dtype=torch.float64), draw_states(layer, 6)
    many = [s.unflatten(1, (3, 2)) for s in flat(states)]
    if what == "values":
        found, all_found = (lambda x: layer(x)[0], (x,)), [layer(x[i])[0] for i in range(3)]
        with context():
            actual = vmap(found[0])(*found[1])
    else:

        def call(*states: Tensor) -> Tensor:
            return layer(x[0], states if len(states) == 2 else states[0])[0]

        all_found = [call(*(s[:, i] for s in many)) for i in range(3)]
        with context():
            actual = vmap(call, 1)(*many)
    torch.testing.assert_close([*actual], all_found)


def test_vmap_within_vmap():
    layer, x = build("gru"), torch.randn(2, 3, 5, 4, 3, dtype=torch.float64)
    expected = layer(x.movedim((0, 1), (1, 2)).flatten(1, 3))[0].unflatten(1, (2, 3, 4)).movedim((1, 2), (0, 1))
    torch.testing.assert_close(vmap(vmap(lambda x: layer(x)[0]))(x), expected)


def test_dropout_under_vmap_is_drawn_as_asked():
    layer, x = build("gru", dropout=0.5), torch.randn(5, 4, 3, dtype=torch.float64).expand(3, 5, 4, 3)
    for randomness, same in [("same", True), ("different", False)]:
        output = vmap(lambda x: layer(x)[0], randomness=randomness)(x)
        assert torch.equal(output[0], output[1]) == same
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda x: layer(x)[0])(x)


@every_kind
@every_length
def test_derivatives_are_right_under_grad(kind, lengths):
    layer = build(kind, num_layers=1)
    loss, names = loss_of(layer), [*weights_of(layer)]
    x, states = torch.randn(5, 4, 3, dtype=torch.float64), draw_states(layer, 4)
    step = 1e-6
    found = in_order(grad(loss, argnums=(0, 1, 2))(weights_of(layer), x, states, lengths), states)
    tensors = [*weights_of(layer).values(), x, *flat(states)]
    directions = [torch.randn_like(t) for t in tensors]

    def moved(size: float) -> Tensor:
        new = [t + size * d for t, d in zip(tensors, directions, strict=True)]
        weights, rest = dict(zip(names, new[: len(names)], strict=True)), new[len(names) :]
        return loss(weights, rest[0], tuple(rest[1:]) if len(rest) == 3 else rest[1], lengths)

    with torch.no_grad():
        slope = (moved(step) - moved(-step)) / (2 * step)
    torch.testing.assert_close(
        sum((f * d).sum() for f, d in zip(found, directions, strict=True)), slope, rtol=1e-6, atol=1e-6
    )


# second derivatives


@every_kind
@pytest.mark.parametrize("lengths", [None, [2, 0]], ids=["dense", "ragged"])
def test_a_second_derivative_is_refused_however_it_is_taken(kind, lengths):
    layer = build(kind, num_layers=1)
    loss, weights = loss_of(layer), weights_of(layer)
    x = torch.randn(3, 2, 3, dtype=torch.float64)

    def of_values(x: Tensor) -> Tensor:
        return loss(weights, x, None, lengths)

    def eagerly() -> None:
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(of_values(leaf), leaf, create_graph=True)
        torch.autograd.grad(first.sum(), leaf)

    ways: dict[str, Callable] = {
        "create_graph": eagerly,
        "grad of grad": lambda: grad(lambda x: grad(of_values)(x).sum())(x),
        "jacrev of grad": lambda: torch.func.jacrev(grad(of_values))(x),
        "vmap of grad of grad": lambda: vmap(grad(lambda x: grad(of_values)(x).sum()))(x.expand(2, 3, 2, 3)),
        "weights": lambda: grad(lambda w: sum(g.sum() for g in grad(loss)(w, x, None, lengths).values()))(weights),
        "functional.hessian": lambda: torch.autograd.functional.hessian(of_values, x),
    }
    refused = []
    for name, way in ways.items():
        try:
            way()
        except EngineError as error:
            assert WHY in str(error)  # noqa: PT017 - which of them was not refused is said below
            refused.append(name)
    assert refused == [*ways]


def test_a_second_derivative_of_a_compiled_call_is_refused():
    torch._dynamo.reset()
    layer = build("gru")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    # torch itself refuses, for whatever it compiled
    (first,) = torch.autograd.grad(compiled(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        torch.autograd.grad(first.sum(), x)
    torch._dynamo.reset()


def test_the_operator_refuses_a_second_derivative():
    layer = build("gru")
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    weights = [w for _, w in layer.named_parameters()]
    config = (3, 4, 0, 2, False, True, False, 0.0, 0, False)
    output, *_ = torch.ops.recurra.forward(x, weights, [], None, None, *config, True, 0)
    (first,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    with pytest.raises(EngineError, match=WHY):
        torch.autograd.grad(first.sum(), x)


@every_kind
def test_the_reference_gives_second_derivatives(kind):
    layer = build(kind, num_layers=1, engine="reference")
    loss, weights = loss_of(layer), weights_of(layer)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    hessian = torch.func.jacrev(grad(lambda x: loss(weights, x, None, [2, 3])))(x)
    expected = torch.autograd.functional.hessian(lambda x: loss(weights, x, None, [2, 3]), x)
    torch.testing.assert_close(hessian, expected)
    assert hessian.any()
    torch.testing.assert_close(hessian.flatten(3).flatten(0, 2), hessian.flatten(3).flatten(0, 2).T)
