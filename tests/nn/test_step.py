"""One time step at a time, and the quick ways of plain calls: the same bits as the long way, whatever comes in."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize

from recurra import nn

EXACT = {"rtol": 0, "atol": 0}
CLOSE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}
OPTIONS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
    "projection": {"proj_size": 5},
}
KINDS = {"tanh": nn.RNN, "relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "projection": nn.LSTM}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_dtype = pytest.mark.parametrize("dtype", CLOSE, ids=str)
one_kind_each = pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind: str, **options: Any) -> Any:
    return KINDS[kind](7, 17, **{"num_layers": 2, **OPTIONS[kind], **options})


def draw_states(layer: Any, *batch: int) -> Any:
    """Initial states as the layer takes them."""
    rows = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 1 + isinstance(layer, nn.LSTM)]
    states = tuple(torch.randn(rows, *batch, size, dtype=layer.weight_ih_l0.dtype) for size in sizes)
    return states if len(states) == 2 else states[0]


def flat(states: Any) -> list[Tensor]:
    return [*states] if isinstance(states, tuple) else [states]


def run_steps(layer: Any, x: Tensor, state: Any = None) -> list[Tensor]:
    """Outputs of all steps of `(time, ...)`, and the last state."""
    outputs = []
    for t in range(len(x)):
        y, state = layer.step(x[t], state)
        outputs.append(y)
    return [torch.stack(outputs), *flat(state)]


def run_at_once(layer: Any, x: Tensor, state: Any = None) -> list[Tensor]:
    swap = layer.batch_first and x.dim() == 3
    output, last = layer(x.transpose(0, 1) if swap else x, state)
    return [output.transpose(0, 1) if swap else output, *flat(last)]


# step by step


@every_kind
@every_dtype
@pytest.mark.parametrize("batch", [None, 1, 3, 40])
@pytest.mark.parametrize("given", [True, False], ids=["state given", "from zeros"])
def test_steps_are_a_call(kind, dtype, batch, given):
    for options in ({"num_layers": 1}, {"num_layers": 3}, {"batch_first": True}, {"bias": False}):
        layer = build(kind, dtype=dtype, **options)
        shape = () if batch is None else (batch,)
        x, state = torch.randn(12, *shape, 7, dtype=dtype), draw_states(layer, *shape) if given else None
        expected = [t.detach() for t in run_at_once(layer, x, state)]
        for context in (torch.no_grad, torch.inference_mode, torch.enable_grad):
            with context():
                torch.testing.assert_close([t.detach() for t in run_steps(layer, x, state)], expected, **CLOSE[dtype])


@pytest.mark.parametrize("engine", ["builtin", "reference"])
@every_kind
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_steps_of_the_other_engines_are_a_call(kind, engine):
    layer, x = build(kind, engine=engine), torch.randn(6, 3, 7)
    with torch.no_grad():
        torch.testing.assert_close(run_steps(layer, x), run_at_once(layer, x))


@every_kind
@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients_flow_through_steps(kind, batch_first):
    layer = build(kind, dtype=torch.float64, batch_first=batch_first)
    x, state = torch.randn(6, 3, 7, dtype=torch.float64).requires_grad_(), draw_states(layer, 3)
    leaves = [x, *(s.requires_grad_() for s in flat(state)), *layer.parameters()]
    results = run_steps(layer, x, state), run_at_once(layer, x, state)
    weighting = [torch.randn_like(r) for r in results[0]]
    found, expected = (torch.autograd.grad(r, leaves, weighting) for r in results)
    torch.testing.assert_close(found, expected)


@one_kind_each
def test_a_state_is_carried_over_many_steps(kind):
    layer, x = build(kind, dtype=torch.float64), torch.randn(3000, 2, 7, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(run_steps(layer, x), run_at_once(layer, x), **CLOSE[torch.float64])


@every_kind
def test_a_state_may_be_changed_between_steps(kind):
    layer, x, fresh = build(kind), torch.randn(2, 3, 7), build(kind)
    fresh.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for change in (
            lambda s: s.zero_(),
            lambda s: s[:, 1].zero_(),
            lambda s: s.copy_(torch.randn_like(s)),
            lambda s: s.mul_(-1),
            lambda s: setattr(s, "data", torch.ones_like(s)),
        ):
            _, state = layer.step(x[0])
            for s in flat(state):
                change(s)
            copied = copy.deepcopy(state)
            torch.testing.assert_close(layer.step(x[1], state), fresh.step(x[1], copied), **EXACT)


@every_kind
def test_one_state_may_go_on_in_several_ways(kind):
    layer, x = build(kind), torch.randn(4, 3, 7)
    with torch.no_grad():
        _, state = layer.step(x[0])
        kept = copy.deepcopy(state)
        ways = [layer.step(x[i], state) for i in (1, 2, 3)]
        torch.testing.assert_close(state, kept, **EXACT)
        torch.testing.assert_close([layer.step(x[i], kept) for i in (1, 2, 3)], ways, **EXACT)


@every_kind
def test_results_of_steps_do_not_share_memory(kind):
    layer, x = build(kind), torch.randn(50, 3, 7)
    with torch.no_grad():
        outputs, state, copies = [], None, []
        for t in range(50):
            y, state = layer.step(x[t], state)
            outputs += [y, *flat(state)]
            copies += [y.clone(), *(s.clone() for s in flat(state))]
    torch.testing.assert_close(outputs, copies, **EXACT)


@every_kind
def test_layouts_of_a_step_make_no_difference(kind):
    layer, x, state = build(kind), torch.randn(3, 7), draw_states(build(kind), 3)
    spread = tuple(torch.stack([s, s], -1)[..., 0] for s in flat(state))
    spread = spread if len(spread) == 2 else spread[0]
    with torch.no_grad():
        expected = layer.step(x, state)
        for values in (x.T.contiguous().T, torch.cat([x, x], -1)[:, :7], torch.stack([x, x], -1)[..., 0]):
            for given in (state, spread, [*state] if isinstance(state, tuple) else state):
                torch.testing.assert_close(layer.step(values, given), expected, **CLOSE[torch.float32])
        row = x[:1].expand(3, 7)
        torch.testing.assert_close(layer.step(row, state), layer.step(row.clone(), state), **CLOSE[torch.float32])


@every_kind
def test_a_step_of_no_sequences(kind):
    layer = build(kind)
    for context in (torch.no_grad, torch.enable_grad):
        with context():
            y, state = layer.step(torch.zeros(0, 7))
            assert y.shape == (0, layer.proj_size or 17)
            again, _ = layer.step(torch.zeros(0, 7), state)
            assert again.shape == y.shape


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3, 8),), "the last of size 7"),
        ((torch.zeros(8),), "the last of size 7"),
        ((torch.zeros(2, 3, 7),), r"\(batch, features\) or \(features,\), got \(2, 3, 7\)"),
        ((torch.tensor(0.0),), r"\(batch, features\) or \(features,\), got \(\)"),
        ((torch.zeros(3, 7), torch.zeros(2, 4, 17)), r"hidden state must have shape \(2, 3, 17\), got \(2, 4, 17\)"),
        ((torch.zeros(3, 7), torch.zeros(1, 3, 17)), r"hidden state must have shape \(2, 3, 17\), got \(1, 3, 17\)"),
        ((torch.zeros(3, 7), torch.zeros(2, 3, 16)), r"hidden state must have shape \(2, 3, 17\), got \(2, 3, 16\)"),
        ((torch.zeros(3, 7), torch.zeros(2, 17)), "batched input the initial state must have 3 dim"),
        ((torch.zeros(7), torch.zeros(2, 1, 17)), "unbatched input the initial state must have 2 dim"),
        ((torch.zeros(3, 7), torch.zeros(2, 3, 17).double()), "float32 but the initial hidden state is torch.float64"),
        ((torch.zeros(3, 7).double(),), "values are torch.float64 but weight_ih_l0 is torch.float32"),
    ],
)
def test_a_step_that_does_not_fit_is_a_clear_error(context, arguments, message):
    layer = build("gru")
    with context(), pytest.raises((ValueError, RuntimeError), match=message):
        layer.step(*arguments)


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_the_state_of_another_batch_is_a_clear_error(context):
    layer = build("lstm")
    with context():
        _, state = layer.step(torch.zeros(3, 7))
        with pytest.raises(ValueError, match=r"hidden state must have shape \(2, 4, 17\), got \(2, 3, 17\)"):
            layer.step(torch.zeros(4, 7), state)
        with pytest.raises(ValueError, match="initial state of an LSTM is a pair"):
            layer.step(torch.zeros(3, 7), state[0])


@every_kind
@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_a_bidirectional_layer_cannot_run_step_by_step(kind, context):
    with context(), pytest.raises(ValueError, match="cannot run step by step"):
        build(kind, bidirectional=True).step(torch.zeros(3, 7))


# whichever weights the layer has at the moment


def replace(layer: Any) -> None:
    for p in layer.parameters():
        p.data = torch.randn_like(p) / 4


def relayout(layer: Any) -> None:
    for p in layer.parameters():
        p.data = p.data.T.contiguous().T if p.dim() == 2 else p.data


def turn(layer: Any) -> None:
    # the same object with the same shape at the same address
    for p in layer.parameters():
        if p.dim() == 2 and p.shape[0] == p.shape[1]:
            p.data = p.data.T


def reassign(layer: Any) -> None:
    for name, p in [*layer.named_parameters()]:
        setattr(layer, name, torch.nn.Parameter(torch.randn_like(p) / 4))


CHANGES: dict[str, Callable] = {
    "in place": lambda layer: [p.mul_(0.5) for p in layer.parameters()],
    "signs": lambda layer: [p.neg_() for p in layer.parameters()],
    "signs of one": lambda layer: layer.weight_hh_l0.neg_(),
    "exponents": lambda layer: [p.mul_(1 / 16) for p in layer.parameters()],
    "one number": lambda layer: layer.weight_hh_l1[0, 0].fill_(2.0),
    "rows": lambda layer: layer.weight_hh_l0.copy_(layer.weight_hh_l0.flip(0)),
    ".data": replace,
    "layout": relayout,
    "turned around": turn,
    "new parameters": reassign,
    "load_state_dict": lambda layer: layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()}),
    "assigned": lambda layer: layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()}, assign=True),
    "reset": lambda layer: layer.reset_parameters(),
}


@every_kind
@every_dtype
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_weights_are_used_at_once(kind, dtype, change):
    size = OPTIONS[kind].get("proj_size", 64)
    layer = KINDS[kind](size, 64, **{"num_layers": 2, "dtype": dtype, **OPTIONS[kind]})
    x = torch.randn(20, 8, size, dtype=dtype)  # so much that weights are packed and kept

    def results(layer: Any) -> list:
        with torch.no_grad():
            quickly = [layer(x), layer(x), layer(x[:1, :1]), layer.step(x[0]), layer.step(x[0, :1])]
        return [*quickly, layer(x)]

    results(layer)
    with torch.no_grad():
        change(layer)
    torch.testing.assert_close(results(layer), results(anew(layer)), **EXACT)


def anew(layer: Any) -> Any:
    """The same layer, which has not been called."""
    new = copy.deepcopy(layer)
    new.__dict__.pop("_fast_layers", None)
    return new


@every_kind
def test_another_type_of_number_is_used_at_once(kind):
    layer, x = build(kind), torch.randn(20, 8, 7)
    for dtype in (torch.float32, torch.float64, torch.float32):
        layer.to(dtype)
        values = x.to(dtype)
        with torch.no_grad():
            torch.testing.assert_close(layer.step(values[0]), anew(layer).step(values[0]), **EXACT)
            torch.testing.assert_close(layer(values), anew(layer)(values), **EXACT)
            other = values.to(torch.float64 if dtype == torch.float32 else torch.float32)
            for call in (layer.step, layer):
                with pytest.raises(ValueError, match="convert one of them"):
                    call(other[0] if call == layer.step else other)


@every_kind
@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_parametrized_weights_are_used(kind, context):
    layer, x = build(kind), torch.randn(5, 3, 7)
    with context():
        before = layer(x)[0]
    parametrizations.weight_norm(layer, "weight_hh_l0")
    plain = build(kind)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(3)
        plain.load_state_dict({name: getattr(layer, name) for name in plain.state_dict()})
    with context():
        torch.testing.assert_close(layer(x), plain(x), **CLOSE[torch.float32])
        torch.testing.assert_close(layer.step(x[0]), plain.step(x[0]), **CLOSE[torch.float32])
        parametrize.remove_parametrizations(layer, "weight_hh_l0")
        torch.testing.assert_close(layer(x), plain(x), **CLOSE[torch.float32])
        assert not torch.equal(layer(x)[0], before)


@every_kind
@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_weights_of_functional_call_are_used_for_that_call_only(kind, context):
    layer, other, x = build(kind), build(kind), torch.randn(20, 8, 7)
    weights = {name: w.detach() for name, w in other.named_parameters()}
    with context():
        own = layer(x)
        for given in (weights, {name: w.clone().T.contiguous().T for name, w in weights.items() if w.dim() == 2}):
            full = {**{n: w.detach() for n, w in layer.named_parameters()}, **given}
            other.load_state_dict(full)
            torch.testing.assert_close(functional_call(layer, given, (x,)), other(x), **EXACT)
            torch.testing.assert_close(layer(x), own, **EXACT)


def test_gradients_reach_the_weights_of_functional_call():
    layer, x = build("gru"), torch.randn(5, 3, 7)
    scale = torch.ones((), requires_grad=True)
    weights = {name: w.detach() * scale for name, w in layer.named_parameters()}
    (found,) = torch.autograd.grad(functional_call(layer, weights, (x,))[0].sum(), scale)
    own = torch.autograd.grad(layer(x)[0].sum(), [*layer.parameters()])
    torch.testing.assert_close(found, sum((g * w).sum() for g, w in zip(own, layer.parameters(), strict=True)))


@every_kind
def test_layers_may_share_weights(kind):
    layer = build(kind, num_layers=3)
    apart = anew(layer)
    layer.weight_hh_l2 = layer.weight_hh_l1
    with torch.no_grad():
        apart.weight_hh_l2.copy_(layer.weight_hh_l1)
    x = torch.randn(5, 3, 7)
    torch.testing.assert_close(layer(x), apart(x), **EXACT)
    for model in (layer, apart):
        model(x)[0].square().sum().backward()
    torch.testing.assert_close(layer.weight_hh_l1.grad, apart.weight_hh_l1.grad + apart.weight_hh_l2.grad)


# one layer in many places


@every_kind
def test_python_threads_share_a_layer(kind):
    layer = KINDS[kind](7, 64, **{"num_layers": 2, **OPTIONS[kind]})
    xs = [torch.randn(20, batch, 7) for batch in (1, 3, 8, 40)]

    def work(x: Tensor) -> list[Tensor]:
        with torch.no_grad():
            results = [*run_steps(layer, x), *run_at_once(layer, x)]
        output = layer(x)[0]
        return [*results, output.detach(), *torch.autograd.grad(output.sum(), [*layer.parameters()])]

    expected = [work(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            torch.testing.assert_close([*pool.map(work, xs, timeout=60)], expected, **EXACT)


def pickled(layer: Any) -> Any:
    return pickle.loads(pickle.dumps(layer))  # noqa: S301 - our own


@every_kind
@pytest.mark.parametrize("how", [copy.deepcopy, pickled, copy.copy])
def test_a_layer_is_copied_after_use(kind, how):
    layer, x = build(kind), torch.randn(5, 3, 7)
    with torch.no_grad():
        expected = layer(x), layer.step(x[0])
        copied = how(layer)
        torch.testing.assert_close((copied(x), copied.step(x[0])), expected, **EXACT)
        if how is not copy.copy:
            copied.weight_ih_l0.mul_(2)
            torch.testing.assert_close((layer(x), layer.step(x[0])), expected, **EXACT)
            assert not torch.equal(copied(x)[0], expected[0][0])
    copied(x)[0].sum().backward()


def test_a_layer_is_saved_whole_after_use(tmp_path):
    layer, x = build("lstm"), torch.randn(5, 3, 7)
    expected = layer(x)
    torch.save(layer, tmp_path / "layer.pt")
    torch.testing.assert_close(torch.load(tmp_path / "layer.pt", weights_only=False)(x), expected, **EXACT)


def test_weights_of_one_call_are_not_kept_alive():
    layer, x = build("gru"), torch.randn(5, 3, 7)
    for context in (torch.no_grad, torch.enable_grad):
        weights = {name: w * 2 for name, w in layer.named_parameters()}
        gone = [weakref.ref(w) for w in weights.values()]
        with context():
            functional_call(layer, weights, (x,))
        del weights
        gc.collect()
        assert not any(ref() is not None for ref in gone)


def test_a_layer_that_its_weights_know_is_collected():
    layer, x = build("gru"), torch.randn(5, 3, 7)
    layer(x)
    with torch.no_grad():
        layer.step(x[0])
    gone = weakref.ref(layer), weakref.ref(layer.weight_ih_l0)
    layer.weight_ih_l0.register_hook(lambda gradient, layer=layer: None)
    del layer
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


# the quick ways


def without_quick_ways(monkeypatch, layer: Any) -> Any:
    slow = anew(layer)
    monkeypatch.setitem(slow.__dict__, "_fast_layers", defaultdict(lambda: None))
    return slow


def measure(layer: Any, x: Tensor, state: Any, lengths: Any) -> list[Tensor]:
    """Results with and without gradients, and the gradients."""
    with torch.no_grad():
        quick = layer(x, state, lengths)
    output, last = layer(x, state, lengths)
    results = [output, *flat(last)]
    torch.manual_seed(1)
    weighting = [torch.randn(r.shape, dtype=r.dtype, device="cpu") for r in results]
    leaves = [x, *([] if state is None else flat(state)), *layer.parameters()]
    found = torch.autograd.grad(results, leaves, weighting, materialize_grads=True)
    return [quick[0], *flat(quick[1]), *(r.detach() for r in results), *found]


INPUTS: dict[str, Callable[[int, int], Tensor]] = {
    "contiguous": lambda steps, batch: torch.randn(steps, batch, 7),
    "swapped": lambda steps, batch: torch.randn(batch, steps, 7).transpose(0, 1),
    "rows apart": lambda steps, batch: torch.randn(steps, batch, 20)[..., 3:10],
    "every other feature": lambda steps, batch: torch.randn(steps, batch, 14)[..., ::2],
    "features first": lambda steps, batch: torch.randn(7, steps, batch).movedim(0, 2),
    "every other step": lambda steps, batch: torch.randn(2 * steps, batch, 7)[::2],
    "one sequence for all": lambda steps, batch: torch.randn(steps, 1, 7).expand(steps, batch, 7),
    "one step for all": lambda steps, batch: torch.randn(1, batch, 7).expand(steps, batch, 7),
    "one number for all": lambda steps, batch: torch.randn(1, 1, 1).expand(steps, batch, 7),
}


@every_kind
@pytest.mark.parametrize("draw", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "bidirectional": True}], ids=["plain", "both ways"])
def test_the_quick_ways_give_the_same_bits(kind, draw, options, monkeypatch):
    layer = build(kind, **options)
    slow = without_quick_ways(monkeypatch, layer)
    for steps, batch in [(6, 4), (1, 1), (20, 33), (0, 3), (4, 0)]:
        x, state = draw(steps, batch), draw_states(layer, batch)
        x = (x.transpose(0, 1) if layer.batch_first else x).detach().requires_grad_()
        for s in flat(state):
            s.requires_grad_()
        for lengths in (None, torch.randint(0, steps + 1, (batch,))):
            # both with large batches, otherwise each with and without lengths
            for given in (state, None) if batch == 33 else (state,) if lengths is None else (None,):
                expected = measure(slow, x, given, lengths)
                torch.testing.assert_close(measure(layer, x, given, lengths), expected, **EXACT)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def to_numpy_and_back() -> Any:
    return torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), torch.from_numpy)


def to_another_layout() -> Any:
    return torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.detach().clone(), lambda t: torch.stack([t, t], -1)[..., 0] if t.dim() else t
    )


CONTEXTS: dict[str, Callable[[], Any]] = {
    "no context": nullcontext,
    "float64 by default": lambda: default_dtype(torch.float64),
    "meta by default": lambda: torch.device("meta"),
    "saved as numpy": to_numpy_and_back,
    "saved in another layout": to_another_layout,
    "saved on the CPU": torch.autograd.graph.save_on_cpu,
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
}


@one_kind_each
@every_dtype
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_the_quick_ways_give_the_same_bits_in_every_context(kind, dtype, context, training, monkeypatch):
    layer = build(kind, dtype=dtype, dropout=0.5).train(training)
    slow = without_quick_ways(monkeypatch, layer)
    x, state = torch.randn(6, 4, 7, dtype=dtype).requires_grad_(), draw_states(layer, 4)
    for s in flat(state):
        s.requires_grad_()
    for lengths in (None, [3, 0, 6, 1], torch.tensor([3, 0, 6, 1])):
        found = []
        for each in (layer, slow):
            torch.manual_seed(3)
            with context():
                found.append(measure(each, x, state, lengths))
        torch.testing.assert_close(*found, **EXACT)
        assert all(t.dtype == dtype and t.device.type == "cpu" for t in found[0])
        if training:  # drawn from the same seed outside the context
            torch.manual_seed(3)
        torch.testing.assert_close(found[0], measure(slow, x, state, lengths), **EXACT)
    with torch.no_grad(), context():
        torch.testing.assert_close(layer.step(x[0], state), slow.step(x[0], state), **CLOSE[dtype])


@one_kind_each
def test_the_quick_ways_in_inference_mode(kind, monkeypatch):
    layer, x = build(kind), torch.randn(6, 4, 7)
    slow = without_quick_ways(monkeypatch, layer)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), slow(x), **EXACT)
        torch.testing.assert_close(layer.step(x[0]), slow.step(x[0]), **CLOSE[torch.float32])
        assert layer(x)[0].is_inference()
    lengths = torch.tensor([3, 0, 6, 1])
    with torch.inference_mode():
        inside = lengths.clone()
    torch.testing.assert_close(
        measure(layer, x.requires_grad_(), None, inside), measure(slow, x, None, lengths), **EXACT
    )


@one_kind_each
def test_under_autocast_all_ways_give_float32_and_float64_stays(kind, monkeypatch):
    for dtype in (torch.float32, torch.float64):
        layer, x = build(kind, dtype=dtype), torch.randn(6, 4, 7, dtype=dtype).requires_grad_()
        slow = without_quick_ways(monkeypatch, layer)
        with torch.autocast("cpu", torch.bfloat16):
            found = measure(layer, x, None, None)
            torch.testing.assert_close(found, measure(slow, x, None, None), **EXACT)
        torch.testing.assert_close(found, measure(slow, x, None, None), **EXACT)
