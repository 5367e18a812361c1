"""The layers against torch.nn's, over random configurations: dense, packed, ragged, on both devices.

Ragged batches have no counterpart in torch: there every sequence runs alone through torch's layer.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from recurra import nn

# torch's own remark, once per process, when an LSTM with proj_size runs in float32
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

# builtin runs torch's own kernels: on the same call it must give the same bits
EXACT = {"rtol": 0, "atol": 0}
CLOSE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 5e-6}}

every_engine = pytest.mark.parametrize("engine", ["native", "builtin", "reference"])
but_native = pytest.mark.parametrize("engine", ["builtin", "reference"])  # on CUDA
every_kind = pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])


@st.composite
def layers(draw):
    """A layer's class name and constructor arguments, which torch and Recurra share."""
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    options = {
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": draw(st.integers(2, 5)),
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM":
        options["proj_size"] = draw(st.integers(0, options["hidden_size"] - 1))
    if options["num_layers"] > 1:
        options["dropout"] = draw(st.sampled_from([0.0, 0.4]))
    return kind, options


def build(kind, options):
    """torch's layer and ours, each drawn from the same seed."""
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(**options)
    torch.manual_seed(1)
    return theirs, getattr(nn, kind)(**options)


def draw_states(layer, *batch):
    """Random initial states as a tuple, one more for an LSTM."""
    rows = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size]
    if isinstance(layer, torch.nn.LSTM):
        sizes.append(layer.hidden_size)
    return tuple(draw_leaf(rows, *batch, size, dtype=layer.weight_ih_l0.dtype) for size in sizes)


def draw_leaf(*shape, **options):
    return torch.randn(*shape, **options).requires_grad_()


def as_hx(states):
    """States as torch's layers take them."""
    return states if states is None or len(states) == 2 else states[0]


def as_states(hx):
    return hx if isinstance(hx, tuple) else (hx,)


def measure(layer, call, x, states):
    """Outputs, final states and all gradients of a random projection of both, by name."""
    torch.manual_seed(2)
    output, hx = call(x, as_hx(states))
    results = {"output": output, **{f"state {i}": s for i, s in enumerate(as_states(hx))}}
    torch.manual_seed(3)
    weighting = [torch.randn(r.shape, dtype=r.dtype).to(r.device) for r in results.values()]
    leaves = {"x": x, **{f"initial {i}": s for i, s in enumerate(states or ())}}
    leaves |= dict(layer.named_parameters())
    gradients = torch.autograd.grad([*results.values()], [*leaves.values()], weighting, materialize_grads=True)
    return {
        **{name: r.detach() for name, r in results.items()},
        **{f"gradient of {name}": g for name, g in zip(leaves, gradients, strict=True)},
    }


def random_calls(check, examples, **arguments):
    """A test of `check` with that many random arguments."""
    return settings(max_examples=examples)(given(layer=layers(), training=st.booleans(), **arguments)(check))


def check_a_call_of_torchs_layer(layer, steps, batch, with_states, training):
    kind, options = layer
    theirs, ours = build(kind, options)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **EXACT)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.normal_(std=0.5)
    ours.load_state_dict(theirs.state_dict())
    theirs.train(training)
    ours.train(training)

    shape = [steps] if batch is None else [batch, steps] if ours.batch_first else [steps, batch]
    x = draw_leaf(*shape, ours.input_size, dtype=options["dtype"])
    states = draw_states(theirs, *([] if batch is None else [batch])) if with_states else None
    expected = measure(theirs, theirs, x, states)

    ours.engine = "builtin"
    torch.testing.assert_close(measure(ours, ours, x, states), expected, **EXACT)

    if training and options.get("dropout"):
        return  # the other engines draw their dropout differently
    for ours.engine in ["native", "reference"]:
        actual = measure(ours, ours, x, states)
        if options.get("nonlinearity") == "relu" and x.dtype == torch.float32:
            # a sum that rounds to the other side of 0 has another gradient, and both are right
            actual, expected = ({k: r for k, r in d.items() if "gradient" not in k} for d in (actual, expected))
        torch.testing.assert_close(actual, expected, **CLOSE[x.dtype])


CALLS = {"steps": st.integers(1, 8), "batch": st.none() | st.integers(1, 5), "with_states": st.booleans()}
test_a_call_of_torchs_layer_gives_the_same_here = random_calls(check_a_call_of_torchs_layer, 60, **CALLS)
test_many_calls_of_torchs_layer_give_the_same_here = pytest.mark.slow(
    random_calls(check_a_call_of_torchs_layer, 400, **CALLS)
)


@every_engine
@every_kind
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [1, 4, 2, 4]], ids=["sorted", "unsorted"])
def test_a_packed_sequence_comes_back_as_from_torch(kind, engine, batch_first, lengths):
    options = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    theirs, ours = build(kind, {**options, "batch_first": batch_first, "dtype": torch.float64})
    ours.engine = engine
    x = draw_leaf(4, 5, 3, dtype=torch.float64)
    states = draw_states(theirs, 4)
    packed = []

    def call(layer):
        def packing(x, hx):
            values = x if batch_first else x.transpose(0, 1)
            sequence = pack_padded_sequence(values, lengths, batch_first, enforce_sorted=lengths[0] == 5)
            output, hx = layer(sequence, hx)
            assert isinstance(output, PackedSequence)
            packed.append(output)
            return output.data, hx

        return packing

    expected = measure(theirs, call(theirs), x, states)
    torch.testing.assert_close(measure(ours, call(ours), x, states), expected, **CLOSE[torch.float64])
    for actual, wanted in zip(packed[1][1:], packed[0][1:], strict=True):
        assert (actual is None) == (wanted is None)
        assert actual is None or torch.equal(actual, wanted)


@every_kind
def test_a_packed_sequence_needs_no_initial_state_and_takes_no_lengths(kind):
    theirs, ours = build(kind, {"input_size": 3, "hidden_size": 4})
    packed = pack_sequence([torch.randn(2, 3), torch.randn(5, 3)], enforce_sorted=False)
    torch.testing.assert_close(ours(packed), theirs(packed))
    with pytest.raises(ValueError, match="brings its own lengths"):
        ours(packed, lengths=[2, 5])


def draw_ragged(lengths, steps, features, dtype):
    """A batch-first batch whose padding is NaN."""
    x = torch.randn(len(lengths), steps, features, dtype=dtype)
    return poison(x, lengths).requires_grad_()


def poison(x, lengths):
    padding = torch.arange(x.shape[1], device=x.device) >= torch.tensor(lengths, device=x.device).unsqueeze(-1)
    return x.masked_fill(padding.unsqueeze(-1), torch.nan)


def run_alone(theirs, lengths):
    """A call that cuts every sequence of a batch to its length and runs it alone through torch's layer."""

    def call(x, hx):
        outputs, finals = [], []
        for row, length in enumerate(lengths):
            last = own = tuple(s[:, row] for s in as_states(hx))
            output = x[row, :0, :1].expand(0, (1 + theirs.bidirectional) * own[0].shape[-1])
            if length:
                output, last = theirs(x[row, :length], as_hx(own))
            outputs.append(pad(output, (0, 0, 0, x.shape[1] - length)))
            finals.append(as_states(last))
        return torch.stack(outputs), tuple(torch.stack(s, dim=1) for s in zip(*finals, strict=True))

    return call


def run_ragged(ours, lengths):
    """A call of our layer on the whole batch, with NaN in the output's gradient wherever there is padding."""

    def call(x, hx):
        output, last = ours(x if ours.batch_first else x.transpose(0, 1), hx, lengths)
        output = output if ours.batch_first else output.transpose(0, 1)
        output.register_hook(lambda gradient: poison(gradient, lengths))
        return output, last

    return call


def check_a_ragged_batch(layer, lengths, spare, training):
    kind, options = layer
    dtype = torch.float64 if options.get("nonlinearity") == "relu" else options["dtype"]  # as above
    theirs, ours = build(kind, {**options, "dropout": 0.0, "dtype": dtype})
    x = draw_ragged(lengths, max(*lengths, 1) + spare, ours.input_size, dtype)
    states = draw_states(theirs, len(lengths))
    expected = measure(theirs, run_alone(theirs, lengths), x, states)
    for ours.engine in ["native", "builtin", "reference"]:
        actual = measure(ours.train(training), run_ragged(ours, lengths), x, states)
        torch.testing.assert_close(actual, expected, **CLOSE[dtype])
        for row, length in enumerate(lengths):
            assert not actual["output"][row, length:].any()
            assert not actual["gradient of x"][row, length:].any()


BATCHES = {"lengths": st.lists(st.integers(0, 6), min_size=1, max_size=5), "spare": st.integers(0, 2)}
test_a_ragged_batch_is_every_sequence_alone = random_calls(check_a_ragged_batch, 30, **BATCHES)
test_many_ragged_batches_are_every_sequence_alone = pytest.mark.slow(random_calls(check_a_ragged_batch, 200, **BATCHES))


@every_kind
@pytest.mark.parametrize(("engine", "steps"), [("native", 3), ("builtin", 3), ("reference", 3), ("native", 0)])
def test_where_all_sequences_are_empty_the_states_pass_through(kind, engine, steps):
    _, ours = build(kind, {"input_size": 2, "hidden_size": 3, "num_layers": 2, "bidirectional": True})
    ours.engine = engine
    x = torch.full((steps, 4, 2), torch.nan)
    states = draw_states(ours, 4)
    output, last = ours(x, as_hx(states), [0, 0, 0, 0])
    assert output.shape == (steps, 4, 6)
    assert not output.any()
    torch.testing.assert_close(as_states(last), states, **EXACT)
    weighting = [torch.randn_like(s) for s in states]
    gradients = torch.autograd.grad(as_states(last), [*states, *ours.parameters()], weighting, materialize_grads=True)
    torch.testing.assert_close([*gradients[: len(states)]], weighting, **EXACT)
    assert not any(gradient.any() for gradient in gradients[len(states) :])


@every_engine
@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, torch.tensor, lambda n: torch.tensor(n, dtype=torch.int32)],
    ids=["list", "tuple", "numpy", "int64", "int32"],
)
def test_lengths_come_in_any_form(form, engine):
    layer = nn.GRU(2, 3, engine=engine)
    x, lengths = torch.randn(5, 3, 2), [2, 0, 5]
    torch.testing.assert_close(layer(x, lengths=form(lengths)), layer(x, lengths=lengths), **EXACT)


@every_engine
@every_kind
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_takes_what_torch_takes(kind, engine, ragged, dtype):
    theirs, ours = build(kind, {"input_size": 3, "hidden_size": 4, "num_layers": 2})
    ours.engine = engine
    x = torch.randn(5, 2, 3).to(dtype)  # an earlier layer under autocast gives bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        expected = theirs(x)
        actual = ours(x, lengths=[5, 5] if ragged else None)
    same = engine == "builtin" and not ragged
    tolerance = EXACT if same else {"rtol": 0, "atol": 0.02, "check_dtype": False}
    torch.testing.assert_close(actual, expected, **tolerance)


LSTM, GRU = nn.LSTM(3, 4), nn.GRU(3, 4)


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (LSTM, (torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)), "initial state of an LSTM is a pair"),
        (LSTM, (torch.zeros(5, 2, 3), (torch.zeros(1, 2, 4),)), "initial state of an LSTM is a pair"),
        (GRU, (torch.zeros(5, 2, 3), torch.zeros(1, 4)), "batched input the initial state must have 3 dim"),
        (GRU, (torch.zeros(5, 3), torch.zeros(1, 1, 4)), "unbatched input the initial state must have 2 dim"),
        (GRU, (torch.zeros(5, 3), None, [5]), "`lengths` goes with a batch"),
        (GRU, (torch.zeros(5),), "GRU: expected input of 2 or 3 dimensions, got 1"),
    ],
    ids=["no pair", "one of a pair", "state unbatched", "state batched", "one length", "dimensions"],
)
def test_arguments_that_do_not_fit_are_named(layer, arguments, message):
    for call in (layer, layer.explain):
        with pytest.raises((ValueError, RuntimeError), match=message):
            call(*arguments)


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.mark.gpu
@but_native
@every_kind
def test_on_cuda_a_batch_is_as_on_the_cpu(kind, engine, cuda):
    options = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    theirs, ours = build(kind, {**options, "batch_first": True, "dtype": torch.float64})
    lengths = [4, 0, 6, 1]
    x = draw_ragged(lengths, 7, 3, torch.float64)
    states = draw_states(theirs, 4)
    expected = measure(theirs, run_alone(theirs, lengths), x, states)
    ours.to(cuda).engine = engine
    there = [t.detach().to(cuda).requires_grad_() for t in (x, *states)]
    # after `.eval()` as well, where torch's own layer on cuDNN has no backward pass
    for training in (True, False):
        actual = measure(ours.train(training), run_ragged(ours, lengths), there[0], tuple(there[1:]))
        torch.testing.assert_close(actual, expected, check_device=False, **CLOSE[torch.float64])


@pytest.mark.gpu
@every_kind
def test_on_cuda_a_dense_batch_is_torchs_also_after_eval(kind, cuda):
    theirs, ours = build(kind, {"input_size": 3, "hidden_size": 4, "num_layers": 2, "device": cuda})
    ours.engine = "builtin"
    x = draw_leaf(5, 2, 3, device=cuda)
    states = tuple(s.detach().to(cuda).requires_grad_() for s in draw_states(theirs, 2))
    expected = measure(theirs, theirs, x, states)
    torch.testing.assert_close(measure(ours.eval(), ours, x, states), expected, **CLOSE[torch.float32])
