"""Recurrent dropout and zoneout: the equations of the papers, equal masks on every engine, and what each layer does."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from recurra import cells, nn
from recurra.cells import Cell, Mask, Regularized, Step, linear
from recurra.errors import UsageError
from recurra.exporting.c.weights import layer_of
from recurra.exporting.web.models.parts import describe_stack
from recurra.nn.conversion.from_torch import to_torch
from recurra.ops import Stack, batch_part, explain, recurrence
from recurra.tasks.base import Estimator

KINDS = {
    "per sequence": {"recurrent_dropout": 0.4},
    "per step": {"recurrent_dropout": 0.4, "per": "step"},
    "zoneout": {"zoneout": (0.3, 0.5)},
    "both": {"recurrent_dropout": 0.2, "per": "step", "zoneout": (0.0, 0.5)},
}
CELLS = [known.cell for known in cells.registry.known().values()] + [cells.SLSTM(2)]
PAIRS = [
    (cell, kind)
    for cell in CELLS
    for kind, options in KINDS.items()
    if not (kind == "per sequence" and not any(n.startswith("weight_hh") for n in cell.shapes(2, 4)))
    and not (options.get("zoneout") and not cell.mean_is_state)
]
every_kind = pytest.mark.parametrize(("cell", "kind"), PAIRS, ids=[f"{cell!r} {kind}" for cell, kind in PAIRS])


def call(cell, engine, *, dtype=torch.float64, layers=2, both=True, training=True, memory="full", seed=3, rows=None):
    """Output, states and all gradients of a ragged batch."""
    stack, rng = Stack(cell, 5, 18, layers, both), torch.Generator().manual_seed(0)
    weights = [torch.randn(s, dtype=dtype, generator=rng).mul_(0.4) for _, s in stack.named_shapes()]
    x, lengths = torch.randn(6, 7, 5, dtype=dtype, generator=rng), torch.tensor([7, 0, 3, 5, 7, 1])
    if rows is not None:
        x, lengths = x[rows], lengths[rows]
    inputs = [t.requires_grad_() for t in (x, *weights)]
    torch.manual_seed(seed)
    options = {"batch_first": True, "training": training, "memory": memory, "engine": engine}
    output, states = recurrence(stack, x, weights, lengths, **options)
    scales = [torch.linspace(0.5, 1.5, t.numel(), dtype=dtype).view(t.shape) for t in (output, *states)]
    loss = sum((t * scale).sum() for t, scale in zip((output, *states), scales, strict=True))
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [output, *states, *(torch.zeros(1) if g is None else g for g in grads)]


@every_kind
def test_the_engines_draw_the_same_masks(cell, kind):
    regularized = Regularized(cell, **KINDS[kind])
    expected, found = (call(regularized, engine) for engine in ("reference", "compiled"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    expected, found = (call(regularized, e, dtype=torch.float32, memory="recompute") for e in ("reference", "compiled"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not torch.equal(found[0], call(regularized, "compiled", dtype=torch.float32, seed=4)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_chunks_do_not_change_a_bit(kind):
    cell = Regularized(cells.LSTM(), **KINDS[kind])
    whole = call(cell, "compiled")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert all(torch.equal(a, b) for a, b in zip(call(cell, "compiled"), whole, strict=True))
    finally:
        torch.set_num_threads(before)
    chunked = call(cell, "compiled", memory="recompute")
    assert torch.equal(chunked[0], whole[0])
    for one, other in zip(chunked, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_batch_have_the_masks_of_the_whole_batch(kind, engine):
    cell = Regularized(cells.GRU(), **KINDS[kind])
    whole = call(cell, engine)[0]
    with batch_part(2, 3, rows=6):
        part = call(cell, engine, rows=slice(2, 5))[0]
    torch.testing.assert_close(part, whole[2:5], rtol=1e-12, atol=1e-12)


def drawn(shape):
    return torch.nn.functional.dropout(torch.ones(shape, dtype=torch.float64), 0.5)


def lstm_by_hand(x, h, c, w, *, seen=None, candidate=1.0):
    """The equations of an LSTM with the masks of Gal and Ghahramani (seen) and of Semeniuta and others (candidate)."""
    sums = x @ w["weight_ih"].T + w["bias_ih"] + (h if seen is None else h * seen) @ w["weight_hh"].T + w["bias_hh"]
    i, f, g, o = sums.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * (candidate * g.tanh())
    return o.sigmoid() * c.tanh(), c


def test_a_step_is_that_of_the_papers():
    torch.manual_seed(0)
    lstm = cells.LSTM()
    w = {n: torch.randn(s, dtype=torch.float64) for n, s in lstm.shapes(3, 4).items()}
    x, h, c, mask, other = *(torch.randn(2, n, dtype=torch.float64) for n in (3, 4, 4)), drawn((2, 4)), drawn((2, 4))
    per_sequence, per_step = Regularized(lstm, 0.5), Regularized(lstm, 0.5, "step")
    found = per_sequence.step(x, (h, c), w | dict.fromkeys(per_sequence.masks(4), mask)).state
    torch.testing.assert_close(found, lstm_by_hand(x, h, c, w, seen=mask))
    found = per_step.step(x, (h, c), w | dict.fromkeys(per_step.masks(4), mask)).state
    torch.testing.assert_close(found, lstm_by_hand(x, h, c, w, candidate=mask))
    zoned = Regularized(lstm, zoneout=(0.3, 0.6))
    new = lstm_by_hand(x, h, c, w)
    found = zoned.step(x, (h, c), w | dict(zip(zoned.masks(4), (mask, other), strict=True))).state
    expected = torch.where(mask > 0, new[0], h), torch.where(other > 0, new[1], c)
    torch.testing.assert_close(found, expected)
    found = zoned.step(x, (h, c), w).state  # evaluation
    torch.testing.assert_close(found, (0.3 * h + 0.7 * new[0], 0.6 * c + 0.4 * new[1]))
    assert torch.equal(per_sequence.step(x, (h, c), w).state[0], lstm.step(x, (h, c), w).state[0])


class Watching(Cell):
    """Returns its masks as gates."""

    name, gates, states = "watching", ("fixed", "fresh"), ("hidden",)

    def masks(self, hidden_size, *, proj_size=0):
        return {"fixed": Mask(hidden_size, 0.25), "fresh": Mask(hidden_size, 0.5, per_step=True)}

    def step(self, x, state, weights):
        (h,) = state
        fixed, fresh = (weights.get(name, torch.ones_like(h)) for name in ("fixed", "fresh"))
        h = 0 * h + fixed + 100 * fresh + 0 * linear(x, weights, "ih").chunk(2, -1)[0]
        return Step((h,), (fixed, fresh))


def test_a_cell_of_your_own_may_have_masks():
    layer = nn.Recurrent(Watching(), 2, 400, batch_first=True)
    assert str(explain(layer, torch.zeros(3, 8, 2))).startswith("served by compiled")
    output = layer(torch.zeros(3, 8, 2), lengths=[8, 5, 8])[0]
    fresh = (output / 100).round()
    fixed = output - 100 * fresh
    assert torch.equal(fresh.unique(), torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(fixed[0].round(decimals=2).unique(), torch.tensor([0.0, 1.33]))
    torch.testing.assert_close(fixed[0], fixed[0, :1].expand(8, -1), rtol=0, atol=1e-4)  # the same at all steps
    assert not torch.equal(fixed[0, 0] > 1, fixed[2, 0] > 1)
    assert not torch.equal(fresh[0, 0], fresh[0, 1])
    assert abs(float((fixed[0, 0] > 1).double().mean()) - 0.75) < 0.1
    assert abs(float((fresh[[0, 2]] > 1).double().mean()) - 0.5) < 0.05
    assert torch.equal(layer.eval()(torch.zeros(3, 8, 2))[0], torch.full((3, 8, 400), 101.0))


def test_gradients_are_those_of_finite_differences():
    cell = Regularized(cells.GRU(), 0.4, zoneout=(0.3, 0.0))
    stack = Stack(cell, 3, 4)
    inputs = [torch.randn(5, 2, 3, dtype=torch.float64)]
    inputs += [torch.randn(s, dtype=torch.float64) for _, s in stack.named_shapes()]

    def run(x, *weights):
        torch.manual_seed(5)
        return recurrence(stack, x, weights, [5, 3], training=True, engine="compiled")[0]

    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in inputs])


LAYERS = {
    "lstm": lambda **o: nn.LSTM(5, 8, num_layers=2, dropout=0.3, **o),
    "gru": lambda **o: nn.GRU(5, 8, bidirectional=True, **o),
    "rnn": lambda **o: nn.RNN(5, 8, memory="recompute", **o),
    "projection": lambda **o: nn.LSTM(5, 8, proj_size=3, **o),
    "own cell": lambda **o: nn.Recurrent("mgu", 5, 8, **o),
}
OPTIONS = {"recurrent_dropout": 0.4, "zoneout": (0.1, 0.2)}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_drop_in_training_and_average_in_evaluation(name):
    torch.manual_seed(0)
    plain, noisy = LAYERS[name](), LAYERS[name](recurrent_dropout=0.4)
    noisy.load_state_dict(plain.state_dict())
    x = torch.randn(6, 3, 5)
    with torch.no_grad():
        assert not torch.equal(plain(x)[0], noisy(x)[0])
        assert not torch.equal(noisy(x)[0], noisy(x)[0])
        assert torch.equal(plain.eval()(x)[0], noisy.eval()(x)[0])
    zoned = LAYERS[name](**OPTIONS)
    zoned.load_state_dict(plain.state_dict())
    assert not torch.equal(zoned.eval()(x)[0], plain(x)[0])
    assert torch.equal(pickle.loads(pickle.dumps(zoned))(x)[0], zoned(x)[0])  # noqa: S301
    assert torch.equal(copy.deepcopy(zoned)(x)[0], zoned(x)[0])
    assert "recurrent_dropout=0.4, zoneout=" in repr(zoned)


def test_steps_and_sessions_of_zoneout_equal_a_call():
    torch.manual_seed(0)
    layer, x, state = nn.LSTM(5, 8, zoneout=0.2).eval(), torch.randn(6, 1, 5), None
    session = layer.session()
    with torch.no_grad():
        expected = layer(x)[0]
        for t in range(6):
            found, state = layer.step(x[t], state)
            torch.testing.assert_close(found, expected[t])
            torch.testing.assert_close(session.step(x[t]), expected[t])


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler looks at masked weights
def test_torch_compile_drops_too():
    torch.manual_seed(0)
    layer, x = nn.GRU(5, 8, recurrent_dropout=0.5, zoneout=0.1), torch.randn(4, 3, 5)
    compiled = torch.compile(layer, backend="eager")
    assert not torch.equal(compiled(x)[0], compiled(x)[0])
    layer.eval()
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_every_network_takes_the_options():
    options = {"recurrent_dropout": 0.25, "recurrent_dropout_per": "step", "zoneout": 0.1}
    for layer in (
        nn.RecurrentSpec("gru", hidden_size=4, **options).build(3),
        nn.SequenceEncoder(10, 4, **options).recurrent,
        nn.ContextNetwork(10, 4, **options).forwards,
        Estimator(**options)._recurrent().build(3),
    ):
        assert {name: getattr(layer, name) for name in options} == options


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(5, 8, recurrent_dropout=1.0), "recurrent_dropout must lie in"),
        (lambda: nn.GRU(5, 8, zoneout=(0.1, -1)), "zoneout must lie in"),
        (lambda: nn.GRU(5, 8, zoneout=(0.1, 0.2, 0.3)), "zoneout is one probability"),
        (lambda: nn.RNN(5, 8, recurrent_dropout=0.1, recurrent_dropout_per="layer"), "is one of sequence, step"),
        (lambda: nn.Recurrent("mingru", 5, 8, recurrent_dropout=0.1), "mingru does not have; choose dropout per step"),
        (lambda: nn.Recurrent("slstm", 5, 8, zoneout=0.1), "a mean of two states|the mean of two states"),
        (lambda: to_torch(nn.Recurrent("gru", 5, 8, zoneout=0.1)), "torch has no zoneout"),
        (lambda: layer_of(nn.LSTM(5, 8, zoneout=0.1)), "zoneout has no form in C"),
        (lambda: describe_stack(nn.LSTM(5, 8, zoneout=0.1)), "the format web has no zoneout"),
    ],
)
def test_what_cannot_be_done_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_cell_must_pass_its_candidate_to_alter():
    class Silent(Watching):
        name, gates = "silent", ("candidate", "other")

        def masks(self, hidden_size, *, proj_size=0):
            return {}

    class Unknown(cells.LSTM):
        name = "unknown"

        def step(self, x, state, weights):
            return super().step(x, state, {**weights, "weight_hh": torch.tanh(weights["weight_hh"])})

    class Careless(Silent):
        name = "careless"

        def step(self, x, state, weights, alter=cells.as_is):
            return super().step(x, state, weights)

    per_step = {"recurrent_dropout": 0.5, "recurrent_dropout_per": "step"}
    for cell in (Silent(), Careless()):
        with pytest.raises(UsageError, match=r"calls alter\('candidate', gate\)"):
            nn.Recurrent(cell, 2, 4, engine="reference", **per_step)(torch.zeros(3, 2, 2))
    layer = nn.Recurrent(Unknown(), 2, 4, recurrent_dropout=0.5)
    assert layer(torch.zeros(3, 2, 2))[0].shape == (3, 2, 4)  # a function of the matrix alone is known
    stack = torch.nn.ModuleList([nn.LSTM(5, 8, recurrent_dropout=0.5)])
    assert layer_of(stack[0])[0] == "lstm"
    assert type(to_torch(nn.Recurrent("gru", 5, 8, recurrent_dropout=0.5))) is torch.nn.GRU


def test_onnx_has_zoneout(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    import recurra

    torch.manual_seed(0)
    layer, x = nn.LSTM(5, 8, batch_first=True, zoneout=(0.1, 0.3)).eval(), torch.randn(2, 6, 5)
    recurra.export(layer, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [one.name for one in session.get_inputs()]
    feed = {"x": x.numpy(), "lengths": torch.tensor([6, 6]).numpy()}
    found = session.run(None, {name: feed[name] for name in names if name in feed})[0]
    torch.testing.assert_close(torch.from_numpy(found), layer(x)[0].detach(), rtol=1e-4, atol=1e-5)
