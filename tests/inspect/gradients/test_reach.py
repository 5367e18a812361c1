"""How far gradients reach: in closed form, and against automatic differentiation the long way."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from known import CELLS, HALF_LIFE, MGU, LongWay, keeping, linear_layer

import recurra
from recurra import nn
from recurra.cells import GRU
from recurra.errors import DataError, UsageError
from recurra.inspect.gradients import reach as gradients

LENGTHS = [5, 1, 0, 4]


def _double(cell, num_layers=1, bidirectional=False):
    torch.manual_seed(3)
    layer = nn.Recurrent(cell, 2, 3, num_layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
    for weight in layer.parameters():
        weight.data.mul_(2)
    return layer, torch.randn(4, 5, 2, dtype=torch.float64)


@pytest.mark.parametrize("probes", [None, 1, 2])
def test_a_rotation_times_rho_reaches_exactly_rho_to_the_lag(probes):
    angle = 0.7
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    reach = recurra.gradient_reach(linear_layer(0.8 * turn), torch.randn(2, 30, 2).double(), probes=probes)
    np.testing.assert_allclose(reach.by_lag[0, 0], 0.8 ** np.arange(30), rtol=1e-12)
    assert reach.decay().half_life == pytest.approx(math.log(2) / -math.log(0.8))
    assert reach.verdict == "vanishing: the gradient halves every 3.1 steps; after 20 steps 1.2 % is left"


def test_a_relu_rnn_in_its_positive_regime_reaches_rho_to_the_lag():
    layer = nn.RNN(3, 4, nonlinearity="relu", batch_first=True, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(0.9 * torch.eye(4)[[1, 2, 3, 0]])
        layer.weight_ih_l0.fill_(1.0)
    for engine in (layer, torch.nn.RNN(3, 4, nonlinearity="relu", batch_first=True, bias=False)):
        engine.load_state_dict(layer.state_dict())
        reach = recurra.gradient_reach(engine, torch.rand(2, 40, 3) + 0.1)
        np.testing.assert_allclose(reach.by_lag[0, 0], 0.9 ** np.arange(40), rtol=1e-4)


def test_names_of_growth_and_constancy():
    x = torch.randn(1, 40, 2).double()
    growing = recurra.gradient_reach(linear_layer(1.25 * torch.eye(2).double()), x)
    assert growing.verdict.startswith(
        "exploding: the gradient doubles every 3.1 steps; after 20 steps 87 times as much"
    )
    steady = recurra.gradient_reach(linear_layer(torch.eye(2).double()), x)
    assert steady.verdict.startswith("steady: the gradient keeps its size; after 20 steps all is left")
    gone = recurra.gradient_reach(linear_layer(torch.zeros(2, 2).double()), x)
    assert gone.verdict == "vanishing: nothing of the gradient is left after one step"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("via", ["cell", "all"])
def test_a_gate_fixed_at_nine_tenths_halves_the_gradient_every_6_579_steps(kind, via):
    torch.manual_seed(0)
    reach = recurra.gradient_reach(keeping(0.9, kind), torch.zeros(2, 40, 3), via=via)
    assert reach.decay().half_life == pytest.approx(HALF_LIFE, rel=1e-4)
    if via == "cell":
        np.testing.assert_allclose(reach.by_lag[0, 0], 0.9 ** np.arange(40), rtol=1e-4)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: getattr(cell, "nonlinearity", cell.name))
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, False), (2, True)])
def test_every_output_against_automatic_differentiation(cell, num_layers, bidirectional):
    layer, x = _double(cell, num_layers, bidirectional)
    reach = recurra.gradient_reach(layer, x, probes=None, lengths=LENGTHS)
    assert reach.map["batch"].values.tolist() == [0, 1, 3]
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        long = LongWay(layer.stack, layer.weights(), x[row, :length])
        found = reach.map.sel(batch=row)
        for target in range(length):
            gradients = [long.gradients(y) for y in long.output[target]]
            for number, direction, step in long.states:
                true = math.sqrt(sum(float(g[number, direction, step].square().sum()) for g in gradients) / 3)
                assert float(found[number, direction, target, step]) == pytest.approx(true, rel=1e-9, abs=1e-15)
    beyond = reach.map.sel(batch=1)
    assert np.isnan(beyond[:, :, 1:]).all()
    assert np.isnan(beyond[:, :, :, 1:]).all()


def test_means_by_lag_are_those_of_the_map_in_each_direction():
    layer, x = _double(GRU(), 1, True)
    reach = recurra.gradient_reach(layer, x, lengths=LENGTHS)
    for direction, sign in enumerate((1, -1)):
        for lag in range(5):
            cells = [
                reach.map[0, direction, b, t, t - sign * lag]
                for b, length in enumerate((5, 1, 4))
                for t in range(length)
                if 0 <= t - sign * lag < length
            ]
            assert float(reach.by_lag[0, direction, lag]) == pytest.approx(np.mean(cells))
            assert int(reach.to_xarray()["count"][0, direction, lag]) == len(cells)


def test_random_directions_estimate_what_all_of_them_give():
    torch.manual_seed(0)
    layer, x = torch.nn.LSTM(5, 64, batch_first=True), torch.randn(4, 20, 5)
    exact = recurra.gradient_reach(layer, x, probes=None).by_lag[0, 0, :10]
    some = recurra.gradient_reach(layer, x).by_lag[0, 0, :10]
    np.testing.assert_allclose(some, exact, rtol=0.25)
    assert float(some[0]) == pytest.approx(1)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: getattr(cell, "nonlinearity", cell.name))
def test_score_and_loss_against_automatic_differentiation(cell):
    layer, x = _double(cell, 2, True)

    def loss(output):
        ends = torch.tensor(LENGTHS).sub(1).clamp(min=0)
        return output[0][torch.arange(4), ends].square().sum(-1)

    for of, total in (("score", lambda y: y[-1].sum()), ("loss", lambda y: y[-1].square().sum())):
        reach = recurra.gradient_reach(layer, x, of=of, lengths=LENGTHS, loss=loss)
        for row, length in enumerate(LENGTHS):
            if length:
                long = LongWay(layer.stack, layer.weights(), x[row, :length])
                for (number, direction, step), gradient in long.gradients(total(long.output)).items():
                    found = float(reach.map[number, direction, row, 0, step])
                    assert found == pytest.approx(float(gradient.norm()), rel=1e-9, abs=1e-15)
        backward = reach.map[0, 1, :, 0]
        assert float(reach.by_lag[0, 1, 3]) == pytest.approx(np.nanmean(backward[[0, 3], 3]))


@pytest.mark.parametrize("of", ["each", "last", "score"])
def test_layers_of_torch_give_the_same(of):
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True))
    ours = recurra.accelerate(
        torch.nn.Sequential(torch.nn.Linear(2, 3), nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True))
    )
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 7, 2)
    found = [recurra.gradient_reach(model, x, of=of).to_xarray() for model in (theirs, ours)]
    np.testing.assert_allclose(found[0]["map"], found[1]["map"], rtol=1e-5, atol=1e-9)
    assert found[0].attrs["part"] == "1"


def test_the_last_step_of_each_direction_is_a_target():
    layer, x = _double(GRU(), 1, True)
    last = recurra.gradient_reach(layer, x, of="last", probes=None, lengths=LENGTHS).map
    each = recurra.gradient_reach(layer, x, probes=None, lengths=LENGTHS).map
    for b, length in ((0, 5), (3, 4)):
        np.testing.assert_allclose(last.sel(batch=b)[0, 0, 0], each.sel(batch=b, target=length - 1)[0, 0])
        np.testing.assert_allclose(last.sel(batch=b)[0, 1, 0], each.sel(batch=b, target=0)[0, 1])


def test_projected_and_packed_and_time_first():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 6, proj_size=2)
    x = torch.randn(9, 2, 3)
    reach = recurra.gradient_reach(layer, x)
    assert reach.by_lag.shape == (1, 1, 9)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([9, 4]))

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = layer

        def forward(self, _):
            return torch.nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)[0]

    found = recurra.gradient_reach(Packed(), x)
    np.testing.assert_allclose(found.map[0, 0, 0], reach.map[0, 0, 0])
    assert np.isnan(found.map[0, 0, 1, 4:]).all()
    assert float(recurra.gradient_reach(Packed(), x, of="score").by_lag[0, 0, 0]) > 0


def test_sampled_steps_are_said_and_a_whole_map_has_all(monkeypatch):
    torch.manual_seed(0)
    layer = torch.nn.LSTM(4, 8, batch_first=True)
    x = torch.randn(40, 60, 4)
    monkeypatch.setattr(gradients, "WORK", 1_000_000)
    some = recurra.gradient_reach(layer, x)
    assert some.sampled == "8 of 60 target steps, 4 of 40 sequences, 4 of 8 probes"
    assert some.map["target"].values[-1] == 59
    monkeypatch.undo()
    long = recurra.gradient_reach(layer, torch.randn(1, 300, 4), of="each")
    assert long.sampled == "128 of 300 target steps, 4 of 8 probes"
    whole = recurra.gradient_reach(layer, x[:1], whole_map=True)
    assert whole.map.sizes["target"] == 60
    chosen = recurra.gradient_reach(layer, x[:1], targets=[-1, 10])
    assert chosen.map["target"].values.tolist() == [10, 59]
    np.testing.assert_allclose(chosen.map[0, 0, 0, 1], whole.map[0, 0, 0, 59], rtol=1e-5)


def test_an_estimator_by_loss_score_and_step(untrained):
    X, y = ["good film", "bad film so", "so good", "bad"] * 10, ["p", "n", "p", "n"] * 10
    model = recurra.SequenceClassifier(
        hidden_size=8, embedding_size=4, tokens="char", num_layers=2, bidirectional=True
    ).fit(X, y)
    for reach, of in (
        (recurra.gradient_reach(model, X), "each"),
        (recurra.gradient_reach(model, X, of="score"), "score"),
        (recurra.gradient_reach(model, X, y), "loss"),
    ):
        assert reach.of == of
        assert list(reach.parts) == ["encoder.recurrent"]
        assert reach.by_lag.dims == ("layer", "direction", "lag")
        assert reach.by_lag.sizes["lag"] == 11
        assert len(reach.rows()) == 4
        assert reach.verdict.startswith("encoder.recurrent, layer ")
        assert '"half_life"' in reach.to_json()
    with pytest.raises(UsageError, match="needs the targets"):
        recurra.gradient_reach(model, X, of="loss")


def test_an_hour_glass_of_parts_is_chosen_by_name():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.GRU(2, 3, batch_first=True), nn.Recurrent(MGU(), 3, 2, batch_first=True)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    reach = recurra.gradient_reach(Two(), torch.randn(2, 6, 2), of="score")
    assert reach.part("second").by_lag.shape == (1, 1, 6)
    assert float(reach.part("first").by_lag[0, 0, 3]) > 0
    with pytest.raises(UsageError, match=r"several recurrent layers, 'first', 'second'; choose one with .part"):
        _ = reach.by_lag
    with pytest.raises(UsageError, match="no layer 'third'"):
        reach.part("third")


def test_wrong_arguments_are_named():
    layer, x = torch.nn.RNN(2, 3, batch_first=True), torch.randn(1, 4, 2)
    for wrong, words in (
        ({"of": "all"}, "of is one of each, last, score, loss"),
        ({"via": "hidden"}, "via is 'all' or 'cell'"),
        ({"via": "cell", "of": "score"}, "a path within the recurrent layer"),
        ({"via": "cell"}, "a rnn has no gate that keeps its state"),
        ({"probes": 0}, "probes must be at least 1"),
        ({"targets": [4]}, "targets must be steps between 0 and 3"),
        ({"of": "loss"}, "needs the targets"),
    ):
        with pytest.raises(UsageError, match=words):
            recurra.gradient_reach(layer, x, **wrong)
    with pytest.raises(UsageError, match="no recurrent layer"):
        recurra.gradient_reach(torch.nn.Linear(2, 3), x)
    with pytest.raises(DataError, match="every sequence is empty"):
        recurra.gradient_reach(nn.RNN(2, 3, batch_first=True), x, lengths=[0])
    with pytest.raises(DataError, match="every sequence is empty"):
        recurra.gradient_reach(nn.RNN(2, 3, batch_first=True), x, lengths=[0], of="score")


def test_what_is_not_finite_and_inference_mode_are_refused():
    layer, x = torch.nn.LSTM(2, 3, batch_first=True), torch.randn(1, 4, 2)
    x[0, 2, 1] = torch.nan
    with pytest.raises(DataError, match="the hidden state of layer 0 is not finite"):
        recurra.gradient_reach(layer, x)
    for of in ("each", "score"):
        with torch.inference_mode(), pytest.raises(UsageError, match=r"in torch\.inference_mode"):
            recurra.gradient_reach(layer, torch.randn(1, 4, 2), of=of)


def test_one_step_has_no_way_back():
    reach = recurra.gradient_reach(torch.nn.GRU(2, 3, batch_first=True), torch.randn(2, 1, 2))
    assert reach.verdict == "the sequences have only one step, so the gradient has no earlier step to reach"


@pytest.mark.slow
def test_a_hundred_steps_of_128_units_take_less_than_a_second():
    layer, x = torch.nn.LSTM(16, 128, batch_first=True), torch.randn(1, 100, 16)
    seconds = []
    for _ in range(6):  # other programs can hold up some of them
        begin = time.perf_counter()
        reach = recurra.gradient_reach(layer, x)
        seconds.append(time.perf_counter() - begin)
        assert reach.map.sizes["target"] == 100
    assert min(seconds) < 1
