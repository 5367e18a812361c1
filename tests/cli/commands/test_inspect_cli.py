"""`recurra inspect` as a user meets it: the page, the trace as files, the table, and every message for wrong input."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray

from recurra import SequenceClassifier, load

TEXTS = ["정말 재미있다", "최고의 영화", "so good", "정말 지루하다", "최악의 영화", "so bad"]
QUICK = {"hidden_size": 8, "epochs": 1, "random_state": 0, "verbose": 0, "validation_fraction": 0.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    words = SequenceClassifier(embedding_size=8, tokens="char", **QUICK).fit(TEXTS, ["good"] * 3 + ["bad"] * 3)
    words.provenance_.input_column = "text"
    words.save(folder / "words")
    none = SequenceClassifier(cell="none", embedding_size=8, **QUICK).fit(TEXTS, ["good"] * 3 + ["bad"] * 3)
    none.save(folder / "none")
    random = np.random.default_rng(0)
    series = [random.normal(size=(5 + i, 2)) for i in range(6)]
    SequenceClassifier(**QUICK).fit(series, list("ababab")).save(folder / "series")
    np.savez(folder / "series.npz", values=np.concatenate(series), lengths=np.array([len(s) for s in series]))
    (folder / "reviews.csv").write_text("text\n" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    return folder


def page_data(path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_a_text(recurra, models, tmp_path):
    code, out, err = recurra("inspect", models / "words", "정말 재미있다")
    assert code == 0
    assert re.search(r"forget\W+0\.\d{3}", out)
    (answer,) = load(models / "words").predict(["정말 재미있다"])
    assert f"words answers: {answer}" in out.replace("\n", "")
    assert err.index("tracing encoder.recurrent") < err.index("report written to report.html")
    data = page_data(tmp_path / "report.html")
    assert data["title"] == "정말 재미있다"
    assert data["parts"][0]["tokens"] == list("정말 재미있다")
    assert data["code"]["x"] == "['정말 재미있다']"
    assert data["language"] is None


def test_a_row_of_a_file(recurra, models, tmp_path):
    code, _, err = recurra("inspect", models / "words", models / "reviews.csv", "--row", 5, "--out", "a.html")
    assert (code, "6 rows" in err) == (0, True)
    data = page_data(tmp_path / "a.html")
    assert "".join(data["parts"][0]["tokens"]) == "최악의 영화"
    arguments = ("--row", 3, "--out", "b.html", "--language", "ko")
    assert recurra("inspect", models / "series", models / "series.npz", *arguments)[0] == 0
    data = page_data(tmp_path / "b.html")
    assert (data["title"], data["language"], data["parts"][0]["steps"]) == ("series.npz, row 3", "ko", 7)


def test_other_outputs(recurra, models, tmp_path):
    wanted = ("--netcdf", "t.nc", "--parquet", "t.parquet", "--gates", "forget,cell", "--units", "0:3", "--time", "2:5")
    code, out, _ = recurra("inspect", models / "words", "정말 재미있다", *wanted, "--json")
    assert code == 0
    assert out.count("\n") == 1
    found = json.loads(out)
    assert found["written"] == {"netcdf": "t.nc", "parquet": "t.parquet"}
    assert [row["name"] for row in found["layers"]] == ["forget", "cell"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.nc", "t.parquet"]
    with xarray.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as data:
        assert data["forget"].shape == (1, 1, 1, 3, 3)
        assert found["layers"][0]["mean"] == pytest.approx(float(data["forget"].mean()), abs=1e-6)
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 9


def test_characters_that_the_model_does_not_know(recurra, models, tmp_path):
    code, _, err = recurra("inspect", models / "words", "정말 😀")
    assert code == 0
    assert "the model does not know '😀'" in err
    assert "'😀'" in page_data(tmp_path / "report.html")["remarks"][0]


WRONG = {
    "empty text": (["words", ""], 3, "empty"),
    "row beyond the end": (["words", "reviews.csv", "--row", "9"], 2, "there is no row 9"),
    "row 0": (["words", "reviews.csv", "--row", "0"], 2, "--row"),
    "no such file": (["words", "gone.csv"], 3, "gone.csv"),
    "no model": (["gone", "text"], 4, "gone"),
    "no recurrence": (["none", "정말 재미있다"], 2, "cell='none', the baseline without memory"),
    "no such gate": (["words", "so good", "--gates", "reset"], 2, "there is no 'reset' in this model"),
    "no such unit": (["words", "so good", "--units", "3,99"], 2, "units must be between 0 and 7"),
    "units that are none": (["words", "so good", "--units", "x"], 2, "--units takes 0:16 or 3,5,9, not 'x'"),
    "time that is none": (["words", "so good", "--time", "5"], 2, "--time takes A:B, such as 0:100, not '5'"),
    "time beyond the end": (["words", "so good", "--time", "50:60"], 2, "none of the 7 steps"),
    "language": (["words", "so good", "--language", "fr"], 2, "language is one of en, ko, not 'fr'"),
    "a folder that is not there": (["words", "so good", "--out", "no/where.html"], 3, "cannot be written"),
    "a text for a model of series": (["series", "so good"], 3, "so good"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input(recurra, models, tmp_path, what):
    (name, data, *options), expected, message = WRONG[what]
    data = models / data if data.endswith(".csv") else data
    code, out, err = recurra("inspect", models / name, data, *options)
    assert code == expected, err
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_million_steps(recurra, models, tmp_path):
    (tmp_path / "long.csv").write_text("text\n" + "so good " * 125_000 + "\n", encoding="utf-8")
    command = ("inspect", models / "words", "long.csv", "--max-megabytes", "50")
    code, _, err = recurra(*command)
    assert code == 2
    said = " ".join(err.split())
    assert "tracing encoder.recurrent: 192.0 MB" in said
    assert "1,000,000 steps" in said or "999,999 steps" in said
    assert "at most 50.0 MB" in said
    steps = int(re.search(r"--time 0:(\d+)", said)[1])
    assert recurra(*command, "--time", f"0:{steps // 100}")[0] == 0
    data = page_data(tmp_path / "report.html")
    assert data["parts"][0]["steps"] == steps // 100
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_models_side_by_side(recurra, models, tmp_path):
    gru = SequenceClassifier(cell="gru", embedding_size=8, tokens="char", **QUICK)
    gru.fit(TEXTS, ["good"] * 3 + ["bad"] * 3).save(tmp_path / "gru")
    code, out, err = recurra("inspect", models / "words", "gru", "정말", "--json")
    assert code == 0
    rows = json.loads(out)["models"]
    assert [(row["model"], row["cell"], row["steps"]) for row in rows] == [("words", "lstm", 2), ("gru", "gru", 2)]
    assert rows[1]["answer"] == load(tmp_path / "gru").subject(["정말"]).answers[0]
    data = page_data(tmp_path / "comparison.html")
    assert (data["title"], [part["name"] for part in data["parts"]]) == ("정말", ["words", "gru"])
    assert data["parts"][1]["code"]["model"] == "recurra.load('gru')"
    for wrong, words in [
        ((models / "words", "gru", "정말", "--units", "0:2"), "--units is for a page of one model"),
        ((models / "words", "gru", "-"), "standard input can be read by one model"),
        (("gru", "gru", "정말"), "a model is named twice"),
        ((models / "words", "gru", "정말", "--out", tmp_path / "gru" / "config.json"), "config.json"),
    ]:
        code, _, err = recurra("inspect", *wrong)
        assert (code, words in err) == (2, True)


def test_a_model_over_its_training(recurra, models, tmp_path):
    kept = SequenceClassifier(tokens="char", keep_epochs=True, **{**QUICK, "epochs": 2})
    kept.fit(TEXTS, ["good"] * 3 + ["bad"] * 3).save(tmp_path / "kept")
    code, out, _ = recurra("inspect", "kept", "정말", "--training", "--json")
    assert (code, json.loads(out)["epochs"]) == (0, [0, 1, 2])
    frames = page_data(tmp_path / "training.html")["frames"]
    assert [frame["data"]["answer"] for frame in frames] == [
        kept.at_epoch(epoch).subject(["정말"]).answers[0] for epoch in range(3)
    ]
    code, _, err = recurra("inspect", models / "words", "정말", "--training")
    assert (code, "--keep-epochs" in err) == (2, True)


def test_a_pattern_of_units(recurra, models):
    data = models / "reviews.csv"
    search = ("pattern", models / "words", data, "--threshold", "-0.9", "--units", "0,1", "--json")
    code, out, _ = recurra(*search, "--row", 2, "--time", "0:3", "--top", 2)
    found = json.loads(out)
    assert (code, found["units"]) == (0, [0, 1])
    assert [(match["active"], len(match["tokens"]) >= 3) for match in found["matches"]] == [(2, True)] * 2
    assert all(match["end"] - match["begin"] == 3 for match in found["matches"])
    code, out, _ = recurra(*search, "--text", TEXTS[4], "--time", "0:6")
    matches = json.loads(out)["matches"]
    assert (code, sorted(match["row"] for match in matches)) == (0, [1, 2, 3, 4, 5, 6])
    assert all("".join(match["tokens"]) == TEXTS[match["row"] - 1] for match in matches)
    for wrong, words in [
        (("--time", "0:2"), "either --row or --text"),
        (("--time", "2", "--row", "1"), "--time takes A:B"),
        (("--time", "0:2", "--row", "7"), "rows are counted from 1 to 6"),
    ]:
        code, _, err = recurra("pattern", models / "words", data, *wrong)
        assert (code, words in err.replace("\n", " ")) == (2, True)
