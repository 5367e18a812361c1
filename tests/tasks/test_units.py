"""The unit of the numbers does not matter: from 1e-30 to 1e30 every task gives the same answers up to the unit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from recurra import Forecaster, SequenceClassifier, SequenceRegressor

EXACT = [2.0**-100, 2.0**-30, 2.0**100]
"""A power of two as unit changes no bit of a significand, so answers are equal bit by bit."""
CLOSE = [1e-30, 1e-9, 1e9, 1e30]
"""Other units round the numbers in another way."""
SMALL = {"hidden_size": 8, "epochs": 2, "batch_size": 16, "verbose": 0, "random_state": 0}


def same(found, plain, unit):
    if unit in EXACT:
        np.testing.assert_array_equal(found, plain)
    else:
        np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-3)


def series(length: int = 150) -> np.ndarray:
    return 2 + np.sin(np.arange(length) / 7 * 2 * np.pi) + np.random.default_rng(0).normal(0, 0.1, length)


def forecast(values: np.ndarray, unit: float, **options) -> dict[str, np.ndarray]:
    """What a forecaster answers, in units of `unit`."""
    model = Forecaster(horizon=7, **SMALL, **options).fit(values)
    figures = model.evaluate(values)
    (answer,) = model.forecast()
    return {
        "values": answer.values / unit,
        "quantiles": answer.quantiles / unit,
        "scaled": np.array([figures["mse"], figures["mae"], figures["coverage"]]),
        "own": np.array([figures["mse_units"] / unit**2, figures["mae_units"] / unit]),
        "linear": np.array(list(figures["baselines"]["linear map"].values())) / [1, 1, unit**2, unit],
    }


@pytest.fixture(scope="module")
def plain() -> dict[str, np.ndarray]:
    return forecast(series(), 1.0)


@pytest.mark.parametrize("unit", EXACT + CLOSE)
def test_forecasts_bands_figures_and_baselines(plain, unit):
    found = forecast(series() * unit, unit)
    for name, values in plain.items():
        same(found[name], values, unit)


def test_nanoamperes():
    """The case of the issue: the forecasts of a few nanoamperes are a few nanoamperes."""
    values = (2 + np.sin(np.arange(300) / 7 * 6.2832)) * 1e-9
    found = Forecaster(horizon=7, epochs=8, hidden_size=16, batch_size=16, verbose=0).fit(values).predict()
    assert (found > 0.5e-9).all()
    assert (found < 3.5e-9).all()


def test_a_small_deviation_beside_a_large_offset(plain):
    unit, offset = 2.0**-10, 1e6
    values = series() * unit + offset
    held = values - offset  # exact: what of the series survived the addition
    model, expected = (Forecaster(horizon=7, **SMALL).fit(v) for v in (values, held))
    np.testing.assert_allclose((model.predict() - offset) / unit, expected.predict() / unit, rtol=1e-4, atol=1e-4)
    assert model.evaluate(values)["mae"] == pytest.approx(expected.evaluate(held)["mae"], rel=1e-3)


def frame(unit: float, side: float) -> pd.DataFrame:
    """Three series, one of them constant at 0, with columns of which one is constant."""
    parts = [
        pd.DataFrame(
            {
                "id": name,
                "v": factor * series() * unit,
                "price": np.cos(np.arange(150) / 5) * side,
                "constant": 3.0 * side,
                "zero": 0.0,
            }
        )
        for name, factor in (("a", 1.0), ("b", 100.0), ("none", 0.0))
    ]
    return pd.concat(parts)


@pytest.mark.parametrize(("unit", "side"), [(2.0**-100, 2.0**50), (1e-30, 1e30), (1e30, 1e-30)])
def test_columns_beside_the_targets_have_units_of_their_own(unit, side):
    answers = []
    for u, s in ((1.0, 1.0), (unit, side)):
        model = Forecaster(horizon=5, calendar=False, **SMALL)
        model.fit(frame(u, s), features=["price", "constant"], known="zero", target="v", id="id")
        future = pd.DataFrame({"id": np.repeat(["a", "b", "none"], 5), "zero": 0.0})
        answers.append([f.values / u for f in model.forecast(_ahead(frame(u, s), future))])
    for found, expected in zip(answers[1], answers[0], strict=True):
        same(found, expected, unit)
    assert np.abs(answers[0][2]).max() < 20  # the empty series stays near 0, in the unit of the others


def _ahead(history: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """Rows of the time to come, without a target, behind each series."""
    parts = [pd.concat([h, future[future.id == name]]) for name, h in history.groupby("id", sort=False)]
    return pd.concat(parts)


def test_a_constant_column_says_nothing_whatever_comes_later():
    values, constant = series(), np.full((150, 1), 4.0)
    model = Forecaster(horizon=7, **SMALL).fit(values, features=constant)
    other = model.predict(values, features=np.full((150, 1), -1e25))
    np.testing.assert_array_equal(model.predict(values, features=constant), other)


@pytest.mark.parametrize("constant", [5e-9, -3e30])
def test_a_constant_series_is_forecast_near_its_constant(constant):
    found = Forecaster(horizon=3, **SMALL).fit(np.full(80, constant)).predict()
    np.testing.assert_allclose(found, constant, rtol=0.2)


@pytest.mark.parametrize("unit", EXACT + CLOSE)
def test_a_series_that_the_model_has_not_seen(unit):
    model = Forecaster(horizon=7, **SMALL).fit([series(), 2 * series()])
    flat = np.concatenate([np.full(40, 3.0), [4.0, 5.0]])
    found = []
    for u in (1.0, unit):
        (one,) = model.predict([flat * u])  # its name is that of the first series
        model.preparation_.scales.pop("0", None)
        (one,) = model.predict([flat * u])
        found.append(one / u)
    same(found[1], found[0], unit)


def sequences(classes: np.ndarray, unit: float, offset: float = 0.0) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(random.normal(c, 1, (6, 2)) * [1, 100] + offset) * unit for c in classes]


@pytest.mark.parametrize("unit", EXACT + CLOSE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes(unit, dtype):
    same(probabilities(unit, dtype), probabilities(1.0, dtype), unit)


@cache
def probabilities(unit: float, dtype: type) -> np.ndarray:
    y = np.arange(40) % 2
    X = [row.astype(dtype) * dtype(unit) for row in sequences(y, 1.0)]
    return SequenceClassifier(**SMALL).fit(X, y).predict_proba(X)


@pytest.mark.parametrize("unit", EXACT + CLOSE)
@pytest.mark.parametrize("several", [False, True])
def test_numbers(unit, several):
    (found, figures), (plain, expected) = regression(unit, several), regression(1.0, several)
    same(found, plain, unit)
    np.testing.assert_allclose(figures, expected, rtol=1e-2 if unit in CLOSE else 1e-12)


@cache
def regression(unit: float, several: bool) -> tuple[np.ndarray, list[float]]:
    y = np.random.default_rng(1).normal(3, 1, 40)
    if several:
        y = np.stack([y, y * 50, np.full(40, 7.0)], 1)
    X = [x * unit for x in sequences(np.arange(40) % 2, 1.0)]
    model = SequenceRegressor(**SMALL).fit(X, y * unit)
    made = model.evaluate(X, y * unit)
    figures = [made["r2"], made["mse"] / unit**2, made["mae"] / unit, made["loss"]]
    return model.predict(X) / unit, figures


def test_a_target_that_is_constant_up_to_rounding_is_refused():
    X = sequences(np.arange(10) % 2, 1.0)
    with pytest.raises(ValueError, match=r"every target is 0\.1"):
        SequenceRegressor(**SMALL).fit(X, np.full(10, 0.1))


def test_r2_of_several_targets_does_not_depend_on_their_units():
    random = np.random.default_rng(0)
    X = [random.normal(size=(4, 2)) for _ in range(40)]
    y = np.array([[x[:, 0].sum(), x[-1, 1]] for x in X])
    scores = [
        SequenceRegressor(**SMALL).fit(X, y * units).score(X, y * units)
        for units in (np.ones(2), np.array([1.0, 2.0**-900]))
    ]
    assert scores[0] == scores[1]
