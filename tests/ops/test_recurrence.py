"""The recurrence itself: its derivatives, cells of one's own, dropout, and what it refuses.

That the engines compute what torch.nn computes is shown in tests/nn/test_parity.py.
"""

from __future__ import annotations

import math

import pytest
import torch

from recurra import nn
from recurra.cells import GRU, LSTM, RNN, Cell, Step, linear
from recurra.errors import EngineError
from recurra.ops import Stack, explain, recurrence

EXACT = {"rtol": 0, "atol": 0}
LENGTHS = [3, 0, 1]

every_cell = pytest.mark.parametrize("cell", [RNN(), GRU(), LSTM()], ids=lambda cell: cell.name)
every_engine = pytest.mark.parametrize("engine", ["native", "builtin", "reference"])


def draw_weights(stack, **options):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator, **options) / 2 for _, s in stack.named_shapes()]


def draw_states(stack, batch, **options):
    rows = stack.num_layers * stack.directions
    return tuple(torch.randn(rows, batch, size, **options) for size in stack.state_sizes)


def flat(result):
    output, states = result
    return (output, *states)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class MinimalGated(Cell):
    """A GRU with one gate for both purposes (Zhou et al. 2016)."""

    name, gates, states = "mgu", ("forget", "candidate"), ("hidden",)

    def step(self, x, state, weights):
        (h,) = state
        f_x, n_x = linear(x, weights, "ih").chunk(2, -1)
        f_h, n_h = linear(h, weights, "hh").chunk(2, -1)
        f = torch.sigmoid(f_x + f_h)
        n = torch.tanh(n_x + f * n_h)
        return Step(((1 - f) * h + f * n,), (f, n))


class Peephole(Cell):
    """An LSTM whose gates also see the cell state, through weights of their own (Gers & Schmidhuber 2000)."""

    name, gates, states = "peephole", ("input", "forget", "candidate", "output"), ("hidden", "cell")

    def shapes(self, input_size, hidden_size, *, bias=True, proj_size=0):
        usual = super().shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        return usual | {"weight_peep": (3, hidden_size)}

    def step(self, x, state, weights):
        h, c = state
        i, f, g, o = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(4, -1)
        p_i, p_f, p_o = weights["weight_peep"]
        i, f, g = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c), torch.tanh(g)
        c = f * c + i * g
        o = torch.sigmoid(o + p_o * c)
        return Step((o * torch.tanh(c), c), (i, f, g, o))


own_cells = pytest.mark.parametrize("cell", [MinimalGated(), Peephole()], ids=lambda cell: cell.name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("cell", "proj_size"), [(RNN(), 0), (GRU(), 0), (LSTM(), 0), (LSTM(), 2)])
def test_weights_are_named_shaped_and_ordered_as_torchs(cell, proj_size, bidirectional, bias):
    options = {"bias": bias, "bidirectional": bidirectional, "proj_size": proj_size}
    theirs = torch.nn.RNNBase({"rnn": "RNN_TANH"}.get(cell.name, cell.name.upper()), 3, 4, 3, **options)
    stack = Stack(cell, 3, 4, 3, **options)
    assert [*stack.named_shapes()] == [(name, weight.shape) for name, weight in theirs.named_parameters()]
    assert stack.output_size == theirs.weight_ih_l1.shape[1]


def check_derivatives(cell, check, engine="reference"):
    """Runs `check` on a stacked, bidirectional, ragged call as a function of all that has a gradient."""
    stack = Stack(cell, 2, 2, num_layers=2, bidirectional=True)
    values = torch.randn(3, 3, 2, dtype=torch.float64)
    states = draw_states(stack, 3, dtype=torch.float64)
    weights = draw_weights(stack, dtype=torch.float64)

    def function(values, *rest):
        states, weights = rest[: len(cell.states)], rest[len(cell.states) :]
        return flat(recurrence(stack, values, weights, LENGTHS, states, engine=engine))

    inputs = [t.requires_grad_() for t in (values, *states, *weights)]
    return check(function, inputs, fast_mode=True)


@pytest.mark.parametrize("cell", [RNN(), GRU(), LSTM(), MinimalGated(), Peephole()], ids=lambda cell: cell.name)
def test_the_references_derivatives_are_right(cell):
    assert check_derivatives(cell, torch.autograd.gradcheck)
    assert check_derivatives(cell, torch.autograd.gradgradcheck)


@pytest.mark.parametrize("cell", [RNN(), RNN("relu"), GRU(), LSTM()], ids=["tanh", "relu", "gru", "lstm"])
def test_the_native_derivatives_are_right(cell):
    assert check_derivatives(cell, torch.autograd.gradcheck, "native")


@every_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_the_reference_in_bfloat16_is_near_float32(cell, lengths):
    stack = Stack(cell, 3, 4, num_layers=2, bidirectional=True)
    values, weights, states = torch.randn(3, 3, 3), draw_weights(stack), draw_states(stack, 3)

    def run(dtype):
        halves = [w.to(dtype) for w in weights], lengths, tuple(s.to(dtype) for s in states)
        return flat(recurrence(stack, values.to(dtype), *halves, engine="reference"))

    low = run(torch.bfloat16)
    assert {t.dtype for t in low} == {torch.bfloat16}
    torch.testing.assert_close(low, run(torch.float32), rtol=0, atol=0.05, check_dtype=False)


@every_engine
@every_cell
def test_recurrent_with_a_known_cell_is_torchs_layer(cell, engine):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cell.name.upper())(3, 4, 2, bidirectional=True, dtype=torch.float64)
    torch.manual_seed(0)
    ours = nn.Recurrent(cell, 3, 4, 2, bidirectional=True, dtype=torch.float64, engine=engine)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **EXACT)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    expected, last = theirs(x)
    output, states = ours(x)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(states, last if isinstance(last, tuple) else (last,), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_peepholes_of_zero_leave_torchs_lstm(bidirectional):
    theirs = torch.nn.LSTM(3, 4, 2, bidirectional=bidirectional, dtype=torch.float64)
    ours = nn.Recurrent(Peephole(), 3, 4, 2, bidirectional=bidirectional, dtype=torch.float64)
    loaded = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert loaded.unexpected_keys == []
    for name in loaded.missing_keys:
        assert name.startswith("weight_peep_l")
        torch.nn.init.zeros_(ours.get_parameter(name))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-14)


@own_cells
def test_an_own_cell_runs_one_layer_step_by_step(cell):
    layer = nn.Recurrent(cell, 3, 4, batch_first=True, engine="reference")
    weights = {name.removesuffix("_l0"): weight for name, weight in layer.named_parameters()}
    x, state = torch.randn(2, 5, 3), tuple(s[0] for s in draw_states(layer.stack, 2))
    output, last = layer(x, tuple(s.unsqueeze(0) for s in state))
    for t in range(5):
        state = cell.step(x[:, t], state, weights).state
        torch.testing.assert_close(output[:, t], state[0], **EXACT)
    torch.testing.assert_close(last, tuple(s.unsqueeze(0) for s in state), **EXACT)


@own_cells
@pytest.mark.parametrize("bias", [True, False])
def test_an_own_cell_runs_ragged_as_each_sequence_alone(cell, bias):
    options = {"bidirectional": True, "batch_first": True, "bias": bias, "dtype": torch.float64}
    layer = nn.Recurrent(cell, 3, 4, 2, **options)
    assert bias == hasattr(layer, "bias_hh_l1_reverse")
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    states = draw_states(layer.stack, 3, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        x[row, length:] = torch.nan
    output, last = layer(x, states, LENGTHS)
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        alone, end = layer(x[one, :length], tuple(s[:, one] for s in states))
        torch.testing.assert_close(output[one, :length], alone, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(tuple(s[:, one] for s in last), end, rtol=1e-12, atol=1e-14)
        assert not output[row, length:].any()
    gradients = torch.autograd.grad(output.sum() + sum(s.sum() for s in last), [*layer.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@own_cells
def test_an_own_cell_is_compiled_and_the_engines_before_say_why_not(cell):
    layer = nn.Recurrent(cell, 3, 4)
    x = torch.randn(2, 1, 3)
    assert layer.explain(x).engine == explain(layer, x).engine == "compiled"
    why_not = {"native": "the native engine has no kernel", "builtin": "torch has no kernel"}
    assert explain(layer, x).refusals == {name: f"{why} for the cell '{cell.name}'" for name, why in why_not.items()}
    for layer.engine, why in why_not.items():
        with pytest.raises(EngineError, match=f"{why} for the cell '{cell.name}'"):
            layer(x)


def test_a_subclass_of_a_known_cell_is_an_own_cell():
    class Loud(GRU):
        def step(self, x, state, weights):
            return Step((torch.ones_like(state[0]),), state * 3)

    output, _ = nn.Recurrent(Loud(), 3, 4)(torch.randn(2, 1, 3))
    assert output.eq(1).all()


@pytest.mark.parametrize("engine", ["auto", "native", "reference"])
@every_cell
@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("ragged", [True, False])
def test_a_call_without_steps_or_sequences_gives_outputs_without_them(cell, steps, batch, ragged, engine):
    stack = Stack(cell, 3, 4, num_layers=2, bidirectional=True)
    values, states, weights = torch.zeros(steps, batch, 3), draw_states(stack, batch), draw_weights(stack)
    leaves = [t.requires_grad_() for t in (*states, values, *weights)]
    output, last = recurrence(stack, values, weights, [0] * batch if ragged else None, states, engine=engine)
    assert output.shape == (steps, batch, 8)
    assert [s.shape for s in last] == [s.shape for s in states]
    if steps == 0:
        torch.testing.assert_close(last, states, **EXACT)
    ends = [t for t in (output, *last) if t.requires_grad]  # an output without elements may come from nowhere
    gradients = torch.autograd.grad(ends, leaves, [torch.ones_like(e) for e in ends], materialize_grads=True)
    assert all(gradient.eq(1).all() for gradient in gradients[: len(states)])
    assert not any(gradient.any() for gradient in gradients[len(states) :])


def drop(engine, lengths=None, *, num_layers=2, dropout=0.3, training=True, seed=0):
    """A stack that copies: one step of a relu RNN with identity weights, from values of 1 to 2."""
    size, batch = 64, 500
    stack = Stack(RNN("relu"), size, size, num_layers, bias=False)
    weights = [torch.eye(size) if "ih" in name else torch.zeros(shape) for name, shape in stack.named_shapes()]
    values = torch.rand(1, batch, size, generator=torch.Generator().manual_seed(1)) + 1
    torch.manual_seed(seed)
    options = {"dropout": dropout, "training": training, "engine": engine}
    output, (last,) = recurrence(stack, values, weights, lengths, **options)
    return values, output, last


def ragged_or_dense(test):
    return pytest.mark.parametrize("lengths", [None, [1] * 500], ids=["dense", "ragged"])(test)


@every_engine
@ragged_or_dense
def test_dropout_drops_its_share_and_scales_the_rest(engine, lengths):
    values, output, last = drop(engine, lengths)
    dropped = output == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / output.numel()))
    torch.testing.assert_close(output[~dropped], values[~dropped] / 0.7)
    assert output.mean().item() == pytest.approx(values.mean().item(), rel=0.02)
    torch.testing.assert_close(last[0], values[0], **EXACT)


@every_engine
@ragged_or_dense
def test_dropout_follows_the_seed(engine, lengths):
    first, again, other = (drop(engine, lengths, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_engine
@ragged_or_dense
@pytest.mark.parametrize("options", [{"training": False}, {"num_layers": 1}], ids=["eval", "one layer"])
def test_dropout_is_between_layers_and_in_training_only(engine, lengths, options):
    values, output, _ = drop(engine, lengths, **options)
    torch.testing.assert_close(output, values, **EXACT)


GRU_STACK, LSTM_STACK = Stack(GRU(), 3, 4, 2), Stack(LSTM(), 3, 4)


@every_engine
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2, 3], r"lengths must have shape \(2,\), one per sequence; got \(3,\)"),
        ([[1, 2]], r"must have shape \(2,\).*got \(1, 2\)"),
        (3, r"must have shape \(2,\).*got \(\)"),
        ([-1, 2], "between 0 and the 5 steps of the batch; got -1 to 2"),
        ([2, 6], "between 0 and the 5 steps of the batch; got 2 to 6"),
        ([1.0, 2.0], "lengths must be whole numbers, got torch.float32"),
        ([True, False], "lengths must be whole numbers, got torch.bool"),
    ],
    ids=["too many", "nested", "a number", "negative", "too long", "float", "bool"],
)
def test_wrong_lengths_are_named(engine, lengths, message):
    values = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match=message):
        recurrence(GRU_STACK, values, draw_weights(GRU_STACK), lengths, engine=engine)


@every_engine
@pytest.mark.parametrize(
    ("stack", "states", "message"),
    [
        (GRU_STACK, [(2, 2, 4), (2, 2, 4)], r"gru has 1 states \(hidden\), got 2"),
        (LSTM_STACK, [(1, 2, 4)], r"lstm has 2 states \(hidden, cell\), got 1"),
        (GRU_STACK, [(1, 2, 4)], r"initial hidden state must have shape \(2, 2, 4\), got \(1, 2, 4\)"),
        (
            LSTM_STACK,
            [(1, 2, 4), (1, 2, 3)],
            r"initial cell state must have shape \(1, 2, 4\), got \(1, 2, 3\)",
        ),
    ],
    ids=["two for a GRU", "one for an LSTM", "layers", "size"],
)
def test_wrong_states_are_named(engine, stack, states, message):
    values = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match=message):
        recurrence(stack, values, draw_weights(stack), None, tuple(map(torch.zeros, states)), engine=engine)


@every_engine
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(5, 2, 4), r"3 dimensions, the last of size 3; got \(5, 2, 4\)"),
        (torch.zeros(5, 3), r"3 dimensions, the last of size 3; got \(5, 3\)"),
        (
            torch.zeros(5, 2, 3, dtype=torch.float64),
            "values are torch.float64 but weight_ih_l0 is torch.float32",
        ),
        (torch.zeros(5, 2, 3, dtype=torch.int64), "values are torch.int64 but weight_ih_l0 is torch.float32"),
    ],
    ids=["features", "dimensions", "float64", "integers"],
)
def test_wrong_values_are_named(engine, values, message):
    with pytest.raises(ValueError, match=message):
        recurrence(GRU_STACK, values, draw_weights(GRU_STACK), engine=engine)


@every_engine
def test_wrong_weights_are_named(engine):
    # oneDNN would read beyond the end of a weight that is too small
    values, weights = torch.zeros(5, 2, 3), draw_weights(LSTM_STACK)
    with pytest.raises(ValueError, match="this stack has 4 weights, got 3"):
        recurrence(LSTM_STACK, values, weights[:-1], engine=engine)
    weights[1] = weights[1][:, :-1]
    with pytest.raises(ValueError, match=r"weight_hh_l0 must have shape \(16, 4\), got \(16, 3\)"):
        recurrence(LSTM_STACK, values, weights, engine=engine)


@every_engine
def test_a_state_of_another_dtype_is_named(engine):
    state = torch.zeros(2, 2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"values are torch.float32 but the initial hidden state is torch.float64"):
        recurrence(GRU_STACK, torch.zeros(5, 2, 3), draw_weights(GRU_STACK), None, (state,), engine=engine)


@pytest.mark.parametrize("size", ["input_size", "hidden_size", "num_layers"])
def test_a_stack_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"{size} must be at least 1, got 0"):
        Stack(**{"cell": GRU(), "input_size": 1, "hidden_size": 1, "num_layers": 1, size: 0})
