"""Forecaster: what it learns, that nothing leaks, what it refuses, and that runs repeat to the bit."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

import recurra
from killing import killed_after
from recurra import Forecaster
from recurra.errors import DataError, UsageError

QUICK = {"horizon": 6, "hidden_size": 16, "epochs": 3, "batch_size": 32, "learning_rate": 0.01, "verbose": 0}


def wave(steps: int = 240, seed: int = 0, noise: float = 0.1) -> np.ndarray:
    random, t = np.random.default_rng(seed), np.arange(steps)
    return 10 + 0.01 * t + np.sin(2 * np.pi * t / 12) + random.normal(scale=noise, size=steps)


def frame(steps: int = 240, **columns) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=steps, freq="h")
    return pd.DataFrame({"time": times, "load": wave(steps), **columns})


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(**QUICK).fit(wave())


# the contract


def test_clone_and_parameters():
    made = Forecaster(horizon=7, split=(0.7, 0.1, 0.2))
    assert clone(made).get_params() == made.get_params()
    assert made.set_params(cell="lstm").cell == "lstm"


def test_shapes_follow_the_history(fitted):
    assert fitted.predict().shape == (6,)
    assert fitted.predict(wave()).shape == (6,)
    assert fitted.predict(wave()[:, None], horizon=20).shape == (20, 1)
    several = fitted.predict([wave(60), wave(90)])
    assert [one.shape for one in several] == [(6,), (6,)]
    again = fitted.predict([wave(90)])[0]
    shifted = fitted.predict([1000 + 50 * wave(90)])[0]  # a series new to the model has a scale of its own
    np.testing.assert_allclose(shifted, 1000 + 50 * again, rtol=1e-5)


def test_saved_model_answers_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(wave(), 15), fitted.predict(wave(), 15))
    assert loaded.evaluate(wave()) == fitted.evaluate(wave())
    with pytest.raises(UsageError, match="pass the history"):
        loaded.predict()
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.predict(), fitted.predict())


def test_same_seed_same_model():
    quick = {**QUICK, "epochs": 1}
    first, second, other = (Forecaster(**quick, random_state=seed).fit(wave()) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.predict(), second.predict())
    assert first.history_[0]["loss"] != other.history_[0]["loss"]


@pytest.mark.parametrize("step", [2, 9])
def test_resumed_equals_uninterrupted(tmp_path, fitted, step):
    with killed_after(step):
        Forecaster(**QUICK).fit(wave(), checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = Forecaster(**QUICK).fit(wave(), checkpoint=tmp_path, resume=True)
    assert resumed.resumed_
    np.testing.assert_array_equal(resumed.predict(), fitted.predict())
    assert resumed.metrics_ == fitted.metrics_


# what it learns


def test_better_than_the_last_value_on_a_season():
    model = Forecaster(**{**QUICK, "epochs": 15}, split=(0.6, 0.2, 0.2)).fit(wave(400))
    figures, order = model.evaluate(wave(400)), model.order_test(wave(400))
    assert order["in order"]["mse"] == pytest.approx(figures["mse"], rel=1e-5)
    assert order["in order"]["mse"] < 0.5 * order["shuffled"]["mse"]
    assert model.season_ == 12
    assert figures["mse"] < 0.4 * figures["baselines"]["last value"]["mse"]
    assert figures["part"] == "test"


def test_known_columns_matter():
    random = np.random.default_rng(0)
    known = random.integers(0, 2, 230).astype(float)[:, None]
    y = known[:200, 0] + random.normal(scale=0.05, size=200)  # nothing but the known column tells the future
    model = Forecaster(**{**QUICK, "epochs": 15, "dropout": 0.0}, quantiles=()).fit(y, known=known)
    found = model.predict(y, known=known)
    assert np.abs(found - known[200:206, 0]).max() < 0.35
    with pytest.raises(DataError, match="known for 3 steps after the last target"):
        model.predict(y, known=known[:203])


def test_memoryless_sees_the_last_segment_only():
    model = Forecaster(**{**QUICK, "cell": "none"}, context=24, segment=6).fit(wave())
    y = wave()
    changed = y.copy()
    changed[-24:-6] += np.random.default_rng(1).normal(size=18)
    np.testing.assert_array_equal(model.predict(y), model.predict(changed))


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_other_cells_layers_and_losses(cell):
    model = Forecaster(**{**QUICK, "epochs": 1}, cell=cell, num_layers=2, loss="huber", quantiles=()).fit(wave())
    assert np.isfinite(model.predict()).all()
    assert "coverage" not in model.evaluate(wave())


def test_bands_hold_what_they_say():
    y = wave(900)
    model = Forecaster(**QUICK, context=24, split=(0.4, 0.3, 0.3)).fit(y)
    assert model.metrics_["valid"]["coverage"] == pytest.approx(0.8, abs=0.02)
    assert model.evaluate(y)["coverage"] == pytest.approx(0.8, abs=0.07)
    (found,) = model.forecast(horizon=30)
    width = found.quantiles[:, 0, -1] - found.quantiles[:, 0, 0]
    assert (np.diff(width[5::6]) > 0).all()  # beyond the horizon they grow
    assert (np.diff(found.quantiles, axis=2) >= 0).all()


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_a_forecast_lies_inside_its_interval(fitted, shift):
    model = copy.deepcopy(fitted)
    model._network.shifts.fill_(shift)  # as calibration leaves them after a change of level
    (found,) = model.forecast(horizon=20)
    assert (found.quantiles[..., 0] <= found.values).all()
    assert (found.values <= found.quantiles[..., -1]).all()
    assert (np.diff(found.quantiles, axis=2) >= 0).all()


def test_quantiles_on_one_side_are_no_interval():
    table = frame()
    model = Forecaster(**{**QUICK, "epochs": 1}, quantiles=(0.6, 0.9)).fit(table, time="time", target="load")
    assert list(model.predict(table).columns) == ["time", "forecast", "q0.6", "q0.9"]


def test_recursive_decoding():
    model = Forecaster(**QUICK, decoding="recursive", segment=2).fit(wave())
    assert model.predict(horizon=9).shape == (9,)
    direct = Forecaster(**QUICK, segment=2).fit(wave())
    # the first segment is the same answer, what follows builds on it
    np.testing.assert_allclose(model.predict()[:2], direct.predict()[:2], rtol=1e-6)
    assert not np.allclose(model.predict()[2:], direct.predict()[2:], rtol=1e-4)


# no leakage


def test_the_future_changes_nothing_of_training():
    y, later = wave(300), wave(300)
    later[240:] += 100
    models = [Forecaster(**QUICK, split=(200, 40, 60)).fit(one) for one in (y, later)]
    for name, weight in models[0].network_.state_dict().items():
        np.testing.assert_array_equal(weight, models[1].network_.state_dict()[name])
    np.testing.assert_array_equal(models[0].preparation_.scales[None], models[1].preparation_.scales[None])


def test_scales_and_figures_are_those_of_the_parts():
    y = wave(300)
    model = Forecaster(**QUICK, split=(200, 40, 60)).fit(y)
    mean, deviation = model.preparation_.scales[None][:, 0]
    assert (mean, deviation) == pytest.approx((y[:200].mean(), y[:200].std()))
    figures = model.evaluate(y)
    assert figures["n"] == 60 - 6 + 1
    forecasts = [model.predict(y[:end]) for end in range(240, 295)]
    truth = [y[end : end + 6] for end in range(240, 295)]
    errors = np.array(forecasts) - np.array(truth)
    assert figures["mse_units"] == pytest.approx((errors**2).mean(), rel=1e-4)
    assert figures["mse"] == pytest.approx((errors**2).mean() / deviation**2, rel=1e-4)
    last = np.array([y[end - 1] for end in range(240, 295)])[:, None]
    naive = figures["baselines"]["last value"]["mae_units"]
    assert naive == pytest.approx(np.abs(last - np.array(truth)).mean(), rel=1e-4)


def test_what_training_saw_is_not_evaluated(fitted):
    assert fitted.evaluate(wave())["part"] == "validation"
    assert fitted.evaluate(wave(300))["n"] == 300 - 240 - 6 + 1
    other = wave(240, seed=5)
    assert fitted.evaluate(other)["n"] == 240 - fitted.context_ - 6 + 1
    assert fitted.evaluate(wave(), part="training")["part"] == "training"
    with pytest.raises(UsageError, match="part is one of"):
        fitted.evaluate(wave(), part="tset")


def test_times_tell_what_training_saw():
    table = frame(240)
    model = Forecaster(**QUICK, split=(150, 40, 50)).fit(table, time="time", target="load")
    whole = model.evaluate(table)
    assert (whole["part"], whole["n"]) == ("test", 45)
    assert model.evaluate(table[190 - model.context_ :])["mse"] == pytest.approx(whole["mse"])


# tables and series of all kinds


def test_pandas_in_pandas_out():
    table = frame(price=np.arange(240.0))
    model = Forecaster(**QUICK).fit(table, time="time", target="load", features="price")
    found = model.predict(table)
    assert list(found.columns) == ["time", "forecast", "lower", "upper"]
    assert found["time"][0] == pd.Timestamp("2024-01-11")
    assert found["time"].dtype == table["time"].dtype
    assert (found["lower"] <= found["upper"]).all()
    pd.testing.assert_frame_equal(model.predict(), found)
    indexed = Forecaster(**QUICK).fit(table.set_index("time"))
    assert indexed.preparation_.columns.target == ("load", "price")
    found = indexed.predict(table.set_index("time"))
    assert list(found.columns[:3]) == ["load", "load_lower", "load_upper"]
    assert found.index.equals(pd.date_range("2024-01-11", periods=6, freq="h", name="time"))
    assert isinstance(model.predict(pa.Table.from_pandas(table)), pa.Table)


TINY = {"horizon": 3, "hidden_size": 4, "epochs": 1, "verbose": 0}


def two_shops(times: pd.DatetimeIndex, ids: list) -> pd.DataFrame:
    parts = [pd.DataFrame({"when": times, "v": wave(len(times), seed=i), "shop": id}) for i, id in enumerate(ids)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("unit", "zone", "ids"),
    [
        *(("s", None, [1, 2]), ("ns", None, ["a", "b"]), ("ns", "UTC", [1.5, 2.5])),
        *(("ms", "Europe/Berlin", [1, 2]), ("us", "+05:30", ["a", "b"])),
    ],
)
def test_forecasts_can_be_merged_with_the_input(unit, zone, ids):
    table = two_shops(pd.date_range("2024-01-01", periods=80, freq="h", tz=zone, unit=unit), ids)
    model = Forecaster(**TINY).fit(table, time="when", target="v", id="shop")
    for found in (model.predict(table), model.predict()):
        assert dict(found.dtypes[["when", "shop"]]) == dict(table.dtypes[["when", "shop"]])
        assert found["when"].min() == table["when"].max() + pd.Timedelta(hours=1)
        assert len(table.merge(found, on=["when", "shop"], how="outer")) == 166


def test_other_types_of_ids_and_times():
    table = two_shops(pd.date_range("2024-01-01", periods=80, freq="D"), ["a", "b"])
    variants = {
        "when": [table["when"].dt.date, table["when"].dt.to_period("D"), table["when"].dt.strftime("%d.%m.%Y")],
        "shop": [table["shop"].astype("category"), table["shop"].astype(object), table["shop"].map({"a": 1, "b": 2})],
    }
    variants["when"] += [table["when"].dt.strftime("%Y%m%d").astype("int64"), table["when"].dt.date.astype("category")]
    variants["shop"] += [variants["shop"][-1].astype("Int16")]
    for name, columns in variants.items():
        for column in columns:
            given = table.assign(**{name: column})
            found = Forecaster(**TINY).fit(given, time="when", target="v", id="shop").predict(given)
            wanted = column.dtype
            if name == "when" and isinstance(wanted, pd.CategoricalDtype):
                wanted = wanted.categories.dtype  # the times to come are none of the categories
            assert found[name].dtype == wanted
            assert type(found[name].iloc[0]) is type(column.iloc[0])
            assert len(given.merge(found, on=["when", "shop"], how="outer")) == 166


def test_the_index_is_kept():
    hours = pd.date_range("2024-03-30", periods=80, freq="h", tz="Europe/Berlin", name="when")
    later = pd.date_range(hours[-1], periods=4, freq="h", name="when")[1:]
    table = pd.DataFrame({"v": wave(80)}, index=hours)
    assert Forecaster(**TINY).fit(table).predict(table).index.equals(later)
    series = pd.Series(wave(80), index=hours.rename(None), name="v")
    found = Forecaster(**TINY).fit(series).predict(series)
    assert found.index.equals(later)
    assert found.index.name is None
    months = pd.period_range("2000-01", periods=80, freq="M")
    found = Forecaster(**TINY).fit(pd.Series(wave(80), index=months)).predict()
    assert found.index.equals(pd.period_range("2006-09", periods=3, freq="M"))
    shops = two_shops(hours, ["a", "b"]).set_index(["shop", "when"])
    found = Forecaster(**TINY).fit(shops, time="when", id="shop", target="v").predict(shops)
    assert found.index.names == ["shop", "when"]
    assert found.loc["b"].index.equals(later)


def weather(steps: int) -> pd.DataFrame:
    """A table whose load depends on the kind of day, which is known ahead."""
    table = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=steps, freq="D")})
    table["day"] = np.where(table["when"].dt.day_of_week >= 5, "free", "work")
    table["sky"] = pd.Series(["dry", "wet", None] * steps)[:steps]
    table["load"] = np.where(table["day"] == "free", 10.0, 20.0) + wave(steps)
    return table


@pytest.mark.parametrize("kind", ["text", "category", "polars"])
def test_columns_of_categories(kind, tmp_path):
    table = weather(90)
    past, future = table[:84], table[84:][["when", "day"]]
    if kind == "category":
        past = past.astype({"day": "category", "sky": "category"})
    if kind == "polars":
        past, future = pl.from_pandas(past), pl.from_pandas(future)
    roles = {"time": "when", "target": "load", "features": ["sky"], "known": ["day"]}
    model = Forecaster(**TINY).fit(past, **roles)
    assert model.preparation_.categories == {"sky": ["dry", "wet"], "day": ["free", "work"]}
    assert model.preparation_.columns.known == ("day=free", "day=work")
    expected = model.predict(past, 6, future=future)
    model.save(tmp_path / "m")
    found = recurra.load(tmp_path / "m").predict(past, 6, future=future)
    assert type(found) is type(past)
    assert found.equals(expected)
    assert model.evaluate(past)["n"] > 0


def test_unknown_categories_are_named():
    table = weather(84)
    model = Forecaster(**TINY, validation_fraction=0.2).fit(table, time="when", target="load", features=["day"])
    other = table.assign(day=table["day"].replace("work", "strike"))
    with pytest.warns(UserWarning, match=r'column day has texts that were not in the training data \("strike"\)'):
        model.predict(other)
    many = table.assign(day=[f"day {n}" for n in range(84)])
    with pytest.raises(DataError, match=r"column day has 84 different texts, such as .*neither numbers nor categories"):
        Forecaster(**TINY).fit(many, time="when", target="load", features=["day"])


def test_arrow_tables_keep_their_types():
    table = pa.Table.from_pandas(two_shops(pd.date_range("2024-01-01", periods=80, freq="D"), [1, 2]))
    table = table.set_column(0, "when", table["when"].cast(pa.date32()))
    table = table.set_column(2, "shop", table["shop"].cast(pa.int16()))
    found = Forecaster(**TINY).fit(table, time="when", target="v", id="shop").predict(table)
    assert [found.schema.field(name).type for name in ("shop", "when")] == [pa.int16(), pa.date32()]
    assert found["when"].to_pylist()[0].isoformat() == "2024-03-21"


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["1", "2"]), pl.Int16])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_polars_frames_keep_their_types(kind, zone):
    given = two_shops(pd.date_range("2024-03-30", periods=80, freq="h", tz=zone, unit="ms"), [1, 2])
    table = pl.from_pandas(given).with_columns(pl.col("shop").cast(pl.String).cast(kind))
    found = Forecaster(**TINY).fit(table, time="when", target="v", id="shop").predict(table)
    assert [found.schema[name] for name in ("shop", "when")] == [table.schema["shop"], table.schema["when"]]
    assert table.join(found, on=["when", "shop"], how="full").height == 166
    texts = table.with_columns(pl.col("when").dt.to_string("%d.%m.%Y %H:%M%z" if zone else "%d.%m.%Y %H:%M"))
    found = Forecaster(**TINY).fit(texts, time="when", target="v", id="shop").predict(texts)
    assert found["when"][0] == ("02.04.2024 09:00+0200" if zone else "02.04.2024 08:00")


def test_a_date_in_several_columns():
    hours = pd.date_range("2024-01-01", periods=80, freq="h")
    table = pd.DataFrame({"day": hours.strftime("%d.%m.%Y"), "hour": hours.hour, "v": wave(80)})
    model = Forecaster(**TINY).fit(table, time=["day", "hour"], target="v")
    found = model.predict(table)
    assert str(model.preparation_.frequency) == "1 hour"
    assert found[["day", "hour"]].values.tolist() == [["04.01.2024", 8], ["04.01.2024", 9], ["04.01.2024", 10]]
    assert found["hour"].dtype == table["hour"].dtype


# time zones


@pytest.mark.parametrize(("start", "hours"), [("2022-10-15", 529), ("2022-03-01", 500)])
@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Seoul", "UTC"])
def test_a_clock_change_is_neither_a_gap_nor_a_duplicate(start, hours, zone):
    times = pd.date_range(start, periods=hours, freq="h", tz="UTC").tz_convert(zone)
    later = pd.date_range(times[-1], periods=4, freq="h")[1:]
    table = pd.DataFrame({"when": times, "v": wave(hours)})
    model = Forecaster(**TINY).fit(table, time="when", target="v")
    assert str(model.preparation_.frequency) == "1 hour"
    assert pd.DatetimeIndex(model.predict(table)["when"]).equals(later)
    texts = table.assign(when=times.map(lambda time: time.isoformat(sep=" ")))
    found = model.predict(texts)["when"]  # as a file has them
    assert pd.to_datetime(found, utc=True).tolist() == later.tz_convert("UTC").tolist()


def test_days_are_those_of_the_calendar_not_of_24_hours():
    days = pd.date_range("2022-03-01", periods=80, freq="D", tz="Europe/Berlin")
    table = pd.DataFrame({"when": days, "v": wave(80)})
    model = Forecaster(**TINY).fit(table, time="when", target="v")
    assert str(model.preparation_.frequency) == "1 day"
    assert model.predict(table)["when"].tolist() == list(pd.date_range(days[-1], periods=4, freq="D")[1:])


def test_the_calendar_of_a_zone_is_local():
    times = pd.date_range("2022-10-01", periods=960, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    model = Forecaster(**TINY).fit(pd.DataFrame({"when": times, "v": wave(960)}), time="when", target="v")
    panel = model.tail_
    local = panel.times(panel.series[0], np.arange(24)).astype("datetime64[h]").astype(int) % 24
    assert local.tolist() == times[-len(panel.series[0]) :].hour[:24].tolist()


def test_what_was_seen_is_the_same_in_another_zone():
    times = pd.date_range("2022-10-15", periods=500, freq="h", tz="Europe/Berlin")
    table = pd.DataFrame({"when": times, "v": wave(500)})
    model = Forecaster(**TINY, split=(300, 100, 50)).fit(table, time="when", target="v")
    first = model.evaluate(table)
    other = model.evaluate(table.assign(when=times.tz_convert("UTC")))
    assert (first["n"], first["part"]) == (other["n"], other["part"]) == (48, "test")


@pytest.mark.parametrize("start", ["2022-10-29", "2022-03-26"])
def test_local_times_around_a_clock_change_need_an_offset(start):
    times = pd.date_range(start, periods=80, freq="h", tz="Europe/Berlin").tz_localize(None)
    table = pd.DataFrame({"when": times, "v": wave(80)})
    with pytest.raises(DataError, match=r"if the clock was set (back|forward) there, give the times with their offset"):
        Forecaster(**TINY).fit(table, time="when", target="v")


# order of day and month


def test_the_order_of_day_and_month_is_remembered(tmp_path):
    months = pd.date_range("1992-01-01", periods=48, freq="MS")
    table = pd.DataFrame({"when": months.strftime("%m/%d/%Y"), "v": wave(48)})
    model = Forecaster(**TINY, context=4).fit(table, time="when", target="v")
    assert "month first" in model.notes_[0]
    model.save(tmp_path / "m")
    for found in (model, recurra.load(tmp_path / "m")):
        assert found.predict(table[4:10])["when"].tolist() == ["11/01/1992", "12/01/1992", "01/01/1993"]
    short = table[:11]
    with pytest.raises(DataError, match=r"day first .* month first"):
        Forecaster(**TINY, context=2).fit(short, time="when", target="v")
    days = Forecaster(**TINY, context=2).fit(short, time="when", target="v", day_first=True)
    assert days.predict(short)["when"].tolist() == ["12/01/1992", "13/01/1992", "14/01/1992"]
    with pytest.raises(UsageError, match="give one of"):
        Forecaster(**TINY).fit(short, time="when", target="v", day_first=True, month_first=True)
    with pytest.raises(UsageError, match="holds %Q"):
        Forecaster(**TINY).fit(short, time="when", target="v", time_format="%Q")


@pytest.mark.parametrize("ids", [["a", None], ["a", ""], ["a", " "], [1.0, np.nan], [1, None]])
def test_a_row_without_an_id_is_an_error(ids):
    table = pd.concat([frame(), frame()], ignore_index=True)
    table["shop"] = np.repeat(np.array(ids, object if isinstance(ids[0], str) or ids[1] is None else float), 240)
    with pytest.raises(DataError, match="row 240, column shop is empty: which series does the row belong to"):
        Forecaster(**QUICK).fit(table, time="time", target="load", id="shop")


def test_several_series_of_unequal_and_no_length():
    model = Forecaster(**QUICK).fit([wave(200), np.zeros(0), wave(40, seed=3), wave(7, seed=4) * 100])
    found = model.predict()
    assert [one.shape for one in found] == [(6,)] * 4
    assert np.isfinite(np.concatenate(found)).all()
    assert model.preparation_.masked
    assert np.abs(found[3] - 1000).max() < 300  # on its own scale
    assert np.abs(found[1] - 10).max() < 400  # on the average scale


def test_a_new_series_is_measured_on_its_own_scale():
    model = Forecaster(**QUICK).fit([wave(200), wave(200, seed=1)])
    new = wave(150, seed=2)
    small, large = (model.evaluate([wave(200), wave(200, seed=1), factor * new]) for factor in (1, 1000))
    assert small["part"] == large["part"] == "test"
    assert large["mae"] == pytest.approx(small["mae"], rel=1e-3)
    assert large["mae_units"] == pytest.approx(1000 * small["mae_units"], rel=1e-3)


def test_missing_values_are_filled_and_the_network_is_told():
    y = wave()
    y[5], y[100:110], y[-3:] = np.nan, np.nan, np.nan
    model = Forecaster(**QUICK).fit(y)
    assert model.preparation_.masked
    assert np.isfinite(model.predict()).all()
    assert np.isfinite(model.evaluate(y)["mse"])
    full = Forecaster(**QUICK).fit(wave())
    assert np.isfinite(full.predict(y)).all()


def test_a_constant_and_a_short_series():
    model = Forecaster(**{**QUICK, "horizon": 2}).fit(np.full(30, 5.0))
    np.testing.assert_allclose(model.predict(), 5.0, atol=1.0)
    assert Forecaster(**{**QUICK, "horizon": 1}).fit(wave(12)).predict().shape == (1,)


def test_calendar_columns():
    model = Forecaster(**QUICK).fit(frame(), time="time", target="load")
    assert model.preparation_.cycles == ["hour"]
    assert model.preparation_.layout.known == 2
    assert Forecaster(**QUICK, calendar=False).fit(frame(), time="time").preparation_.layout.known == 0


# what it refuses


@pytest.mark.parametrize(
    ("changes", "y", "message"),
    [
        ({"horizon": 500}, wave(), "context 1 \\+ horizon 500 = 501 steps, but the longest series has 240"),
        ({"context": 300}, wave(), "context 300 \\+ horizon 6 = 306 steps, but the longest series has 216"),
        ({"split": (200, 100)}, wave(), "the split takes 200 \\+ 100 = 300 rows, the data have 240"),
        ({"split": (200, 5, 30)}, wave(), "validation part of the split 200, 5, 30 is shorter"),
        ({}, [], "context 1 \\+ horizon 6 = 7 steps, but the longest series has 0"),
        ({}, "load.csv", "neither a table nor numbers"),
    ],
)
def test_data_errors(changes, y, message):
    with pytest.raises(DataError, match=message):
        Forecaster(**{**QUICK, **changes}).fit(y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"context": 0}, "context must be at least 1"),
        ({"quantiles": (0.9, 0.1)}, "quantiles are rising shares"),
        ({"quantiles": (0, 1)}, "quantiles are rising shares"),
        ({"loss": "mse"}, "loss is one of l1, l2, huber"),
        ({"decoding": "both"}, "decoding is one of"),
        ({"split": (0.9, 0.9)}, "more than 1"),
        ({"split": (10.5, 3)}, "whole rows"),
        ({"cell": "transformer"}, "cell is one of"),
    ],
)
def test_usage_errors(changes, message):
    with pytest.raises(UsageError, match=message):
        Forecaster(**{**QUICK, **changes}).fit(wave())


def test_other_columns_or_steps_than_in_training(fitted):
    with pytest.raises(DataError, match="2 columns of target, the model was trained on 1"):
        fitted.predict(np.zeros((50, 2)))
    model = Forecaster(**QUICK).fit(frame(), time="time", target="load")
    with pytest.raises(DataError, match='no column "load"'):
        model.predict(frame().rename(columns={"load": "price"}))
    daily = frame()
    daily["time"] = pd.date_range("2024-01-01", periods=240, freq="D")
    with pytest.raises(DataError, match="23 steps of 1 hour missing"):
        model.predict(daily)
    with pytest.raises(DataError, match="trained on a table with times"):
        model.predict(wave())
