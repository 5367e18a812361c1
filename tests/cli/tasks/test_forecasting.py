"""`forecast` as a user meets it: files in, figures and rows out, clear messages for broken clocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra import load as recurra_load
from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import forecast

QUICK = ["--horizon", "6", "--hidden-size", "16", "--epochs", "2", "--learning-rate", "0.01"]
COLUMNS = ["--time", "date", "--target", "load"]


def rows(steps: int = 200) -> list[tuple]:
    random = np.random.default_rng(0)
    times = np.datetime64("2024-03-01T00:00") + np.arange(steps) * np.timedelta64(1, "h")
    load = 50 + 10 * np.sin(2 * np.pi * np.arange(steps) / 12) + random.normal(size=steps)
    return [
        (str(t).replace("T", " "), round(float(y), 3), int(h % 3 == 0))
        for h, (t, y) in enumerate(zip(times, load, strict=True))
    ]


def write(path: Path, table: list[tuple], header: str = "date,load,open") -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in table)]) + "\n", encoding="utf-8")
    return path


def test_fit_evaluate_predict(recurra, tmp_path):
    data = write(tmp_path / "load.csv", rows())
    code, out, err = recurra("fit", "forecast", data, *COLUMNS, *QUICK, "--split", "140,30,30", "--out", "m")
    assert (code, out) == (0, "")
    assert "last value" in err
    assert "linear map" in err

    code, out, err = recurra("evaluate", "m", data, "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["n"] == 25
    assert figures["part"] == "test"
    assert {"mse", "mae", "mse_units", "mae_units", "coverage"} < figures.keys()
    assert figures["baselines"].keys() == {"last value", "season of 12", "linear map"}
    code, out, err = recurra("evaluate", "m", data, "--part", "training", "--json")
    assert json.loads(out)["part"] == "training"
    code, out, err = recurra("evaluate", "m", data, "--order-test")
    assert code == 0
    assert "25 windows of the test part" in err
    assert "shuffled" in out

    code, out, err = recurra("predict", "m", data, "--plot", "picture.svg")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["date"] for row in found][:2] == ["2024-03-09 08:00", "2024-03-09 09:00"]
    assert list(found[0]) == ["row", "date", "forecast", "lower", "upper"]
    assert all(row["lower"] <= row["forecast"] <= row["upper"] for row in found)
    assert "</svg>" in (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert recurra("predict", "m", data, "--horizon", "10", "--out", "found.csv")[0] == 0
    assert (tmp_path / "found.csv").read_text(encoding="utf-8").count("\n") == 11


def test_several_series_with_known_columns(recurra, tmp_path):
    table = [(t, y, o, s) for s, n in (("a", 200), ("b", 120)) for t, y, o in rows(n)]
    table += [(t, "", 1, "c") for t, _, _ in rows(3)]  # a series without a value
    data = write(tmp_path / "load.csv", table, "date,load,open,site")
    options = [*COLUMNS, *QUICK, "--known", "open", "--id", "site"]
    assert recurra("fit", "forecast", data, *options, "--out", "m")[0] == 0
    code, _, err = recurra("predict", "m", data)
    assert code == 3
    assert "needs open of the series a up to there" in err
    future = [(t, o, s) for s, n in (("a", 200), ("b", 120), ("c", 0)) for t, _, o in rows(n + 6)[n:]]
    write(tmp_path / "future.csv", future, "date,open,site")
    code, out, err = recurra("predict", "m", data, "--future", "future.csv")
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["site"] for row in found] == ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    assert np.isfinite([row["forecast"] for row in found]).all()


def test_parquet_and_json_lines_agree_with_csv(recurra, tmp_path):
    table = rows()
    columns = {"date": [r[0] for r in table], "load": [r[1] for r in table]}
    pq.write_table(pa.table(columns), tmp_path / "load.parquet")
    lines = (json.dumps(dict(zip(columns, row[:2], strict=True))) for row in table)
    (tmp_path / "load.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write(tmp_path / "load.csv", table)
    assert recurra("fit", "forecast", "load.csv", *COLUMNS, *QUICK, "--quantiles", "none", "--out", "m")[0] == 0
    answers = {recurra("predict", "m", f"load.{suffix}")[1] for suffix in ("csv", "parquet", "jsonl")}
    assert len(answers) == 1
    assert "lower" not in answers.pop()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            rows()[:50] + rows()[52:],
            [],
            "line 52: a gap in the time: 2024-03-03 04:00 comes after 2024-03-03 01:00, 2 steps",
        ),
        (
            rows()[:50] + rows()[49:],
            [],
            "line 52: the time 2024-03-03 01:00 occurs a second time, first in load.csv, line 51",
        ),
        (rows()[:5], [], "context 1 + horizon 6 = 7 steps"),
        (rows(), ["--context", "300"], "context 300 + horizon 6 = 306 steps, but the longest series has 180"),
        ([(t, "high", o) for t, _, o in rows()], [], 'line 2, column load: "high" is not a number'),
        (
            [("tomorrow", y, o) for _, y, o in rows()],
            [],
            'line 2, column date: "tomorrow" is not a time that can be read',
        ),
        (rows(), ["--known", "closed"], 'no column "closed"'),
        (rows(), ["--split", "0.5,0.4,0.4"], "add up to 1.3"),
        (rows(), ["--split", "half"], "--split takes numbers"),
        (rows(), ["--tokens", "char"], "are not for forecast"),
    ],
    ids=["gap", "twice", "short", "context", "number", "time", "column", "shares", "split", "tokens"],
)
def test_messages(recurra, tmp_path, table, options, message):
    data = write(tmp_path / "load.csv", table)
    code, _, err = recurra("fit", "forecast", data, *COLUMNS, *QUICK, *options)
    assert code in (2, 3)
    assert message in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["load.csv"]


def test_gaps_are_filled_in_training_and_after(recurra, tmp_path):
    data = write(tmp_path / "load.csv", rows()[:50] + rows()[52:])
    code, _, err = recurra("fit", "forecast", data, *COLUMNS, *QUICK, "--fill-gaps", "--out", "m")
    assert code == 0
    assert "2 missing steps inserted" in err
    assert recurra("predict", "m", data)[0] == 0


def test_standard_input_is_refused(recurra, tmp_path):
    data = write(tmp_path / "load.csv", rows())
    assert recurra("fit", "forecast", data, *COLUMNS, *QUICK, "--cell", "none", "--epochs", "1", "--out", "m")[0] == 0
    code, _, err = recurra("predict", "m", "-")
    assert code == 2
    assert "takes a file" in err
    code, _, err = recurra("predict", "m", data, "--plot", "picture.txt")
    assert "should end in .svg, .png or .pdf" in err


@pytest.mark.data
@pytest.mark.parametrize(
    ("target", "horizon", "options", "greatest"),
    [
        ("OT", 24, [], 0.05),
        ("HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", 96, ["--epochs", "4"], 0.40),
    ],
    ids=["one column", "seven columns"],
)
def test_transformer_temperatures(recurra, data_dir, target, horizon, options, greatest):
    data = data_dir / "ett" / "ETTh1.csv"
    command = ["--time", "date", "--target", target, "--horizon", horizon, "--split", "8640,2880,2880", "--out", "m"]
    assert recurra("fit", "forecast", data, *command, *options)[0] == 0
    figures = json.loads(recurra("evaluate", "m", data, "--json")[1])
    assert figures["n"] == 2880 - horizon + 1
    assert figures["mse"] <= greatest
    assert figures["mse"] < figures["baselines"]["last value"]["mse"]


# times

LIGHT = ["--horizon", "3", "--hidden-size", "4", "--epochs", "1", "--context", "6", "--no-calendar"]
HOURS = np.datetime64("2018-01-01T00", "h") + np.arange(60)


def korean(hour: np.datetime64) -> str:
    moment = hour.astype(object)
    half = "오전" if moment.hour < 12 else "오후"
    return f"{moment.year}년 {moment.month}월 {moment.day}일 {half} {moment.hour % 12 or 12}:00"


def late(hour: np.datetime64) -> str:
    moment = (hour - 1).astype(object)
    return f"{moment:%Y%m%d}{moment.hour + 1:02}"


def us(month: np.datetime64) -> str:
    moment = month.astype(object)
    return f"{moment.month}/{moment.day}/{moment.year}"


def quarter(month: np.datetime64) -> str:
    moment = month.astype(object)
    return f"{moment.year}Q{moment.month // 3 + 1}"


MONTHS = np.arange("1992-01", "1997-01", dtype="datetime64[M]")
QUARTERS = np.arange("1950-01", "1965-01", 3, dtype="datetime64[M]")
WEEKS = [f"2018-W{week:02}" for week in range(1, 53)] + [f"2019-W{week:02}" for week in range(1, 9)]
BERLIN = [*(f"2022-10-{29 + h // 24} {h % 24:02}:00+02:00" for h in range(27)), "2022-10-30 02:00+01:00"]
BERLIN += [f"2022-10-{30 + (3 + h) // 24} {(3 + h) % 24:02}:00+01:00" for h in range(32)]


@pytest.mark.parametrize(
    ("texts", "step", "expected"),
    [
        ([late(hour) for hour in HOURS[1:]], "1 hour", ["2018010312", "2018010313"]),
        ([korean(hour) for hour in HOURS], "1 hour", ["2018년 1월 3일 오후 12:00", "2018년 1월 3일 오후 1:00"]),
        ([us(month) for month in MONTHS], "1 month", ["1/1/1997", "2/1/1997"]),
        ([quarter(month) for month in QUARTERS], "1 quarter", ["1965Q1", "1965Q2"]),
        (WEEKS, "1 week", ["2019-W09", "2019-W10"]),
        (BERLIN, "1 hour", ["2022-10-31 11:00+01:00", "2022-10-31 12:00+01:00"]),
        ([f"{2018 + m // 12}. {m % 12 + 1}. 1." for m in range(60)], "1 month", ["2023. 1. 1.", "2023. 2. 1."]),
    ],
    ids=["late", "korean", "us", "quarter", "week", "offsets", "dots"],
)
def test_times_are_written_as_they_were(recurra, tmp_path, texts, step, expected):
    data = write(tmp_path / "load.csv", [(text, i % 7) for i, text in enumerate(texts)], "date,load")
    code, _, err = recurra("fit", "forecast", data, *COLUMNS, *LIGHT, "--out", "m")
    assert code == 0, err
    assert f"step {step}, " in err
    code, out, _ = recurra("predict", "m", data)
    assert [json.loads(line)["date"] for line in out.splitlines()][:2] == expected


def test_date_and_clock_in_two_columns(recurra, tmp_path):
    table = [(f"{h.astype(object):%d.%m.%Y,%H:00}", i % 7) for i, h in enumerate(HOURS)]
    data = write(tmp_path / "load.csv", table, "Date,Time,load")
    code, _, err = recurra("fit", "forecast", data, "--time", "Date,Time", "--target", "load", *LIGHT, "--out", "m")
    assert code == 0, err
    code, out, _ = recurra("predict", "m", data, "--plot", "picture.svg")
    row = json.loads(out.splitlines()[0])
    assert (row["Date"], row["Time"]) == ("03.01.2018", "12:00")
    code, out, _ = recurra("inspect", "m", data, "--json")
    assert "03.01.2018 12:00" in json.loads(out)["answer"]


def test_day_and_month_are_remembered_or_said(recurra, tmp_path):
    table = [(f"{m % 12 + 1:02}/01/{1992 + m // 12}", m % 7) for m in range(60)]
    data = write(tmp_path / "long.csv", table, "date,load")
    short = write(tmp_path / "short.csv", table[:11], "date,load")
    code, _, err = recurra("fit", "forecast", data, *COLUMNS, *LIGHT, "--valid", short, "--out", "m")
    assert code == 0, err
    assert "long.csv: the times are read month first: 01/01/1992 is 1992-01-01" in err
    code, out, _ = recurra("predict", "m", short)
    assert json.loads(out.splitlines()[0])["date"] == "12/01/1992"
    code, _, err = recurra("predict", "m", short, "--day-first")
    assert (code, "is off the clock" in err) == (3, True)

    code, _, err = recurra("fit", "forecast", short, *COLUMNS, *LIGHT, "--out", "n")
    assert code == 3
    assert 'short.csv, line 2, column date: "01/01/1992" can be read day first' in err
    for option, expected in (("--day-first", "12/01/1992"), ("--month-first", "12/01/1992")):
        few = ["--horizon", "1", "--context", "2", "--hidden-size", "4", "--epochs", "1"]
        assert recurra("fit", "forecast", short, *COLUMNS, *few, option, "--out", "n", "--overwrite")[0] == 0
        code, out, err = recurra("predict", "n", short)
        assert json.loads(out.splitlines()[0])["date"] == expected
        assert json.loads((tmp_path / "n" / "config.json").read_text())
    code, _, err = recurra("fit", "forecast", short, *COLUMNS, *LIGHT, "--day-first", "--month-first", "--out", "x")
    assert (code, "give one of" in err) == (2, True)
    code, _, err = recurra("fit", "forecast", short, *COLUMNS, *LIGHT, "--time-format", "%H:%M", "--out", "x")
    assert (code, "has no year" in err) == (2, True)


def test_long_tables_read_times_in_the_same_way(recurra, tmp_path):
    lines = []
    for item in range(12):
        kind = "up" if item % 2 else "down"
        days = range(1, 29) if item < 10 else range(1, 12)
        for day in days:
            value = day if item % 2 else -day
            lines.append((item, f"{day:02}/02/2024", f"{23 - day % 24:02}:00", value, kind))
    header = "item,date,clock,value,kind"
    data = write(tmp_path / "items.csv", lines, header)
    columns = ["--id", "item", "--features", "value", "--time", "date,clock", "--target", "kind"]
    code, _, err = recurra("fit", "classify", data, *columns, "--epochs", "1", "--hidden-size", "4", "--out", "m")
    assert code == 0, err
    backwards = write(tmp_path / "few.csv", lines[:8][::-1], header)
    code, out, err = recurra("predict", "m", backwards)
    assert code == 0, err
    forwards = write(tmp_path / "same.csv", lines[:8], header)
    assert recurra("predict", "m", forwards)[1] == out
    across = write(
        tmp_path / "across.csv", [(1, "01/12/2024", "01:00", 1, ""), (1, "12/01/2024", "01:00", 2, "")], header
    )
    code, _, err = recurra("predict", "m", across)
    assert code == 0, err
    assert recurra("predict", "m", across, "--month-first")[0] == 0
    code, _, err = recurra("predict", "m", across, "--time-format", "%Y-%m-%d")
    assert (code, "is not written as" in err) == (3, True)


def test_rows_are_steps_without_a_time(recurra, tmp_path):
    values = [f"{'ab'[s]},{(t % 7) + s}" for s in range(2) for t in range(60)]
    (tmp_path / "a.csv").write_text("shop,sold\n" + "\n".join(values) + "\n")
    fit = ["fit", "forecast", "a.csv", "--target", "sold", "--id", "shop", "--horizon", 3, "--epochs", 1]
    code, _, err = recurra(*fit, "--hidden-size", 4)
    assert (code, "without --time, the rows are the steps of a series in the order of the file" in err) == (0, True)
    rows = [json.loads(line) for line in recurra("predict", "model", "a.csv")[1].splitlines()]
    assert [(row["shop"], row["step"]) for row in rows] == [(s, t) for s in "ab" for t in (60, 61, 62)]


def test_known_columns_may_hold_categories(recurra, tmp_path):
    """Training, evaluation and forecasts read the same features; unknown categories are named."""
    skies, shops = ("wet", "dry", ""), ("closed", "open")
    table = [(time, load + 30 * mark, shops[mark], skies[n % 3]) for n, (time, load, mark) in enumerate(rows())]
    header = "date,load,shop,sky"
    data = write(tmp_path / "load.csv", table, header)
    columns = [*COLUMNS, "--known", "shop", "--features", "sky", "--split", "140,30,30"]
    code, _, err = recurra("fit", "forecast", data, *columns, *QUICK, "--out", "m")
    assert code == 0, err
    found = recurra_load(tmp_path / "m")
    assert found.provenance_.categories == {"sky": ["dry", "wet"], "shop": ["closed", "open"]}
    assert found.preparation_.columns.known == ("shop=closed", "shop=open")
    assert recurra("evaluate", "m", data, "--json")[0] == 0
    end = [(f"2024-03-09 {8 + n:02d}:00", "", shops[n % 2], "") for n in range(6)]
    whole = write(tmp_path / "whole.csv", table + end, header)
    answers = recurra("predict", "m", whole)[1]
    future = write(tmp_path / "future.csv", [(time, shop) for time, _, shop, _ in end], "date,shop")
    assert recurra("predict", "m", data, "--future", future)[1] == answers
    assert len(answers.splitlines()) == 6
    odd = write(tmp_path / "odd.csv", [(time, "sale") for time, _, shop, _ in end], "date,shop")
    code, out, err = recurra("predict", "m", data, "--future", odd)
    assert (code, len(out.splitlines())) == (0, 6)
    for file, expected in ((future, [[1, 0], [0, 1]] * 3), (odd, [[0, 0]] * 6)):
        ((panel,),) = forecast.inputs(found, str(data), PredictOptions(future=file))
        assert panel.series[0].known[-6:].tolist() == expected
    assert 'texts that were not in the training data ("sale")' in err
    texts = write(tmp_path / "texts.csv", [(*row[:3], f"text {n}") for n, row in enumerate(table)], header)
    code, _, err = recurra("fit", "forecast", texts, *columns, *QUICK, "--out", "m2")
    assert (code, "neither numbers nor categories" in err) == (3, True)
