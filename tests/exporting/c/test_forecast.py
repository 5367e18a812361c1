"""C files of forecasters give the forecasts of their models, after each step."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import run_steps
from divisions import rebuilt

import recurra
from recurra.errors import UsageError
from recurra.exporting.c.emulate_forecast import emulate_forecast
from recurra.exporting.c.read import read
from recurra.tasks.forecast.baselines.mixture import Shares

STEPS = 1000
SHAPE = {"context": 7, "horizon": 5, "segment": 2, "epochs": 1, "hidden_size": 4, "verbose": 0, "random_state": 0}


def waves(count: int, columns: int = 1, missing: float = 0.0, seed: int = 0) -> np.ndarray:
    """Series whose values are float32 numbers."""
    random = np.random.default_rng(seed)
    found = np.sin(np.arange(count) / 3)[:, None] + random.normal(size=(count, columns)) + 5
    found[random.random(found.shape) < missing] = np.nan
    return found.astype(np.float32).astype(np.float64)


def answers(model, x: np.ndarray) -> np.ndarray:
    """The forecasts of a model after each step."""
    stepper = model.service().stepper()
    states, found = stepper.start(1, **({"begin": "2024-01-30"} if model.preparation_.columns.times else {})), []
    for row in x:
        done = stepper.advance(states, [""], [row[None]])
        states = done.states
        found.append(done.outputs[0])
    return np.array(found)


def difference(model, found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference in standard deviations of the targets."""
    (scale,) = model.preparation_.scales.values()
    assert found.shape == wanted.shape
    shape = (len(found), model.horizon, len(scale[1]), -1)
    return float((np.abs(found - wanted).reshape(shape) / scale[1][:, None]).max())


def mixed(model: recurra.Forecaster) -> recurra.Forecaster:
    """The model with a share of every baseline."""
    model.season_, model.shares_ = min(3, model.context_), Shares(0.1, 0.2, 0.3, 0.4)
    model._network.season, model._network.shares = model.season_, model.shares_
    return model


@pytest.fixture(scope="module")
def several():
    """Two targets and another column, with missing values."""
    return mixed(recurra.Forecaster(**SHAPE).fit(waves(120, 2, 0.2), features=waves(120, 1, 0.2, 1)))


@pytest.fixture(scope="module")
def plain():
    return mixed(recurra.Forecaster(**SHAPE).fit(waves(120)[:, 0]))


@pytest.mark.parametrize(
    ("cell", "layers", "compiler"),
    [("gru", 1, "gcc"), ("lstm", 2, "clang"), ("rnn", 3, "gcc"), ("rnn_relu", 1, "clang")],
    indirect=["compiler"],
)
def test_several_targets_with_missing_values(several, cell, layers, compiler, tmp_path):
    model = rebuilt(several, cell=cell, num_layers=layers, hidden_size=9)
    x = np.concatenate([waves(STEPS, 2, 0.4, 2), waves(STEPS, 1, 0.4, 3)], 1)
    x[:12, 0] = x[100:130, 2] = np.nan
    wanted = answers(model, x)
    assert difference(model, run_steps(recurra.export(model, tmp_path / "flow.c"), x, compiler), wanted) <= 1e-5
    found, some = run_steps(recurra.export(model, tmp_path / "flow.c", int8=True), x, compiler), range(1, STEPS, 50)
    small = emulate_forecast(read(model).quantized(), x, list(some))
    assert difference(model, found[0:-1:50], small) <= 1e-5
    assert 1e-5 < difference(model, found, wanted) < 0.2


@pytest.mark.parametrize(
    "options",
    [
        {"quantiles": ()},
        {"quantiles": (0.5, 0.9)},
        {"context": 1, "segment": 1, "horizon": 1},
        {"hidden_size": 1, "segment": 7},
        {"horizon": 4, "quantiles": (0.2, 0.5)},
    ],
    ids=str,
)
def test_sizes_and_quantiles(options, tmp_path):
    model = mixed(recurra.Forecaster(**(SHAPE | options)).fit(waves(120)[:, 0]))
    x = waves(100, seed=4)
    found = run_steps(recurra.export(model, tmp_path / "flow.c"), x, "gcc")
    assert difference(model, found, answers(model, x)) <= 1e-5


def test_tables_with_times(tmp_path):
    days = np.datetime_as_string(np.datetime64("2024-01-30") + np.arange(120)).tolist()
    table = {"day": days, "sales": waves(120)[:, 0].tolist()}
    model = recurra.Forecaster(**SHAPE, calendar=False).fit(table, time="day")
    x = waves(50, seed=4)
    path = recurra.export(model, tmp_path / "sales.c")
    assert difference(model, run_steps(path, x, "gcc"), answers(model, x)) <= 1e-5
    assert 'const char *const sales_targets[SALES_TARGETS] = {\n    "sales"\n}' in path.read_text(encoding="utf-8")
    both = {name: values * 2 for name, values in table.items()} | {"shop": ["a"] * 120 + ["b"] * 120}
    with pytest.raises(UsageError, match="a scale for each of 2 series"):
        recurra.export(
            recurra.Forecaster(**SHAPE, calendar=False).fit(both, time="day", id="shop"), tmp_path / "both.c"
        )


@pytest.mark.parametrize(
    ("begin", "unit", "step", "cycles"),
    [
        ("2023-12-20", "D", 1, ["weekday", "year"]),
        ("1968-02-25", "h", 6, ["hour", "weekday", "year"]),
        ("2024-02-27", "m", 15, ["minute", "hour"]),
    ],
)
def test_calendar(begin, unit, step, cycles, tmp_path):
    """The C file computes the time of its steps, over the ends of years and through leap days."""
    first, count = np.datetime64(begin, unit), 3 * 366 * 4 if "year" in cycles else 400
    times = np.datetime_as_string(first + np.arange(count) * step).tolist()
    options = SHAPE | {"epochs": 2, "quantiles": (0.5,)}
    model = recurra.Forecaster(**options).fit({"time": times, "flow": waves(count)[:, 0].tolist()}, time="time")
    assert model.preparation_.cycles == cycles
    x = waves(STEPS, 1, 0.2, 4)
    stepper = model.service().stepper()
    states, wanted = stepper.start(1, begin=times[0]), []
    for row in x:
        done = stepper.advance(states, [""], [row[None]])
        states = done.states
        wanted.append(done.outputs[0])
    path, time = recurra.export(model, tmp_path / "flow.c"), int(first.astype("datetime64[us]").astype(int))
    assert difference(model, run_steps(path, x, "gcc", begin=time), np.array(wanted)) <= 1e-5


def test_calendar_of_months_is_refused(tmp_path):
    months = (np.datetime64("2000-01") + np.arange(120)).astype("datetime64[D]")
    table = {"month": np.datetime_as_string(months).tolist(), "flow": waves(120)[:, 0].tolist()}
    model = recurra.Forecaster(**SHAPE).fit(table, time="month")
    assert model.preparation_.cycles == ["year"]
    with pytest.raises(UsageError, match=r"steps of 1 month.*--no-calendar"):
        recurra.export(model, tmp_path / "flow.c")
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path):
    y = waves(120)[:, 0]
    for model, message in (
        (recurra.Forecaster(**SHAPE, cell="none").fit(y), "a baseline without memory"),
        (recurra.Forecaster(**SHAPE, decoding="recursive").fit(y), 'use "direct"'),
        (recurra.Forecaster(**SHAPE).fit(y, known=waves(130)), "needs the future values of known0"),
    ):
        with pytest.raises(UsageError, match=message):
            recurra.export(model, tmp_path / "flow.c")
    assert list(tmp_path.iterdir()) == []
