"""Traces: that they are the truth, their axes, subsets and limits, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recurra
from recurra import SequenceClassifier, cells, nn
from recurra.cells import Step, linear
from recurra.errors import DataError, UsageError
from recurra.inspect import Trace
from recurra.inspect.core import record_windows as windows
from recurra.inspect.core.layers import as_ours

KINDS = {"RNN": {}, "RNN relu": {"nonlinearity": "relu"}, "LSTM": {}, "GRU": {}}
LENGTHS = [7, 0, 3, 5]


class MinimalGated(cells.Cell):
    """A cell of somebody's own."""

    name, gates, states = "mgu", ("forget", "candidate"), ("hidden",)

    def step(self, x, state, weights) -> Step:  # type: ignore[override]
        (h,) = state
        f_x, n_x = linear(x, weights, "ih").chunk(2, -1)
        f_h, n_h = linear(h, weights, "hh").chunk(2, -1)
        f = torch.sigmoid(f_x + f_h)
        n = torch.tanh(n_x + f * n_h)
        return Step(((1 - f) * h + f * n,), (f, n))


def layer_of(room, kind: str, **more) -> torch.nn.Module:
    return getattr(room, kind.split()[0])(5, 8, **KINDS[kind], **{"batch_first": True, **more})


def truth(layer, x: Tensor, lengths=None, states=None) -> dict[str, np.ndarray]:
    """Gates and states by the cell's equations in float64, every sequence alone: `(layer, direction, batch, …)`."""
    stack = as_ours(layer).stack
    groups = stack.split([getattr(layer, name).detach().double() for name, _ in stack.named_shapes()])
    batch, steps = x.shape[:2]
    shape = (stack.num_layers, stack.directions, batch, steps)
    found = {name: np.full((*shape, size), np.nan) for name, size in stack.inner_sizes.items()}
    for b in range(batch):
        n = steps if lengths is None else lengths[b]
        inputs = x[b, :n].double()
        for at in range(stack.num_layers):
            outputs = []
            for way in range(stack.directions):
                row = at * stack.directions + way
                zeros = tuple(torch.zeros(1, size).double() for size in stack.state_sizes)
                state = zeros if states is None else tuple(s[row, b : b + 1].double() for s in states)
                seen = torch.zeros(n, stack.state_sizes[0]).double()
                for t in reversed(range(n)) if way else range(n):
                    step = stack.cell.step(inputs[t : t + 1], state, groups[row])
                    state, seen[t] = step.state, step.state[0][0]
                    for name, value in zip(found, (*step.gates, *step.state), strict=True):
                        found[name][at, way, b, t] = value[0]
                outputs.append(seen)
            inputs = torch.cat(outputs, -1)
    return found


def check(trace: Trace, expected: dict[str, np.ndarray], atol: float = 1e-6) -> None:
    assert list(trace) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(trace[name].values, array, rtol=0, atol=atol)  # NaN where NaN is expected


# the truth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_our_layers(kind, bidirectional, lengths, dtype):
    layer = layer_of(nn, kind, num_layers=3, bidirectional=bidirectional, dtype=dtype)
    x = torch.randn(4, 7, 5, dtype=dtype)
    trace = recurra.trace(layer, x, lengths=lengths)
    check(trace, truth(layer, x, lengths), 1e-6 if dtype == torch.float32 else 1e-12)
    assert trace.deviation == 0
    top = np.concatenate(list(trace["hidden"].isel(layer=-1).values), -1)
    output, _ = layer(x, lengths=lengths)
    np.testing.assert_allclose(np.nan_to_num(top), output.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions"])
def test_torchs_layers(kind, bidirectional):
    layer = layer_of(torch.nn, kind, num_layers=2, bidirectional=bidirectional)
    x = torch.randn(4, 7, 5)
    trace = recurra.trace(layer, x)
    check(trace, truth(layer, x))
    assert 0 <= trace.deviation < 1e-6


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_projections(room):
    layer, x = room.LSTM(5, 8, 2, batch_first=True, proj_size=3), torch.randn(4, 7, 5)
    trace = recurra.trace(layer, x)
    check(trace, truth(layer, x))
    assert trace["hidden"].dims[-1] == "projection"
    assert trace["cell"].dims[-1] == "unit"
    some = recurra.trace(layer, x, units=[0, 2])
    np.testing.assert_array_equal(some["hidden"].values, trace["hidden"].values[..., [0, 2]])
    np.testing.assert_array_equal(some["cell"].values, trace["cell"].values[..., [0, 2]])


def test_a_cell_of_ones_own():
    layer = nn.Recurrent(MinimalGated(), 5, 8, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(4, 7, 5)
    check(recurra.trace(layer, x, lengths=LENGTHS), truth(layer, x, LENGTHS))


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_time_may_go_first_and_the_batch_be_left_out(room, kind):
    layer, x = layer_of(room, kind, batch_first=False, bidirectional=True), torch.randn(7, 4, 5)
    check(recurra.trace(layer, x), truth(layer, x.transpose(0, 1)))
    trace = recurra.trace(layer, x[:, 1])
    check(trace, truth(layer, x[:, 1:2].transpose(0, 1)))
    assert trace.deviation < 1e-6
    assert trace.subject.scores().shape == (1,)
    assert trace.subject.scores().item() == pytest.approx(layer(x[:, 1])[0][-1].sum().item(), rel=1e-5)


class Packing(torch.nn.Module):
    """Packs its batch, as much as people do with torch's layers, and begins with states of its own."""

    def __init__(self, layer: torch.nn.Module, state: Tensor | None = None) -> None:
        super().__init__()
        self.layer, self.state = layer, state

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, torch.tensor([3, 7, 5, 1]), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.layer(packed, self.state)[0], batch_first=True)[0]


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_packed_sequences_and_initial_states(room):
    x, state = torch.randn(4, 7, 5), torch.randn(4, 4, 8)
    layer = room.GRU(5, 8, 2, bidirectional=True, batch_first=True)
    for given in (None, state):
        trace = recurra.trace(Packing(layer, given), x)
        check(trace, truth(layer, x, [3, 7, 5, 1], None if given is None else (given,)))
        assert trace.deviation < 1e-6
        assert (trace.deviation > 0) == (room is torch.nn)
        assert trace.to_xarray()["length"].values.tolist() == [3, 7, 5, 1]


class Odd(torch.nn.GRU):
    """A layer that gives something else than its equations say."""

    shift: float = 0.0

    def forward(self, *arguments):  # type: ignore[override]
        output, state = super().forward(*arguments)
        return output + self.shift, state


def test_the_deviation_from_what_the_layer_really_gave_is_told():
    layer, x = Odd(5, 8), torch.randn(7, 4, 5)
    assert recurra.trace(layer, x).deviation < 1e-6
    layer.shift = 0.25
    assert recurra.trace(layer, x).deviation == pytest.approx(0.25, abs=1e-6)
    layer.shift = float("nan")
    assert np.isnan(recurra.trace(layer, x).deviation)


def test_half_precision():
    layer = nn.LSTM(5, 8, dtype=torch.bfloat16)
    trace = recurra.trace(layer, torch.randn(7, 4, 5, dtype=torch.bfloat16))
    assert trace["forget"].dtype == np.float32
    assert trace["forget"].shape == (1, 1, 4, 7, 8)


# the model as it is


class Model(torch.nn.Module):
    """Two layers of different cells, sizes and numbers of steps, with dropout between and within."""

    def __init__(self, room=nn) -> None:
        super().__init__()
        self.encoder = room.LSTM(5, 8, 2, dropout=0.5, batch_first=True)
        self.between = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(8))
        self.decoder = room.GRU(8, 4, batch_first=True)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.encoder(x)
        output = self.between(output[:, ::3].transpose(1, 2)).transpose(1, 2)
        return self.head(self.decoder(output)[0][:, -1])


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_dropout_is_off_and_every_mode_comes_back(room):
    model, x = Model(room).train(), torch.randn(4, 7, 5)
    model.between[1].eval()  # as one does with a part that is frozen
    modes = {name: module.training for name, module in model.named_modules()}
    statistics = model.between[1].running_mean.clone()
    first, second = recurra.trace(model, x), recurra.trace(model, x)
    assert {name: module.training for name, module in model.named_modules()} == modes
    torch.testing.assert_close(model.between[1].running_mean, statistics, rtol=0, atol=0)
    for name, part in first.parts.items():
        assert part.equals(second.parts[name])
    check(first.part("encoder"), truth(model.encoder, x))
    model.eval()
    assert first.parts["decoder"].equals(recurra.trace(model, x).parts["decoder"])


def test_no_graph_is_built_and_gradients_stay():
    model, x = Model(), torch.randn(4, 7, 5, requires_grad=True)
    model(x).sum().backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    trace = recurra.trace(model, x)
    assert torch.is_grad_enabled()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, before[name], rtol=0, atol=0)
    # what was traced can also be differentiated
    trace.subject.scores().sum().backward()
    assert x.grad is not None


def test_an_error_inside_leaves_the_model_usable():
    model, x = Model().train(), torch.randn(4, 7, 5)
    with pytest.raises((ValueError, RuntimeError)):
        recurra.trace(model, x[..., :3])
    with pytest.raises(UsageError, match="would take"):
        recurra.trace(model, x, max_bytes=100)
    assert model.training
    assert model.encoder.training
    assert "forward" not in model.encoder.__dict__
    recurra.trace(model, x)


# axes and subsets


def test_axes_and_names():
    trace = recurra.trace(nn.LSTM(5, 8, 2, bidirectional=True), torch.randn(7, 4, 5), lengths=LENGTHS)
    data = trace.to_xarray()
    assert dict(data.sizes) == {"layer": 2, "direction": 2, "batch": 4, "time": 7, "unit": 8}
    assert list(trace) == ["input", "forget", "candidate", "output", "hidden", "cell"]
    assert all(array.dims == ("layer", "direction", "batch", "time", "unit") for array in data.data_vars.values())
    assert data["direction"].values.tolist() == ["forward", "backward"]
    assert data["length"].values.tolist() == LENGTHS
    assert "token" not in data.coords
    assert trace["forget"].sel(layer=1, direction="backward", batch=2, time=2, unit=3).item() > 0
    assert data.attrs == {"cell": "lstm", "part": ""}
    assert repr(trace).startswith("Trace\nlayer: input, forget")
    assert trace.nbytes >= 6 * 2 * 2 * 4 * 7 * 8 * 4
    with pytest.raises(UsageError, match="there is no 'update' in this trace; there are 'input', 'forget'"):
        trace["update"]


@pytest.mark.parametrize("time", [slice(2, None, 2), slice(-3, None), slice(0, 1), 4, -1, slice(None, 100)], ids=str)
@pytest.mark.parametrize("units", [None, [3, 1], slice(None, None, 3), range(2)], ids=str)
@pytest.mark.parametrize("bytes", [1 << 30, 2000], ids=["at once", "in windows"])
def test_subsets(monkeypatch, time, units, bytes):
    monkeypatch.setattr(windows, "WINDOW_BYTES", bytes)
    layer, x = nn.GRU(5, 8, 2, bidirectional=True, batch_first=True), torch.randn(4, 7, 5)
    whole = truth(layer, x, LENGTHS)
    trace = recurra.trace(layer, x, lengths=LENGTHS, time=time, units=units, names=["hidden", "update"])
    assert list(trace) == ["update", "hidden"]
    steps = np.arange(7)[time if isinstance(time, slice) else [time]]
    chosen = np.arange(8)[slice(None) if units is None else units]
    for name in trace:
        expected = whole[name][:, :, :, steps][..., chosen]
        np.testing.assert_allclose(trace[name].values, expected, rtol=0, atol=1e-6)
    assert recurra.trace(layer, x, names="update", time=0).to_xarray().sizes["time"] == 1
    assert trace[name]["time"].values.tolist() == steps.tolist()
    assert trace[name]["unit"].values.tolist() == chosen.tolist()


def test_parts_of_a_model():
    model, x = Model(), torch.randn(4, 7, 5)
    trace = recurra.trace(model, x)
    assert [(name, dict(p.sizes)["time"]) for name, p in trace.parts.items()] == [("encoder", 7), ("decoder", 3)]
    assert list(trace.part("decoder")) == ["reset", "update", "candidate", "hidden"]
    for wrong in (lambda: trace["hidden"], trace.to_xarray, lambda: list(trace)):
        with pytest.raises(UsageError, match="several recurrent layers, 'encoder', 'decoder'; choose one with"):
            wrong()
    with pytest.raises(UsageError, match="no layer 'head' in this trace; there are 'encoder', 'decoder'"):
        trace.part("head")
    # each part keeps what it has of a choice
    assert list(recurra.trace(model, x, names=["reset"]).parts) == ["decoder"]
    assert list(recurra.trace(model, x, time=5).parts) == ["encoder"]
    some = recurra.trace(model, x, units=[2, 6]).parts
    assert [part["unit"].values.tolist() for part in some.values()] == [[2, 6], [2]]
    assert list(recurra.trace(model, x, units=[7]).parts) == ["encoder"]


def test_a_subject_may_be_traced_again():
    first = recurra.trace(nn.GRU(5, 8), torch.randn(7, 4, 5))
    assert recurra.trace(first.subject).to_xarray().equals(first.to_xarray())


# limits


def test_the_bytes_are_said_before_anything_runs():
    order: list[str] = []
    layer = nn.LSTM(5, 8, batch_first=True)
    layer.register_forward_hook(lambda *_: order.append("ran"))
    trace = recurra.trace(layer, torch.randn(4, 7, 5), say=order.append)
    assert order == ["tracing the layer: 5.4 kB", "ran"]
    arrays = sum(array.nbytes for array in trace.to_xarray().data_vars.values())
    assert arrays == 5376
    recurra.trace(layer, torch.randn(4, 7, 5), max_bytes=arrays)
    with pytest.raises(UsageError, match=r"would take 5.4 kB; at most 5.4 kB"):
        recurra.trace(layer, torch.randn(4, 7, 5), max_bytes=arrays - 1)


def test_a_million_steps():
    layer, x = nn.LSTM(8, 128), torch.zeros(1_000_000, 1, 8)
    with pytest.raises(UsageError) as stop:
        recurra.trace(layer, x)
    assert "1 x 1,000,000 steps" in str(stop.value)
    assert "would take 3.1 GB; at most 2.1 GB" in str(stop.value)
    for offered in ("time=slice(0, 699050)", "units=range(89)", "names=['input']", "max_bytes"):
        assert offered in str(stop.value)


def test_a_subset_of_a_long_sequence_stays_small(monkeypatch):
    layer, x = nn.GRU(2, 4, batch_first=True), torch.randn(1, 20_000, 2)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 100_000)
    trace = recurra.trace(layer, x, units=[1], time=slice(None, None, 1000), names=["hidden"], max_bytes=100)
    expected = layer(x)[0][0, ::1000, 1].detach().numpy()
    np.testing.assert_allclose(trace["hidden"].values.ravel(), expected, rtol=0, atol=1e-6)


# wrong input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"names": ["forget", "foo"]},
            "there is no 'foo', 'forget' in this model; there are 'reset', 'update', 'candidate', 'hidden'",
        ),
        ({"names": []}, "names is empty; there are 'reset', 'update', 'candidate', 'hidden'"),
        ({"names": "cell"}, "there is no 'cell' in this model"),
        ({"units": [8]}, r"units must be between 0 and 7, got \[8\]"),
        ({"units": [-1]}, "units must be between 0 and 7"),
        ({"units": []}, "units must be between 0 and 7"),
        ({"units": slice(8, None)}, "units must be between 0 and 7"),
        ({"time": 7}, "time=7 selects none of the 7 steps"),
        ({"time": slice(9, 12)}, "selects none of the 7 steps"),
        ({"time": slice(None, None, -1)}, "a slice with a positive step"),
    ],
)
def test_choices_that_choose_nothing(options, message):
    with pytest.raises(UsageError, match=message):
        recurra.trace(nn.GRU(5, 8), torch.randn(7, 4, 5), **options)


def test_models_and_inputs_that_cannot_be_traced():
    layer, x = nn.GRU(5, 8), torch.randn(7, 4, 5)
    with pytest.raises(UsageError, match="no recurrent layer"):
        recurra.trace(torch.nn.Linear(5, 2), x)
    with pytest.raises(UsageError, match="give an estimator of recurra, a torch module or a layer, not str"):
        recurra.trace("model", x)
    with pytest.raises(UsageError, match="called with a tensor, not list"):
        recurra.trace(layer, [[1.0]])
    with pytest.raises(UsageError, match="called with a tensor, not NoneType"):
        recurra.trace(layer)
    with pytest.raises(DataError, match="the input is empty"):
        recurra.trace(layer, x[:0])
    with pytest.raises(UsageError, match="LSTM does not take lengths"):
        recurra.trace(torch.nn.LSTM(5, 8), x, lengths=LENGTHS)
    with pytest.raises(ValueError, match="lengths must lie between 0 and the 7 steps"):
        recurra.trace(layer, x, lengths=[8, 1, 1, 1])
    with pytest.raises(NotFittedError):
        recurra.trace(SequenceClassifier(), ["a text"])


def test_an_estimator_knows_its_lengths():
    with pytest.raises(UsageError, match="an estimator defines its lengths"):
        recurra.trace(SequenceClassifier(), [[[0.0]]], lengths=[1])


class Named(torch.nn.Module):
    """Returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(5, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(x)[0]}


def test_what_a_module_returns_may_need_a_score():
    trace = recurra.trace(Named(), torch.randn(7, 4, 5))
    with pytest.raises(UsageError, match="the module returns dict; give score= to convert it to numbers"):
        trace.subject.scores()
    subject = recurra.inspect.subject_of(Named(), torch.randn(7, 4, 5), score=lambda found: found["logits"][-1].sum(-1))
    assert subject.scores().shape == (4,)
