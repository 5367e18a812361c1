"""The native engine as operators of torch: what compilers, exporters and modes see of a call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from recurra import nn
from recurra.cells import GRU, LSTM, RNN
from recurra.errors import EngineError, UsageError
from recurra.ops import Stack
from recurra.ops.call import prepare
from recurra.ops.native import bindings, operators
from recurra.ops.native import engine as native

EXACT = {"rtol": 0, "atol": 0}
CELLS = {"tanh": RNN(), "relu": RNN("relu"), "lstm": LSTM(), "gru": GRU()}
LAYERS = {
    "tanh": lambda **options: nn.RNN(3, 4, **options),
    "relu": lambda **options: nn.RNN(3, 4, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(3, 4, **options),
    "projection": lambda **options: nn.LSTM(3, 4, proj_size=2, **options),
    "gru": lambda **options: nn.GRU(3, 4, **options),
}
every_layer = pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS.keys())

# torch's own, while it compiles
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    # asked by torch's compiler for every layer that it meets, also for those that it may compile
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def flat(result: Any) -> list[Tensor]:
    output, last = result
    return [output, *(last if isinstance(last, tuple) else (last,))]


# the operators themselves


def call(
    stack: Stack, lengths: list[int] | None, *, states: bool, memory: str = "full", dropout: float = 0.0
) -> tuple[tuple, tuple]:
    """Arguments of `torch.ops.recurra.forward` that lead to a backward pass: inputs and options."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    values, weights = draw(5, 3, stack.input_size), [draw(*shape) for _, shape in stack.named_shapes()]
    rows = stack.num_layers * stack.directions
    initial = [draw(rows, 3, size) for size in stack.state_sizes] if states else []
    options = {"memory": memory, "dropout": dropout, "training": dropout > 0}
    about, checked = prepare(stack, values, weights, lengths, tuple(initial) or None, **options)
    seed = torch.tensor(7) if dropout else None
    return (values, weights, initial, checked, seed), native.configure(about)


CALLS: dict[str, Callable[[], tuple[tuple, tuple]]] = {
    **{
        f"{name}, {kind}": lambda cell=cell, lengths=lengths, states=states: call(
            Stack(cell, 3, 4), lengths, states=states
        )
        for name, cell in CELLS.items()
        for kind, lengths, states in [("dense", None, False), ("ragged, states", [4, 0, 5], True)]
    },
    "both ways": lambda: call(Stack(GRU(), 3, 4, 2, bidirectional=True), [4, 0, 5], states=True),
    "projection": lambda: call(Stack(LSTM(), 3, 4, 2, bias=False, proj_size=2), [4, 0, 5], states=True),
    "recompute": lambda: call(Stack(LSTM(), 3, 4, 2, bidirectional=True), [4, 0, 5], states=True, memory="recompute"),
    "dropout": lambda: call(Stack(GRU(), 3, 4, 2), None, states=False, dropout=0.4),
}
every_call = pytest.mark.parametrize("build", CALLS.values(), ids=CALLS.keys())


@every_call
def test_the_operator_and_its_gradients_are_those_of_a_call(build):
    """All gradients together, and those of one kind of input alone."""
    inputs, config = build()
    values, weights, states, lengths, seed = inputs
    output, h, c, _ = torch.ops.recurra.forward(*inputs, *config, True, 0)
    results = [t for t in (output, h, c) if t.numel()]
    expected = bindings.forward(config, values, weights, states, lengths, seed, keep=True)
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=False))
    weighting = [torch.randn_like(r) for r in results]
    leaves = [values, *weights, *states]
    given = [*weighting, None][:3]
    back = bindings.backward(
        config, given, [values, *states, *weights], len(states), lengths, seed, expected[3].data_ptr(), (True,) * 3
    )
    of_values, of_states, of_weights = back[0], back[1 : 1 + len(states)], back[1 + len(states) :]
    whole = [of_values, *of_weights, *of_states]
    found = torch.autograd.grad(results, leaves, weighting, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(found, whole, strict=True))
    for part in ([values], weights, states):
        if part:
            some = torch.autograd.grad(results, part, weighting, retain_graph=True)
            at = [next(i for i, leaf in enumerate(leaves) if leaf is one) for one in part]
            assert all(torch.equal(a, whole[i]) for a, i in zip(some, at, strict=True))


@every_call
@pytest.mark.parametrize("keep", [True, False])
def test_what_compilers_are_told_has_the_shapes_of_the_results(build, keep):
    inputs, config = build()
    with torch.no_grad():
        real = operators._forward(*inputs, *config, keep, 0)
        told = operators._forward_fake(*inputs, *config, keep, 0)
        assert [(t.shape, t.dtype) for t in told] == [(t.shape, t.dtype) for t in real]
        if not keep:
            assert real[3].shape == (0,)
            return
        output, h, c, tape = real
        for needs in ((True, True, True), (True, False, False), (False, True, False), (False, False, True)):
            grads = (torch.ones_like(output), torch.ones_like(h), torch.ones_like(c) if c.numel() else None)
            arguments = (*grads, tape, *inputs, *config, *needs)
            shapes = [t.shape for t in operators._backward(*arguments)]
            assert [t.shape for t in operators._backward_fake(*arguments)] == shapes
            values, weights, states = inputs[:3]
            wanted = [values] * needs[0] + list(states) * needs[1] + list(weights) * needs[2]
            assert shapes == [t.shape for t in wanted]


@pytest.mark.parametrize(
    "change",
    [
        lambda i, c: ((i[0], i[1][:-1], *i[2:]), c),
        lambda i, c: ((i[0], [w[:-1] for w in i[1]], *i[2:]), c),
        lambda i, c: ((i[0], [w.float() for w in i[1]], *i[2:]), c),
        lambda i, c: ((i[0], i[1], [s[:, :-1] for s in i[2]], *i[3:]), c),
        lambda i, c: ((i[0], i[1], [s.float() for s in i[2]], *i[3:]), c),
        lambda i, c: ((*i[:3], i[3][:-1], i[4]), c),
        lambda i, c: ((*i[:3], i[3].int(), i[4]), c),
        lambda i, c: (i, c._replace(batch_first=True)),
        lambda i, c: (i, c._replace(num_layers=1)),
    ],
)
def test_what_the_operators_do_not_take(change):
    inputs, config = CALLS["both ways"]()
    with torch.no_grad():
        output, h, _, tape = operators._forward(*inputs, *config, True, 0)
        wrong, other = change(inputs, config)
        with pytest.raises(UsageError, match="of recurra::forward must be"):
            operators._forward(*wrong, *other, True, 0)
        with pytest.raises(UsageError, match="of recurra::forward must be"):
            operators._backward(output, h, None, tape, *wrong, *other, True, True, True)


PLAIN = ("test_schema", "test_autograd_registration", "test_faketensor")
ALL = (*PLAIN, "test_aot_dispatch_dynamic")  # which traces the call and takes most of the time


@every_call
def test_torch_finds_no_fault_with_the_forward_operator(build):
    inputs, config = build()
    torch.library.opcheck(torch.ops.recurra.forward.default, (*inputs, *config, True, 0))
    with torch.no_grad():
        torch.library.opcheck(torch.ops.recurra.forward.default, (*inputs, *config, False, 0), test_utils=PLAIN)


@every_call
def test_torch_finds_no_fault_with_the_backward_operator(build):
    inputs, config = build()
    with torch.no_grad():
        output, h, c, tape = torch.ops.recurra.forward(*inputs, *config, True, 0)
        grads = [torch.randn_like(t) if t.numel() else None for t in (output, h, c)]
        for used, needs in [
            (grads, (True, True, True)),
            ([grads[0], None, None], (False, False, True)),
            ([None, grads[1], None], (True, False, False)),
        ]:
            arguments = (*used, tape, *inputs, *config, *needs)
            utilities = ALL if all(needs) else PLAIN
            torch.library.opcheck(torch.ops.recurra.backward.default, arguments, test_utils=utilities)


@every_call
def test_a_forward_that_kept_nothing_says_so_in_backward(build):
    inputs, config = build()
    with pytest.raises(EngineError, match="kept nothing for a backward pass"):
        torch.ops.recurra.forward(*inputs, *config, False, 0)


# torch.compile


def measure(layer: Any, function: Callable, x: Tensor, *rest: Any) -> list[Tensor]:
    """Results of `function` and, in training, the gradients of all that has one."""
    torch.manual_seed(1)
    results = flat(function(x, *rest))
    if not torch.is_grad_enabled():
        return results
    torch.manual_seed(2)
    weighting = [torch.randn_like(r) for r in results]
    states = [t for t in rest[:1] if isinstance(t, Tensor)] or [*(rest[0] if rest and rest[0] else ())]
    leaves = [x, *states, *layer.parameters()]
    return [*(r.detach() for r in results), *torch.autograd.grad(results, leaves, weighting)]


def draw_states(layer: Any, batch: int) -> Any:
    rows = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 1 + isinstance(layer, nn.LSTM)]
    states = tuple(torch.randn(rows, batch, size).requires_grad_() for size in sizes)
    return states if len(states) == 2 else states[0]


def check_compiled(layer: Any, backend: str, lengths: list[int] | None, *, states: bool = False) -> None:
    """One graph, the same bits, in training and without gradients."""
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    x = torch.randn(5, 3, 3).requires_grad_()
    rest = (draw_states(layer, 3) if states else None, None if lengths is None else torch.tensor(lengths))
    torch.testing.assert_close(measure(layer, compiled, x, *rest), measure(layer, layer, x, *rest), **EXACT)
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(measure(layer, compiled, x, *rest), measure(layer, layer, x, *rest), **EXACT)


@every_layer
@pytest.mark.parametrize(("lengths", "states"), [(None, False), ([4, 0, 5], True)], ids=["dense", "ragged, states"])
def test_a_compiled_layer_is_one_graph_and_gives_the_same_bits(build, lengths, states):
    check_compiled(build(engine="native"), "aot_eager", lengths, states=states)


@pytest.mark.parametrize("options", [{"batch_first": True}, {"bidirectional": True}, {"memory": "recompute"}])
def test_options_of_a_layer_compile(options):
    layer = nn.LSTM(3, 4, 2, engine="native", **options)
    check_compiled(layer, "aot_eager", [3, 0, 1, 1, 2] if layer.batch_first else [3, 0, 5])


def test_a_layer_of_engine_auto_compiles_to_the_native_operator():
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    layer = nn.GRU(3, 4)
    torch.compile(layer, backend=backend, fullgraph=True)(torch.randn(5, 2, 3))
    (graph,) = graphs
    assert [n.target for n in graph.graph.nodes].count(torch.ops.recurra.forward) == 1


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("lengths", [None, [4, 0, 5]], ids=["dense", "ragged"])
def test_inductor_compiles_it_as_well(build, lengths):
    check_compiled(build(num_layers=2, bidirectional=True, engine="native"), "inductor", lengths, states=True)


@pytest.mark.slow
def test_inductor_compiles_what_stands_around_a_layer():
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.layer, self.last = torch.nn.Linear(3, 3), nn.LSTM(3, 4), torch.nn.Linear(4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            output, (h, _) = self.layer(self.first(x).tanh())
            return self.last(output.relu()), h * 2

    model, x = Model(), torch.randn(5, 3, 3).requires_grad_()
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(measure(model, compiled, x), measure(model, model, x))


@pytest.mark.slow
def test_what_an_engine_with_other_tapes_left_in_the_caches_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    layer, x, size = nn.RNN(3, 4), torch.randn(5, 3, 3).requires_grad_(), bindings.tape_size
    expected = measure(layer, layer, x)
    for more in (0, 16):  # an upgrade
        monkeypatch.setattr(bindings, "tape_size", lambda *about, more=more: size(*about) + more)
        monkeypatch.setattr(bindings, "TAPES", bindings.identify_tapes())
        torch._dynamo.reset()
        compiled = torch.compile(layer, backend="inductor", fullgraph=True)
        torch.testing.assert_close(measure(layer, compiled, x), expected, **EXACT)
    torch._dynamo.reset()


def test_another_shape_is_not_compiled_anew():
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    layer = nn.GRU(3, 4, batch_first=True, engine="native")
    compiled = torch.compile(layer, backend=counter, fullgraph=True, dynamic=True)
    for batch, steps in [(5, 7), (4, 7), (2, 9), (30, 3), (5, 11)]:
        x, lengths = torch.randn(batch, steps, 3).requires_grad_(), torch.randint(0, steps + 1, (batch,))
        expected = measure(layer, layer, x, None, lengths)
        torch.testing.assert_close(measure(layer, compiled, x, None, lengths), expected, **EXACT)
    assert counter.frame_count == 1


def test_dropout_in_a_compiled_layer_follows_the_seed_and_ends_in_eval():
    layer = nn.GRU(3, 4, 2, dropout=0.5, engine="native")
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), torch.randn(5, 3, 3)

    def seeded(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return compiled(x)[0]

    assert torch.equal(seeded(0), seeded(0))
    assert not torch.equal(seeded(0), seeded(1))
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(measure(layer, compiled, leaf), measure(layer, compiled, leaf), **EXACT)
    layer.eval()
    torch.testing.assert_close(seeded(0), layer(x)[0], **EXACT)


@pytest.mark.parametrize("lengths", [[6, 1, 1], [-1, 5, 5]])
def test_lengths_that_do_not_fit_are_an_error_in_a_compiled_call_too(lengths):
    compiled = torch.compile(nn.LSTM(3, 4, engine="native"), backend="aot_eager", fullgraph=True)
    x = torch.randn(5, 3, 3)
    compiled(x, None, torch.tensor([5, 5, 5]))
    why = f"between 0 and the 5 steps of the batch; got {min(lengths)} to {max(lengths)}"
    with pytest.raises(ValueError, match=why):
        compiled(x, None, torch.tensor(lengths))
    with pytest.raises(ValueError, match=why), torch.no_grad():
        compiled(x, None, torch.tensor(lengths))


def test_step_compiles():
    layer, x = nn.LSTM(3, 4, 2), torch.randn(6, 2, 3)

    def run(x: Tensor) -> tuple[Tensor, Any]:
        outputs, state = [], None
        for t in range(3):
            y, state = layer.step(x[t], state)
            outputs.append(y)
        return torch.stack(outputs), state

    x.requires_grad_()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(measure(layer, compiled, x), measure(layer, run, x), **EXACT)


@pytest.mark.parametrize("layer", [nn.GRU(3, 4, engine="builtin"), nn.GRU(3, 4, engine="reference")])
def test_other_engines_compile_as_before(layer):
    x = torch.randn(5, 2, 3).requires_grad_()
    compiled = torch.compile(layer, backend="aot_eager")
    torch.testing.assert_close(measure(layer, compiled, x), measure(layer, layer, x))


def test_a_layer_of_torch_beside_ours_is_treated_as_torch_does():
    def compile(model: torch.nn.Module) -> None:
        torch.compile(model, backend="eager", fullgraph=True)(torch.randn(5, 2, 4))

    ours, theirs = nn.LSTM(4, 4), torch.nn.LSTM(4, 4)
    compile(ours)
    for model in (theirs, torch.nn.LSTM(4, 4)):
        with pytest.raises(torch._dynamo.exc.Unsupported, match="does not support RNN, GRU, or LSTM"):
            compile(model)
    compile(ours)
    assert not torch._dynamo.config.allow_rnn

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ours, self.theirs = ours, theirs

        def forward(self, x: Tensor) -> Tensor:
            return self.theirs(self.ours(x + 1)[0] * 2)[0] + 1

    with pytest.raises(torch._dynamo.exc.Unsupported, match="does not support RNN, GRU, or LSTM"):
        compile(Both())
    model, x = Both(), torch.randn(5, 2, 4)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), model(x))
    assert not torch._dynamo.config.allow_rnn


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_the_compiler_is_not_loaded_until_it_is_asked_for_and_then_knows_our_layers():
    python(
        "import sys, torch; from recurra import nn\n"
        "layer = nn.LSTM(3, 4); layer(torch.zeros(5, 2, 3))[0].sum().backward()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "compiled = torch.compile(layer, backend='eager', fullgraph=True)\n"
        "assert torch.equal(compiled(torch.ones(5, 2, 3))[0], layer(torch.ones(5, 2, 3))[0])\n"
        "assert not torch._dynamo.config.allow_rnn\n"
    )


# torch.export


@every_layer
@pytest.mark.parametrize("ragged", [True, False])
def test_an_exported_program_takes_any_batch_and_time(build, ragged):
    layer = build(batch_first=True, num_layers=2, bidirectional=True, engine="native").eval()
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    arguments = (torch.randn(3, 5, 3), None, torch.tensor([4, 0, 5])) if ragged else (torch.randn(3, 5, 3),)
    shapes = ({0: batch, 1: time}, None, {0: batch})[: len(arguments)]
    with torch.no_grad():
        program = torch.export.export(layer, arguments, dynamic_shapes=shapes)
        assert torch.ops.recurra.forward.default in [node.target for node in program.graph.nodes]
        for rows, steps in [(3, 5), (2, 9), (17, 4)]:
            x, lengths = torch.randn(rows, steps, 3), torch.randint(0, steps + 1, (rows,))
            given = (x, None, lengths)[: len(arguments)]
            torch.testing.assert_close(program.module()(*given), layer(*given), **EXACT)


def test_an_exported_program_is_saved_and_loaded(tmp_path):
    layer, x = nn.GRU(3, 4, engine="native").eval(), torch.randn(5, 2, 3)
    with torch.no_grad():
        torch.export.save(torch.export.export(layer, (x,)), tmp_path / "gru.pt2")
        program = torch.export.load(tmp_path / "gru.pt2")
        torch.testing.assert_close(program.module()(x), layer(x), **EXACT)


# fake tensors and modes


@every_layer
@pytest.mark.parametrize("lengths", [None, [4, 0, 5]], ids=["dense", "ragged"])
def test_fake_tensors_have_the_shapes_of_real_ones(build, lengths):
    def run() -> list[Tensor]:
        layer = build(num_layers=2, bidirectional=True, engine="native")
        x = torch.randn(5, 3, 3).requires_grad_()
        given = (None, None if lengths is None else torch.tensor(lengths))
        found = measure(layer, layer, x, *given)
        with torch.no_grad():
            return [*found, *flat(layer(x, *given))]

    real = run()
    with FakeTensorMode():
        fake = run()
        single = build().step(torch.randn(2, 3))[0]
    assert all(isinstance(t, FakeTensor) for t in (*fake, single))
    assert [(t.shape, t.dtype, t.stride()) for t in fake] == [(t.shape, t.dtype, t.stride()) for t in real]


def test_fake_tensors_outside_their_mode_stay_fake():
    with FakeTensorMode():
        layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            assert isinstance(layer(x)[0], FakeTensor)
            assert isinstance(layer.step(x[0])[0], FakeTensor)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_what_records_operations_records_ours(mode):
    layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with mode():
        recorded = make_fx(lambda x: layer(x)[0])(x)
        torch.testing.assert_close(recorded(x * 2), layer(x * 2)[0], **EXACT)


def test_a_mode_that_looks_on_changes_no_bit():
    layer, x = nn.GRU(3, 4, engine="native"), torch.randn(5, 3, 3).requires_grad_()
    expected = measure(layer, layer, x, None, [4, 0, 5])

    class Looking(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    seen = []
    with Looking():
        torch.testing.assert_close(measure(layer, layer, x, None, [4, 0, 5]), expected, **EXACT)
    assert {torch.ops.recurra.forward.default, torch.ops.recurra.backward.default} <= {*seen}
