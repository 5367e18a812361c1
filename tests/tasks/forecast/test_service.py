"""Service of forecasters."""

from __future__ import annotations

import csv
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.models import model

import recurra
from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.errors import DataError
from recurra.tasks.serving.service import InputError

LOAD = {"date": ["2024-03-01", "2024-03-02", "2024-03-03"], "load": [1, 2.5, 4], "rain": [0, None, 0.5]}
SHOPS = {
    "day": [f"2024-05-{day:02}" for day in range(1, 11)],
    "shop": ["north"] * 5 + ["west"] * 5,
    "sold": [4, 5, None, None, None] * 2,
    "holiday": [0, 1, 0, 0, 1] * 2,
}


def rows_of(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("kind", "columns", "horizon"), [("table", LOAD, None), ("table", LOAD, 7), ("shops", SHOPS, 2)]
)
def test_the_command_line_gives_the_same_rows(kind, columns, horizon, tmp_path):
    file = tmp_path / "history.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([columns, *zip(*columns.values(), strict=True)])
    service = model(kind).service()
    (answer,) = service.answers(service.parse([columns]), service.Options(horizon=horizon))
    assert (
        list(task_module("forecast").predict(model(kind), str(file), PredictOptions(horizon=horizon)))
        == answer["forecast"]
    )
    assert service.rows(answer) == answer["forecast"]
    (other,) = service.answers(service.parse([rows_of(columns)]), service.Options(horizon=horizon))
    assert other == answer


def test_numbers_are_a_history():
    forecaster = model("numbers in time")
    service = forecaster.service()
    (answer,) = service.answers(service.parse([[1, 2, None, 3]]), service.Options())
    expected = forecaster.predict([1.0, 2.0, np.nan, 3.0])
    assert [row["forecast"] for row in answer["forecast"]] == expected.tolist()
    assert [row["step"] for row in answer["forecast"]] == [4, 5, 6]
    assert answer["forecast"][0].keys() == {"step", "forecast", "lower", "upper"}


def test_several_targets():
    forecaster = model("several numbers in time")
    service = forecaster.service()
    (answer,) = service.answers(service.parse([[[1, 2], [3, 4]]]), service.Options())
    assert [[row["y0"], row["y1"]] for row in answer["forecast"]] == forecaster.predict(
        np.array([[1.0, 2], [3, 4]])
    ).tolist()


def test_a_model_of_several_arrays_takes_a_new_one():
    waves = np.sin(np.arange(60.0))
    forecaster = recurra.Forecaster(horizon=2, context=4, hidden_size=4, epochs=1, verbose=0).fit([waves, 3 * waves])
    service = forecaster.service()
    answers = service.answers(service.parse([[1, 2, 3], {"y0": [1, 2, 3]}]), service.Options())
    assert answers[0] == answers[1]
    (known,) = service.answers(service.parse([{"id": ["1"] * 3, "y0": [1, 2, 3]}]), service.Options())
    assert [row["id"] for row in known["forecast"]] == ["1", "1"]
    assert known["forecast"][0]["forecast"] != answers[0]["forecast"][0]["forecast"]


@pytest.mark.parametrize(
    "spelling",
    ["%Y-%m-%d %H:%M", "%d.%m.%Y", "%Y년 %-m월 %-d일 %Ep %-I시", "%Y-%m", "unix", "%G-W%V-%u", "%H:%M %d/%m/%y"],
)
def test_the_example_has_times_as_in_training(spelling):
    from recurra.data.columns.times.spelling import Spelling

    step = "M" if spelling == "%Y-%m" else "D"
    times = (np.datetime64("2020-01", step) + np.arange(60)).astype("datetime64[us]")
    table = {"t": Spelling(spelling).write(times), "y": np.sin(np.arange(60.0))}
    quick = {"horizon": 2, "context": 4, "hidden_size": 4, "epochs": 1, "verbose": 0}
    service = recurra.Forecaster(**quick).fit(table, time="t", target="y", time_format=spelling).service()
    (answer,) = service.answers(service.parse([service.example()]), service.Options())
    assert type(answer["forecast"][0]["t"]) is type(table["t"][0])


@pytest.mark.parametrize(
    ("kind", "value", "path", "message"),
    [
        ("table", {**LOAD, "load": [1, "2", 3]}, ("load", 1), "a value is a number, or null .* not a text"),
        ("table", {**LOAD, "load": [1, float("inf"), 3]}, ("load", 1), "beyond the range of float64"),
        ("table", {**LOAD, "load": [1, 2]}, ("load",), "the column load has 2 values, but date has 3"),
        ("table", {**LOAD, "load": 5}, ("load",), "a column is a list of values, not a number"),
        ("table", {**LOAD, "lod": [1, 2, 3]}, (), "no column 'lod', did you mean \"load\""),
        ("table", {"date": [], "load": [], "rain": []}, (), "the history has no rows"),
        ("table", {"date": ["2024-01-01"], "load": [1]}, (), "the column rain is missing"),
        ("table", {**LOAD, "load": [None] * 3}, (), "the history has no value of load"),
        (
            "table",
            {**LOAD, "date": ["2024-03-01", None, "2024-03-03"]},
            ("date", 1),
            "a value of date is a text, not null",
        ),
        ("table", {**LOAD, "date": [1, True, 3]}, ("date", 1), "not true"),
        ("table", {**LOAD, "date": [1, 10**30, 3]}, ("date", 1), "a whole number of 64 bits"),
        ("table", {**LOAD, "date": ["2024-03-01", "x", "2024-03-03"]}, (), "row 1, column date"),
        ("table", {**LOAD, "date": ["2024-03-01", "2024-03-02", "2024-03-04"]}, (), "a gap in the time"),
        ("table", {**LOAD, "date": ["2024-03-01", "\ud800", "2024-03-04"]}, ("date",), "not valid Unicode"),
        ("table", {**LOAD, "load": [1, 2, 1e200]}, (), "give the data in the same unit"),
        ("table", [1, 2], (), "with date, load, rain"),
        ("table", [{"date": "2024-03-01", "load": 1}, 3], (1,), "a row is an object"),
        ("table", [{"date": "2024-03-01", "load": 1}, {"load": 3}], (1,), "the column date is missing"),
        ("table", [{"date": "2024-03-01", "load": True}], (0, "load"), "not true"),
        ("table", "2024", (), "an object of columns or a list of rows, not a text"),
        ("shops", {**SHOPS, "shop": ["a"] * 9 + [""]}, (), "which series does the row belong to"),
        ("numbers in time", [1, [2]], (0,), "a step is a list of 1 number, not a number"),
        ("several numbers in time", [[1, 2], [3]], (1,), "the step has 1 number"),
        ("several numbers in time", [], (), "the history has no value of y0, y1"),
    ],
)
def test_histories_are_checked(kind, value, path, message):
    service = model(kind).service()
    with pytest.raises(InputError, match=message) as caught:
        service.parse([service.example(), value])
    assert caught.value.path == ("inputs", 1, *path)


def test_known_columns_must_reach_to_the_horizon():
    service = model("shops").service()
    items = service.parse([SHOPS])
    with pytest.raises(DataError, match="holiday of the series north up to there"):
        service.answers(items, service.Options(horizon=4))


cells = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["2024-01-01", "2024-01-02", "x", ""])


@settings(max_examples=150)
@given(
    columns=st.fixed_dictionaries({"date": st.lists(cells, max_size=3), "load": st.lists(cells, max_size=3)}),
    whole=st.booleans(),
)
def test_any_history_is_answered_or_refused(columns, whole):
    rows = min(map(len, columns.values()))
    value = {name: cells[:rows] for name, cells in columns.items()} | {"rain": [1.0] * rows}
    service = model("table").service()
    try:
        items = service.parse([value if whole else rows_of(value)])
    except InputError:
        return
    json.dumps(service.answers(items, service.Options()), allow_nan=False)


@pytest.mark.parametrize("horizon", [0, 10_001, "3", 2.5])
def test_options_are_checked(horizon):
    with pytest.raises(msgspec.ValidationError, match=r"\$\.horizon"):
        msgspec.convert({"horizon": horizon}, model("table").service().Options)


def test_what_a_client_needs_to_know():
    assert model("shops").service().about() == {
        "time": ["day"],
        "id": "shop",
        "targets": ["sold"],
        "features": [],
        "known": ["holiday"],
        "step": "1 day",
        "horizon": 3,
        "context": 6,
        "quantiles": [0.1, 0.5, 0.9],
    }
