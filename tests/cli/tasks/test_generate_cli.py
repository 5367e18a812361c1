"""`recurra fit generate` and `recurra generate` as a user meets them."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from recurra import cli
from recurra.cli.commands.generate import _lines

QUICK = ["--hidden-size", 16, "--embedding-size", 8, "--bptt", 16, "--batch-size", 8, "--epochs", 12]
QUICK += ["--learning-rate", 0.03, "--dropout", 0]
TEXT = "가나다 라마바\n사아자 차카타\n" * 100
TABLE = "text,label\n" + "좋은 영화,good\n나쁜 영화,bad\n,\n" * 30


def trained(folder: Path, name: str, content: str, *options) -> Path:
    """A model from a file, both in a folder of their own."""
    (folder / name).write_text(content, encoding="utf-8")
    command = ["recurra", "fit", "generate", folder / name, "--out", folder / "m", *QUICK, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*map(str, command)])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    assert sorted(p.name for p in folder.iterdir()) == sorted(["m", name])
    return folder / "m"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("generate"), "a.txt", TEXT)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("labelled"), "r.csv", TABLE, "--input", "text", "--condition", "label")


def assert_clear(err: str) -> None:
    message = err[err.index("error") :] if "error" in err else err
    assert "Traceback" not in err
    assert len(message.strip().splitlines()) <= 3


def test_evaluate(recurra, model):
    data = model.parent / "a.txt"
    code, out, _ = recurra("evaluate", model, data, "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"loss", "perplexity", "bits_per_character", "n", "baselines", "comparison"}
    assert (found["n"], found["loss"] < 0.8) == (1600, True)
    assert "shuffled" in recurra("evaluate", model, data, "--order-test")[1]


def test_generate(recurra, model):
    command = ["generate", model, "--prompt", "가나", "--length", 20, "--temperature", 0]
    code, out, err = recurra(*command)
    assert (code, err) == (0, "")
    assert out.startswith("가나다 라")
    assert len(out) == 2 + 20 + 1
    draws = [recurra("generate", model, "--length", 50, "--seed", seed, "--temperature", 2)[1] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert recurra("generate", model, "--length", 0, "--prompt", "")[:2] == (0, "\n")


def test_unknown_characters_of_the_prompt_are_said(recurra, model):
    code, out, err = recurra("generate", model, "--prompt", "가龍Q龍", "--length", 3, "--top-k", 3, "--top-p", 0.9)
    assert code == 0
    assert out.startswith("가龍Q龍")
    assert "'龍' 'Q'" in err


def test_predict_from_standard_input_and_from_files(recurra, model, tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("가나\n사아\n\n", encoding="utf-8")
    with (tmp_path / "x.txt").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        code, out, _ = recurra("predict", model, "-", "--top", 2)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["next"] for row in rows[:2]] == ["다", "자"]
    assert set(rows[2]) == {"row", "next", "probability", "next 2", "probability 2"}
    (tmp_path / "x.txt").write_text("가나\n사아\n", encoding="cp949")
    assert recurra("predict", model, "x.txt", "--top", 1, "--out", "y.csv")[0] == 0
    assert [line.split(",")[1] for line in (tmp_path / "y.csv").read_text().replace('"', "").splitlines()[1:]] == [
        "다",
        "자",
    ]


def test_a_terminal_gets_the_same_text_token_by_token(recurra, model, monkeypatch):
    command = ["generate", model, "--prompt", "가\n나", "--length", 30, "--seed", 1]
    piped = recurra(*command)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("recurra.cli.commands.generate._lines", lambda pieces: pytest.fail("not by lines"))
    assert recurra(*command) == piped
    assert piped[0] == 0


def test_whole_lines_where_nobody_watches():
    assert list(_lines(iter(["", "a", "b\nc", "d\n\n", "e"]))) == ["ab\n", "cd\n", "\n", "e"]


def test_a_column_with_labels(recurra, labelled):
    data = labelled.parent / "r.csv"
    assert json.loads(recurra("evaluate", labelled, data, "--json")[1])["n"] == 90
    for label, word in (("good", "좋은"), ("bad", "나쁜")):
        found = recurra("generate", labelled, "--condition", label, "--temperature", 0)[1]
        assert found == f"{word} 영화\n"
    rows = [json.loads(line) for line in recurra("predict", labelled, data)[1].splitlines()]
    assert [row["next"] for row in rows[:2]] == ["", ""]
    code, _, err = recurra("generate", labelled, "--condition", "so-so")
    assert (code, "known are bad, good" in err) == (3, True)


def test_packed_and_cp949_texts_with_a_validation_file_and_a_time_limit(recurra, tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "v.txt").write_text(TEXT[:100], encoding="cp949")
    more = ["--tokens", "bpe", "--vocab-size", 300, "--max-minutes", 0.01]
    code, _, err = recurra("fit", "generate", "a.txt.gz", "--valid", "v.txt", *more, *QUICK)
    assert code == 0
    assert "CP949" in err
    assert json.loads((tmp_path / "model" / "config.json").read_text())["params"]["max_minutes"] == 0.01
    assert recurra("evaluate", "model", "v.txt")[0] == 0


def test_dynamic_evaluation(recurra, model, labelled, tmp_path):
    (tmp_path / "other.txt").write_text("타하 파나\n" * 60, encoding="utf-8")
    found = json.loads(recurra("evaluate", model, "other.txt", "--dynamic", "--json")[1])
    assert found["dynamic"]["loss"] < found["loss"]
    assert "dynamic" in recurra("evaluate", model, "other.txt", "--dynamic")[1]
    assert "dynamic" in json.loads(recurra("evaluate", labelled, labelled.parent / "r.csv", "--dynamic", "--json")[1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "generate", "no.txt"], 3, "no file no.txt"),
        (["fit", "generate", "empty.txt"], 3, "empty.txt is empty"),
        (["fit", "generate", "r.csv"], 2, "--input"),
        (["fit", "generate", "r.csv", "--condition", "label"], 2, "--input"),
        (["fit", "generate", "r.csv", "--input", "words"], 3, "text, label"),
        (["fit", "generate", "a.txt", "--pooling", "last"], 2, "--pooling is not for generate"),
        (["fit", "generate", "a.txt", "--tokens", "syllable"], 2, "char, word, bpe"),
        (["fit", "generate", "a.txt", "--bptt", 0], 2, "bptt"),
        (["fit", "generate", "a.txt", "--max-minutes", -1], 2, "max_minutes"),
        (["fit", "generate", "a.txt", "--encoding", "klingon"], 3, "klingon"),
        (["generate", "no-model"], 4, "no model folder"),
        (["generate", "m", "--condition", "good"], 2, "without labels"),
        (["generate", "m", "--top-p", 2], 2, "top_p"),
        (["generate", "m", "--temperature", "inf"], 2, "temperature"),
        (["evaluate", "m", "empty.txt"], 3, "empty.txt is empty"),
        (["evaluate", "m", "r.csv"], 2, "--input"),
    ],
)
def test_wrong_input(recurra, model, tmp_path, arguments, code, message):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "r.csv").write_text(TABLE)
    found, out, err = recurra(*[model if word == "m" else word for word in arguments])
    assert (found, out) == (code, "")
    assert message in err
    assert_clear(err)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "empty.txt", "r.csv"]


def test_only_language_models_write(recurra, tmp_path):
    (tmp_path / "r.csv").write_text("text,label\n" + "a b,x\nb a,y\n" * 20)
    fit = ["fit", "classify", "r.csv", "--input", "text", "--target", "label", "--epochs", 1, "--hidden-size", 4]
    assert recurra(*fit)[0] == 0
    code, _, err = recurra("generate", "model")
    assert (code, "a model for classify" in err) == (2, True)
