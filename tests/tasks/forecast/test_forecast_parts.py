"""The parts of forecasting: splits, references, bands, network and decoding."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.batching.windows import Frame, Layout, Windows
from recurra.data.columns.frequency import Frequency
from recurra.data.columns.panel import Columns, Panel, Series, panel_of_arrays
from recurra.errors import DataError, UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks.forecast import intervals as bands
from recurra.tasks.forecast.baselines import simple as references
from recurra.tasks.forecast.baselines.linear import fit_linear, linear
from recurra.tasks.forecast.baselines.mixture import Shares
from recurra.tasks.forecast.decode import roll, score
from recurra.tasks.forecast.intervals import nested, shifts
from recurra.tasks.forecast.network import ForecastNetwork
from recurra.tasks.forecast.objective import ForecastObjective
from recurra.tasks.forecast.prepare import Preparation
from recurra.tasks.forecast.sizes import choose_context, choose_segment
from recurra.tasks.forecast.split import Parts, Seen, split_panel

# splits


def at(origin: str, steps: int, id: str) -> Series:
    empty = np.zeros((steps, 0))
    return Series(id, np.datetime64(origin, "us"), np.arange(float(steps))[:, None], empty, empty)


def panel(*series: Series) -> Panel:
    return Panel(list(series), Columns("t", ("y",), id="s"), Frequency("fixed", 86_400_000_000))


def test_series_are_cut_at_the_same_time():
    found = split_panel(panel(at("2024-01-01", 100, "a"), at("2024-01-31", 40, "b")), (0.6, 0.2, 0.2), 0.1, 5)
    assert found == [Parts(60, 80, 100), Parts(30, 40, 40)]


def test_cuts_are_counted_from_the_earliest_beginning_to_the_latest_end():
    """Neither series is as long as all of the time: 70 days, of which the second begins after 30."""
    found = split_panel(panel(at("2024-01-01", 10, "a"), at("2024-01-31", 40, "b")), (0.6, 0.2, 0.2), 0.1, 5)
    assert found == [Parts(10, 10, 10), Parts(12, 26, 40)]
    found = split_panel(panel(at("2024-01-31", 40, "b"), at("2024-01-01", 10, "a")), (42, 14, 14), 0.1, 5)
    assert found == [Parts(12, 26, 40), Parts(10, 10, 10)]


def test_without_a_time_column_each_series_is_cut_at_shares_of_its_own_length():
    found = split_panel(panel_of_arrays([np.zeros(100), np.zeros(50)]), (0.6, 0.2, 0.2), 0.1, 5)
    assert found == [Parts(60, 80, 100), Parts(30, 40, 50)]


@pytest.mark.parametrize(
    ("total", "split", "fraction", "horizon", "ends"),
    [
        (100, None, 0.1, 5, (90, 100, 100)),
        (40, None, 0.1, 10, (30, 40, 40)),  # a quarter
        (100, None, 0.1, 10, (81, 100, 100)),  # two horizons less one
        (40, None, 0.1, 12, (28, 40, 40)),  # a quarter is less than the horizon: the horizon
        (36, None, 0.1, 12, (24, 36, 36)),
        (35, None, 0.1, 12, (35, 35, 35)),  # fewer than three horizons: none
        (100, None, 0, 5, (100, 100, 100)),
        (100, (0.5, 0.5), 0.1, 5, (50, 100, 100)),
        (100, (0.5, 0.2), 0.1, 5, (50, 70, 70)),
        (10, (0.7, 0.1, 0.2), 0.1, 5, (7, 8, 10)),
        (100, (1, 0), 0.1, 5, (100, 100, 100)),  # shares
        (100, (60, 0), 0.1, 5, (60, 60, 60)),
        (100, (60, 40), 0.1, 5, (60, 100, 100)),
        (100, (2, 3, 4), 0.1, 5, (2, 5, 9)),
    ],
)
def test_cuts(total, split, fraction, horizon, ends):
    assert split_panel(panel_of_arrays([np.zeros(total)]), split, fraction, horizon) == [Parts(*ends)]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ((0, 10), "two or three parts, rows or shares, and the first is above zero, not 0, 10"),
        ((-1, 10), "two or three parts"),
        ((10, -1), "two or three parts"),
        ((10,), "two or three parts"),
        ((1, 1, 1, 1), "two or three parts"),
        ((0.6, 0.5), "add up to 1.1, more than 1"),
        ((1, 1), "add up to 2, more than 1"),
        ((10.5, 5), "whole rows"),
        ((60, 41), "60 \\+ 41 = 101 rows, the data have 100"),
    ],
)
def test_splits_that_cannot_be_cut(split, message):
    with pytest.raises((UsageError, DataError), match=message):
        split_panel(panel_of_arrays([np.zeros(100)]), split, 0.1, 5)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.integers(1, 50),
    st.one_of(st.none(), st.sampled_from([(0.7, 0.3), (0.5, 0.2, 0.3), (0.6, 0.1)])),
)
def test_parts_follow_each_other(lengths, horizon, split):
    found = split_panel(panel_of_arrays([np.zeros(n) for n in lengths]), split, 0.1, horizon)
    for parts, n in zip(found, lengths, strict=True):
        assert 0 <= parts.train <= parts.valid <= parts.test <= n
        if split is None:
            assert parts.valid == parts.test == n
            assert parts.valid - parts.train == 0 or parts.valid - parts.train >= horizon


def test_what_was_seen_is_found_again():
    whole = panel(at("2024-01-01", 100, "a"))
    seen = Seen.of(whole, [Parts(60, 80, 100)])
    assert seen.parts(whole) == [Parts(60, 80, 100)]
    assert Seen(*seen).parts(panel(at("2024-02-20", 80, "a"))) == [Parts(10, 30, 50)]
    arrays = panel_of_arrays(np.arange(100.0))
    seen = Seen.of(arrays, [Parts(60, 80, 100)])
    assert seen.parts(panel_of_arrays(np.arange(120.0))) == [Parts(60, 80, 100)]
    assert seen.parts(panel_of_arrays(np.arange(1.0, 101.0))) == [Parts(0, 0, 0)]


# preparation


def test_filling_scaling_and_masks():
    y = np.array([np.nan, 1.0, np.nan, 3.0, 100.0, np.nan])
    data = panel_of_arrays(y)
    made = Preparation.learn(data, [Parts(4, 5, 6)], calendar=True)
    assert made.scales[None][:, 0].tolist() == [2.0, 1.0]  # of 1 and 3
    frame = made.frame(data, data.series[0], 4, 8)
    assert frame.steps[:, 0].tolist() == [-1, -1, -1, 1, 98, 98, 0, 0]
    assert frame.steps[:, 1].tolist() == [0, 1, 0, 1, 1, 0, 0, 0]
    assert frame.observed[:, 0].tolist() == [False, True, False, True, True, False, False, False]
    again = Preparation.from_config(made.to_config())
    assert again.layout == made.layout
    np.testing.assert_array_equal(again.frame(data, data.series[0], 4, 8).steps, frame.steps)


@settings(max_examples=30)
@given(st.integers(1, 20_000), st.integers(1, 800), st.sampled_from([1, 7, 12, 24, 365]))
def test_a_context_always_leaves_windows(steps, horizon, season):
    context, _, segment = choose_context([steps], horizon, lambda most: min(season, most))
    assert 1 <= segment <= max(context, 1)
    if steps > horizon:
        assert context + horizon <= steps
    assert choose_segment(context, season) <= 48


# references


def windows(y: np.ndarray, context: int, horizon: int) -> Windows:
    return Windows(
        [Frame(y.astype(np.float32)[:, None], None, context, len(y))], context, horizon, Layout(1), batch_size=16
    )


def test_linear_map_finds_a_linear_rule():
    y = np.zeros(300)
    y[:3] = [1, 0.5, -1]
    for i in range(3, 300):
        y[i] = 1.5 * y[i - 1] - y[i - 2] + 0.5 * y[i - 3]
    found = windows(y, 3, 2)
    map = fit_linear(found, found)
    for batch in found:
        np.testing.assert_allclose(map(batch.values), batch.targets, atol=2e-2)


def test_season_and_last_value():
    context = torch.arange(6.0).reshape(1, 6, 1)
    assert references.last_value(context, 2).flatten().tolist() == [5, 5]
    assert references.seasonal(context, 7, 3).flatten().tolist() == [3, 4, 5, 3, 4, 5, 3]


# bands


@settings(max_examples=30)
@given(st.integers(100, 300), st.integers(1, 4), st.sampled_from([0.05, 0.1, 0.5, 0.9, 0.95]), st.integers(0, 99))
def test_shifted_quantiles_lie_where_they_should(count, horizon, level, seed):
    errors = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, horizon, 1, 1)).astype(np.float32))
    found = shifts(errors, [level])
    if level >= 0.5:  # rounded outward, for each step
        assert ((errors <= found).double().mean(0) >= level).all()
    else:
        assert ((errors < found).double().mean(0) <= level).all()
    assert ((errors <= found).double().mean(0) - level).abs().max() <= 2 / count


@pytest.mark.parametrize(
    ("count", "level", "rank"),
    [
        (104, 0.9, 95), (104, 0.5, 53), (104, 0.1, 10),  # between two ranks: outward
        (199, 0.9, 180), (199, 0.1, 20), (199, 0.5, 100),  # exactly a rank, though 200 * 0.9 is not exact
        (100, 0.999, 100), (100, 0.001, 1),  # beyond the last and before the first
    ],
)  # fmt: skip
def test_shifts_take_the_rank_of_split_conformal_prediction(count, level, rank):
    """ceil((n + 1) q) of n errors, counted from 1; floor for quantiles below the median."""
    errors = torch.randperm(count, generator=torch.Generator().manual_seed(0)).float() + 1
    assert shifts(errors.reshape(count, 1, 1, 1), [level]).item() == rank


def test_every_quantile_target_and_step_has_a_shift_of_its_own():
    errors = torch.arange(1, 101.0).reshape(100, 1, 1, 1) + torch.tensor([[[0.0], [1000]], [[5000], [9000]]])
    found = shifts(errors.expand(100, 2, 2, 3), [0.1, 0.5, 0.9])
    first = torch.tensor([10.0, 51, 91])
    assert torch.equal(
        found, torch.stack([torch.stack([first, first + 1000]), torch.stack([first + 5000, first + 9000])])
    )


def test_few_windows_share_the_errors_of_their_neighbours():
    errors = torch.arange(12.0).reshape(1, 12, 1, 1)
    assert shifts(errors, [0.5]).flatten().tolist() == [6.0] * 12


def test_windows_share_only_as_many_neighbours_as_they_need():
    assert bands.ENOUGH == 100
    errors = torch.arange(50.0).reshape(50, 1, 1, 1) + 1000 * torch.arange(5.0).reshape(1, 5, 1, 1)
    # 50 windows take one step on each side: the 51st of 100 at the ends, the 76th of 150 between
    assert shifts(errors, [0.5]).flatten().tolist() == [1000, 1025, 2025, 3025, 4000]
    # one window takes 50 on each side
    assert shifts(torch.arange(60.0).reshape(1, 60, 1, 1), [0.5]).flatten().tolist()[::59] == [25, 34]


def test_one_observed_value_is_every_shift_and_none_is_no_shift():
    errors = torch.full((100, 2, 1, 1), torch.nan)
    errors[7, 0] = 3.0
    assert shifts(errors, [0.9]).flatten().tolist() == [3.0, 0.0]
    assert shifts(errors, [0.1]).flatten().tolist() == [3.0, 0.0]


def test_missing_values_do_not_count():
    errors = torch.arange(200.0).reshape(200, 1, 1, 1)
    errors[100:] = torch.nan
    assert shifts(errors, [0.5]).item() == 50


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]), min_size=1, max_size=5, unique=True),
    st.integers(0, 99),
)
def test_the_interval_holds_the_point_forecast(levels, seed):
    levels = sorted(levels)
    before = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 4, 2, 1 + len(levels))))
    found = nested(before, levels)
    point, quantiles = found[..., 0], found[..., 1:]
    torch.testing.assert_close(point, before[..., 0])
    assert (quantiles.diff(dim=-1) >= 0).all()
    for i, level in enumerate(levels):
        if level < 0.5:
            assert (quantiles[..., i] <= point).all()
        elif level > 0.5:
            assert (quantiles[..., i] >= point).all()
    if len(levels) > 1 and levels[0] <= 0.5 <= levels[-1]:
        assert ((quantiles[..., 0] <= point) & (point <= quantiles[..., -1])).all()


# network


def network(**changes) -> ForecastNetwork:
    torch.manual_seed(0)
    spec = RecurrentSpec(**{"cell": "gru", "hidden_size": 8, **changes})
    return ForecastNetwork(Layout(2, 1, 2, 1), 12, 6, 2, 2, recurrent=spec).eval()


def test_known_columns_reach_their_own_segment():
    model = network()
    values, future = torch.randn(3, 12, 5), torch.randn(3, 6, 2)
    changed = future.clone()
    changed[:, 3] += 1  # in the second segment: steps 2 and 3
    moved = (model(values, changed) != model(values, future)).flatten(2).any(2).any(0)
    assert moved.tolist() == [False, False, True, True, False, False]


def test_targets_do_not_see_each_other():
    model = network()
    values, future = torch.randn(3, 12, 5), torch.randn(3, 6, 2)
    changed = values.clone()
    changed[:, :, 0] = changed[:, :, 0] * 2 + 1
    moved = (model(changed, future) != model(values, future)).any(3).any(1).any(0)
    assert moved.tolist() == [True, False]


def test_level_and_size_of_a_context_pass_through():
    model = network()
    values, future = torch.randn(3, 12, 5) * 50, torch.randn(3, 6, 2)
    larger = values.clone()
    larger[:, :, :2] = larger[:, :, :2] * 10 + 1000
    expected = model(values, future) * 10 + 1000
    torch.testing.assert_close(model(larger, future), expected, rtol=1e-2, atol=1.0)


def test_shares_are_a_weighted_mean_with_the_baselines():
    model = network()
    model.season = 5
    torch.nn.init.normal_(model.linear_weight)
    torch.nn.init.normal_(model.linear_bias)
    values, future = torch.randn(3, 12, 5), torch.randn(3, 6, 2)
    context, alone = values[:, :, :2], model(values, future)
    parts = [
        references.last_value(context, 6),
        references.seasonal(context, 6, 5),
        linear(context, model.linear_weight, model.linear_bias),
        alone[..., 0],
    ]
    model.shares = Shares(0.1, 0.2, 0.3, 0.4)
    found = model(values, future)
    expected = sum(share * part for share, part in zip(model.shares, parts, strict=True))
    torch.testing.assert_close(found[..., 0], expected)
    torch.testing.assert_close(found[..., 1:] - found[..., :1], 0.4 * (alone[..., 1:] - alone[..., :1]))
    model.shares = Shares(1.0, 0.0, 0.0, 0.0)
    assert torch.equal(model(values, future)[..., 0], parts[0])


def test_quantiles_do_not_move_the_point_forecast():
    values, future, targets = torch.randn(4, 12, 5), torch.randn(4, 6, 2), torch.randn(4, 6, 2)
    gradients = []
    for levels in ((), (0.1, 0.9)):
        torch.manual_seed(0)
        model = ForecastNetwork(Layout(2, 1, 2, 1), 12, 6, 2, len(levels), recurrent=RecurrentSpec("lstm", 8))
        losses = ForecastObjective("l1", levels).losses(model(values, future), targets)
        losses.sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if not n.startswith("spread")})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize("steps", [1, 6, 7, 20])
def test_rolling_goes_on_from_its_own_forecasts(steps):
    model = network()
    values, future = torch.randn(2, 12, 5), torch.randn(2, steps, 2)
    with torch.inference_mode():
        found = roll(model, values, future, (0.1, 0.9), 6)
        assert found.shape == (2, steps, 2, 3)
        if steps > 6:
            known = torch.cat([values[:, -1:, 2:3].expand(-1, 6, -1), future[:, :6]], 2)
            later = torch.cat([values, torch.cat([found[:, :6, :, 0], known], 2)], 1)[:, -12:]
            expected = roll(model, later, future[:, 6:], (0.1, 0.9), 6)
            torch.testing.assert_close(found[:, 6:, :, 0], expected[..., 0])
            assert (found[:, 6:, :, 2] - found[:, 6:, :, 0] >= expected[..., 2] - expected[..., 0] - 1e-5).all()


@settings(max_examples=30)
@given(st.floats(0.05, 0.95), st.integers(0, 50))
def test_pinball_loss_is_least_at_the_quantile(level, seed):
    y = torch.from_numpy(np.random.default_rng(seed).normal(size=199)).float()
    objective = ForecastObjective("l1", [level])
    truth = y.sort().values[math.ceil(len(y) * level) - 1]  # without interpolation

    def loss(guess) -> float:
        output = torch.stack([y, torch.full_like(y, float(guess))], -1)[None, :, None]
        return objective.losses(output, y[None, :, None]).sum().item()

    assert loss(truth) <= min(loss(truth + 0.1), loss(truth - 0.1)) + 1e-4


# errors


class Given:
    """Stands for windows: two series, horizon 2, one target."""

    horizon = 2
    series, begins = np.array([0, 0, 1]), np.array([0, 1, 2])

    def __init__(self, weights):
        self.weights = weights

    def __iter__(self):
        targets = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]])
        for rows in (slice(0, 2), slice(2, 3)):
            weights = None if self.weights is None else self.weights[rows]
            yield types.SimpleNamespace(rows=torch.arange(3)[rows], targets=targets[rows], weights=weights)


def off(batch):
    """Forecasts that are too high by 1 and 2, in bands of one below and one above."""
    point = batch.targets + torch.tensor([[1.0], [2.0]])
    return torch.stack([point, point + 1, point - 1], -1)


def test_errors_and_coverage_are_exact():
    scales = np.array([[[0.0], [10.0]], [[0.0], [100.0]]])  # mean and size of a unit
    found = score(Given(None), {"off": off}, scales)["off"]  # type: ignore[arg-type]
    assert found.metrics == {
        "mse": 2.5,
        "mae": 1.5,
        "mse_units": (2 * (100 + 400) + 10_000 + 40_000) / 6,
        "mae_units": (2 * (10 + 20) + 100 + 200) / 6,
        "coverage": 0.5,
    }
    assert found.items.tolist() == [[10.0, 4.0], [5.0, 2.0]]  # windows 0 and 1 begin in the same block
    mae = score(Given(None), {"off": off}, scales, "mae")["off"]  # type: ignore[arg-type]
    assert mae.items.tolist() == [[6.0, 4.0], [3.0, 2.0]]


def test_steps_without_weight_do_not_count():
    weights = torch.tensor([[[1.0], [0.0]], [[1.0], [1.0]], [[0.0], [0.0]]])
    found = score(Given(weights), {"off": off}, np.ones((2, 2, 1)))["off"]  # type: ignore[arg-type]
    assert found.metrics["mse"] == (1 + 1 + 4) / 3
    assert found.metrics["coverage"] == 2 / 3
    assert found.items.tolist() == [[6.0, 3.0], [0.0, 0.0]]


def test_later_answers_add_the_squares_of_their_widths():
    def model(values, known):
        point = known[..., :1].unsqueeze(-1)  # (batch, steps, targets 1, 1)
        return torch.cat([point, point - 3.0, point + 4.0], -1)

    model.horizon, model.layout = 2, Layout(1, 0, 1, 0)  # type: ignore[attr-defined]
    future = torch.tensor([[[10.0], [20.0], [30.0], [40.0], [50.0]]])
    found = roll(model, torch.zeros(1, 3, 2), future, (0.1, 0.9), 2)  # type: ignore[arg-type]
    assert found[0, :, 0, 0].tolist() == [10, 20, 30, 40, 50]
    lower, upper = (found[0, :, 0, 0] - found[0, :, 0, 1]).tolist(), (found[0, :, 0, 2] - found[0, :, 0, 0]).tolist()
    assert lower == pytest.approx([3, 3, 18**0.5, 18**0.5, 27**0.5], rel=1e-5)
    assert upper == pytest.approx([4, 4, 32**0.5, 32**0.5, 48**0.5], rel=1e-5)
