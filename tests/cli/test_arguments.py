"""Arguments of any length and any value: a text, a file, or one clear sentence with the right exit code."""

from __future__ import annotations

import json

import pytest

from recurra.cli.support.options import parse_list
from recurra.errors import UsageError
from recurra.tasks.params import MAX_SEED

QUICK = ("--epochs", "1", "--hidden-size", "4")
FIT = ("fit", "classify", "r.csv", "--input", "text", "--target", "label", "--out", "new", *QUICK)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model of texts, one of series, and one that forecasts."""
    from typer.testing import CliRunner

    from recurra.cli.app import app

    folder = tmp_path_factory.mktemp("models")
    rows = "".join(f"{word} film {i},{label}\n" for i in range(12) for word, label in (("good", "p"), ("bad", "n")))
    (folder / "r.csv").write_text("text,label\n" + rows)
    (folder / "x.ts").write_text(
        "@classLabel true a b\n@data\n" + "".join(f"{i},{i % 3},1:{'ab'[i % 2]}\n" for i in range(12))
    )
    (folder / "f.csv").write_text("day,x\n" + "".join(f"2024-01-{i:02d},{i % 7}\n" for i in range(1, 31)))
    texts = ("classify", "r.csv", "--input", "text", "--target", "label", "--out", "texts")
    forecast = ("forecast", "f.csv", "--time", "day", "--target", "x", "--horizon", "2", "--context", "4")
    for command in (texts, ("classify", "x.ts", "--out", "series"), (*forecast, "--out", "forecaster")):
        words = [str(folder / word) if (folder / word).exists() else word for word in command]
        words[-1] = str(folder / words[-1])
        assert CliRunner().invoke(app, ["fit", *words, *QUICK]).exit_code == 0
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "a fine film",
        "word",
        "좋" * 86,
        "x" * 5000,
        "two\nlines",
        "a\0b",
        "and/or",
        "3.5",
        "no file.csv at all",
        "가.나",
        "",
    ],
)
def test_a_text_is_a_text_whatever_its_length(recurra, models, text):
    code, out, err = recurra("predict", models / "texts", text)
    assert code == 0, err
    assert json.loads(out)["label"] in ("p", "n")
    code, _, err = recurra("inspect", models / "texts", text, "--json")
    assert code == (0 if text else 3), err


def test_a_text_gives_the_answer_that_a_line_gives(recurra, models, monkeypatch):
    _, direct, _ = recurra("predict", models / "texts", "good film 3", "--proba")
    _, of_file, _ = recurra("predict", models / "texts", models / "r.csv", "--proba")
    assert direct.splitlines()[0] == of_file.splitlines()[6].replace('"row": 7', '"row": 1')


def test_a_text_that_begins_with_a_dash_follows_two_dashes(recurra, models):
    assert recurra("predict", models / "texts", "--", "-bad film")[0] == 0
    code, _, err = recurra("predict", models / "texts", "-bad film")
    assert code == 2
    assert "--" in err
    assert "begins with a dash" in " ".join(err.split())


@pytest.mark.parametrize("name", ["missing.csv", "./missing", "/no/such/folder/x", "missing.xlsx", "x" * 300 + ".csv"])
@pytest.mark.parametrize("command", ["predict", "inspect", "evaluate", "health"])
def test_what_looks_like_a_file_is_one(recurra, models, name, command):
    code, out, err = recurra(command, models / "texts", name)
    assert (code, out) == (3, "")
    assert "there is no file" in err


@pytest.mark.parametrize("model", ["series", "forecaster"])
@pytest.mark.parametrize("command", ["predict", "inspect"])
@pytest.mark.parametrize("text", ["good film", "x" * 300])
def test_models_of_numbers_take_no_texts(recurra, models, model, command, text):
    code, out, err = recurra(command, models / model, text)
    assert (code, out) == (3, "")
    assert "This model takes files of numbers or recordings, not texts." in err


@pytest.mark.parametrize(
    "options",
    [
        *(("--seed", value) for value in ("4294967296", "-1", "nan", "")),
        *(("--learning-rate", value) for value in ("nan", "inf", "-1", "0", "")),
        *(("--dropout", value) for value in ("nan", "1", "-0.1")),
        *(("--token-dropout", value) for value in ("nan", "2", "-1")),
        *(("--max-minutes", value) for value in ("nan", "inf", "0", "-1")),
        *(("--checkpoint-minutes", value) for value in ("nan", "inf", "-1")),
        *(("--hidden-size", value) for value in ("1000000000", "0", "1.5", "99999999999999999999")),
        *((name, "99999999999999999999") for name in ("--layers", "--batch-size", "--epochs", "--vocab-size")),
        *((name, "") for name in ("--input", "--out", "--cell", "--delimiter", "--encoding", "--config", "--valid")),
        ("--out=",),
        ("--cell", "x"),
        ("--tokens", "x"),
    ],
    ids=" ".join,
)
def test_wrong_values_are_usage_errors(recurra, models, monkeypatch, options):
    monkeypatch.chdir(models)
    code, out, err = recurra(*FIT, *options)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert "fault of Recurra" not in err
    assert not (models / "new").exists()


@pytest.mark.parametrize("option", ["--split", "--quantiles"])
@pytest.mark.parametrize("value", ["nan,1,1", "inf,1,1", "-1,1,1", "0,0,0", "1e300,1,1", "", ",", "1,,1", "x"])
def test_lists_of_numbers(recurra, models, monkeypatch, option, value):
    monkeypatch.chdir(models)
    columns = ("--time", "day", "--target", "x", "--horizon", "2", "--context", "4")
    code, _, err = recurra("fit", "forecast", "f.csv", *columns, option, value, "--out", "new", *QUICK)
    assert code == 2, err


def test_numbers_of_other_commands(recurra, models):
    for command in (
        ("inspect", models / "texts", "good", "--max-megabytes", "nan"),
        ("inspect", models / "texts", "good", "--row", "9" * 20),
        ("predict", models / "texts", "good", "--top", "9" * 20),
        ("predict", models / "texts", "good", "--length-bonus", "nan"),
        ("predict", models / "texts", "good", "--top", "2147483647"),
        ("predict", models / "texts", "good", "--beam", "99999"),
        ("predict", models / "texts", "good", "--n-best", "99999"),
        ("demo", "--seed", str(MAX_SEED + 1)),
        ("generate", models / "texts", "--temperature", "nan"),
        ("generate", models / "texts", "--top-p", "nan"),
        ("lab", "vanishing", "--learning-rates", "nan"),
        ("lab", "vanishing", "--lags", "-5"),
        ("lab", "vanishing", "--seed", str(MAX_SEED + 1)),
        ("bench", "--rounds", "9" * 20),
    ):
        code, out, err = recurra(*command)
        assert (code, out) == (2, ""), command
        assert "Traceback" not in err


def test_the_greatest_seed_trains(recurra, models, monkeypatch, tmp_path):
    monkeypatch.chdir(models)
    assert recurra(*FIT, "--out", tmp_path / "seeded", "--seed", str(MAX_SEED))[0] == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('hidden-size = "x"', "hidden-size should be a whole number, not 'x'"),
        ("hidden-size = 1.5", "hidden-size should be a whole number, not 1.5"),
        ("hidden-size = true", "hidden-size should be a whole number, not True"),
        ("hidden-size = [1]", "hidden-size should be a whole number, not [1]"),
        ("hidden-size = {a=1}", "hidden-size should be a whole number"),
        ("hidden-size = 1000000000", "is too large: at most 65536"),
        ("hidden-size = 0", "--hidden-size"),
        ("[network]\nhidden-size = 4", "c.toml, line 1: [network] is no command with --config"),
        ("learning-rate = nan", "nan is not a finite number"),
        ('learning-rate = "0.1"', "learning-rate should be a number, not '0.1'"),
        ("bidirectional = 1", "bidirectional should be true or false, not 1"),
        ('cell = ["lstm"]', "cell should be a text"),
        ('cell = ""', "cell should be a text, not ''"),
        ("seed = 2024-01-01", "seed should be a whole number"),
        ("seed = 4294967296", "is too large"),
        ('config = "c.toml"', "config is no option of recurra fit classify"),
        ('train = "x.csv"', "train is no option of recurra fit classify"),
        ("epochs = 1\nhiden-size = 1", "c.toml, line 2: hiden-size is no option of recurra fit classify, did you mean"),
        ("= 1", "is not valid TOML"),
        ("a = " + "[" * 5000, "cannot be read"),
    ],
)
def test_wrong_configuration_files(recurra, models, monkeypatch, tmp_path, toml, message):
    (tmp_path / "c.toml").write_text(toml)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(models)
    given = [word for word in FIT if word not in ("--hidden-size", "4")]
    code, _, err = recurra(*given, "--config", tmp_path / "c.toml")
    assert code == 2
    assert message in err
    assert not (models / "new").exists()


def test_lists_are_parsed_in_one_place():
    assert parse_list("--split", "1, 2.5", float) == (1.0, 2.5)
    assert parse_list("--lags", "10,100", int) == (10, 100)
    for text in ("", "nan", "1,inf", "1,", "a", "1.5", "9" * 5000):
        with pytest.raises(UsageError, match="--lags takes whole numbers with commas between"):
            parse_list("--lags", text, int)
