"""Forecasters in JavaScript: forecasts, quantiles, times and every gate equal Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import Forecaster
from recurra.data.columns.panel import panel_of_arrays
from recurra.exporting import export
from recurra.tasks.forecast.baselines.mixture import Shares

STEPS = 260
OPTIONS = {"horizon": 7, "hidden_size": 10, "epochs": 2, "random_state": 0, "verbose": 0}
FREQUENCIES = {"hour": "h", "day": "D", "month": "MS", "month end": "ME", "business day": "B"}


def waves(count: int, columns: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    at = np.arange(count)[:, None]
    return 50 + 20 * np.sin(at / (2 + np.arange(columns))) + random.standard_normal((count, columns))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def compare(model: Forecaster, found: list[dict[str, Any]], expected: list[Any]) -> None:
    """Compares answers with forecasts, in units of the training data."""
    scale = max(float(np.max(scale[1])) for scale in model.preparation_.scales.values())
    for answer, forecast in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(answer["values"]) / scale, forecast.values / scale, rtol=1e-6, atol=1e-5)
        quantiles = np.array(answer["quantiles"]).reshape(forecast.quantiles.shape)
        np.testing.assert_allclose(quantiles / scale, forecast.quantiles / scale, rtol=1e-6, atol=1e-5)


@pytest.fixture(scope="module", params=["one", "all columns", "recursive"])
def forecaster(request, folder):
    """Forecasters of arrays: one target; two targets with features, known columns and missing values; in segments."""
    if request.param == "all columns":
        y, features, known = waves(STEPS, 2), waves(STEPS, 1, 1), waves(STEPS, 2, 2)
        y[np.random.default_rng(3).random(y.shape) < 0.1] = np.nan
        features[40:60] = np.nan
        model = Forecaster(context=20, segment=3, cell="lstm", num_layers=2, **OPTIONS).fit(y, features, known)
    else:
        how: Any = {"decoding": "recursive", "segment": 2, "quantiles": ()} if request.param == "recursive" else {}
        model = Forecaster(cell="rnn" if how else "gru", **how, **OPTIONS).fit(waves(STEPS, 1)[:, 0])
    model._network.season, model._network.shares = 4, Shares(0.1, 0.2, 0.3, 0.4)
    return model, export(model, folder / f"{request.param}.safetensors", format="web")


def histories(model: Forecaster, count: int) -> list[dict[str, Any]]:
    """Histories of 1 to 90 steps with missing values, some far from those of the training, as Python's arguments."""
    random = np.random.default_rng(5)
    layout, found = model.preparation_.layout, []
    for seed, length in enumerate([1, 2, *random.integers(3, 90, count - 2)]):
        y = waves(length, layout.targets, seed) * random.choice([1, 1, 100])
        arguments = {"history": y}
        if layout.known:
            y[random.random(y.shape) < 0.2] = np.nan
            arguments["features"] = waves(length, layout.features, seed + 1)
            arguments["known"] = waves(length + 20, layout.known, seed + 2)
        found.append(arguments)
    return found


def as_input(arguments: dict[str, Any], steps: int) -> Any:
    """The same as the input of recurra-web."""
    if "known" not in arguments:
        return arguments["history"]
    n = len(arguments["history"])
    rows = np.concatenate([arguments["history"], arguments["features"], arguments["known"][:n]], 1)
    return {"history": rows, "future": arguments["known"][n : n + steps]}


@pytest.mark.parametrize("run", RUNNERS)
def test_100_histories_have_the_same_forecasts(forecaster, run):
    model, path = forecaster
    given = histories(model, 100)
    for steps in (7, 17):
        inputs = [as_input(arguments, steps) for arguments in given]
        (found,) = run([{"model": path, "call": "predict", "inputs": inputs, "options": {"horizon": steps}}])
        compare(model, found, [next(model.forecast(horizon=steps, **arguments)) for arguments in given])


def test_every_gate_of_the_context_and_the_horizon(forecaster):
    model, path = forecaster
    for arguments in histories(model, 6):
        if model.decoding == "recursive":  # the trace has the first answer only
            continue
        ((found,),) = run([{"model": path, "call": "inspect", "inputs": [as_input(arguments, 7)]}])
        trace = recurra.trace(model, panel_of_arrays(arguments.pop("history"), **arguments))
        rows = dict.fromkeys(trace.parts, 0)
        for part in found["parts"]:
            expected, row = trace.part(part["name"]), rows[part["name"]]
            rows[part["name"]] += 1
            assert part["pieces"] == expected.to_xarray().token.values[row].tolist()
            for name, gate in {**part["gates"], **part["states"]}.items():
                np.testing.assert_allclose(tensor(gate), expected[name].values[:, :, row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_dates_and_the_calendar(frequency, folder):
    times = pd.date_range("2023-11-28 09:30", periods=STEPS, freq=FREQUENCIES[frequency])
    table = pd.DataFrame({"time": times, "load": waves(STEPS, 1)[:, 0]})
    model = Forecaster(**OPTIONS).fit(table, time="time", target="load")
    assert model.preparation_.cycles
    path = export(model, folder / f"{frequency}.safetensors", format="web")
    parts = [table.iloc[begin : begin + 70] for begin in range(0, 180, 9)]
    inputs = [{"history": part["load"].tolist(), "time": part["time"].iloc[0].timestamp() * 1000} for part in parts]
    (found,) = run([{"model": path, "call": "predict", "inputs": inputs}])
    expected = [next(model.forecast(part)) for part in parts]
    compare(model, found, expected)
    for answer, forecast in zip(found, expected, strict=True):
        assert answer["times"] == forecast.stamps.astype("datetime64[ms]").astype(int).tolist()
    (refused,) = run([{"model": path, "call": "predict", "inputs": [[1, 2, 3]]}])
    assert "give the time of the first step" in refused["error"]


def test_several_series_and_new_ones(folder):
    y = [waves(STEPS, 1)[:, 0], 1000 * waves(STEPS, 1, 1)[:, 0]]
    model = Forecaster(**OPTIONS).fit(y)
    path = export(model, folder / "several.safetensors", format="web")
    history = waves(50, 1, 2)[:, 0]
    new = [history, np.full(9, 7.0), np.zeros(5), np.full(4, np.nan), 1e20 + 1e5 * history, 1e-20 * history]
    inputs = [*new, *({"history": history * 1000**i, "series": str(i)} for i in range(2))]
    (found,) = run([{"model": path, "call": "predict", "inputs": inputs}])
    expected = [next(model.forecast(one)) for one in new] + list(model.forecast([history, 1000 * history]))
    for answer, forecast in zip(found, expected, strict=True):
        size = np.abs(forecast.values).max() + 1e-30
        np.testing.assert_allclose(np.array(answer["values"], float) / size, forecast.values / size, rtol=0, atol=1e-5)


def test_wrong_histories_are_refused(forecaster):
    model, path = forecaster
    wide = {"history": [[1.0] * 5] * 9, "future": [[1.0, 1.0]] * 7} if model.preparation_.layout.known else [1.0] * 9
    wrong: dict[str, Any] = {
        "the history has no steps": [],
        "a step has": [[1.0] * 9],
        "the model reads steps": {"history": "abc"},
        "no key past": {"past": [1]},
        "standard deviations": [[1e30] * 5] if model.preparation_.layout.known else [1e30],
        "an object with the key history": 3,
    }
    if model.preparation_.layout.known:
        wrong["needs future values of known0, known1, not 6 steps"] = {**wide, "future": [[1.0, 1.0]] * 6}
        wrong["standard deviations"] = {**wide, "history": [[1e30] * 5]}
    for part, found in zip(
        wrong, run([{"model": path, "call": "predict", "inputs": [x]} for x in wrong.values()]), strict=True
    ):
        assert part in found["error"]
    found = run([{"model": path, "call": "predict", "inputs": [wide], "options": {"horizon": n}} for n in (0, 1.5)])
    assert all("the horizon is a number of steps" in answer["error"] for answer in found)
