"""`recurra fit|evaluate|predict` for translation, in this process: outputs, messages, exit codes."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import pytest

from recurra import cli

NUMBERS = {"one": "일", "two": "이", "three": "삼", "four": "사"}
PAIRS = [
    (" ".join(words), " ".join(NUMBERS[word] for word in words))
    for n in (1, 2, 3)
    for words in itertools.product(NUMBERS, repeat=n)
]
QUICK = ["--hidden-size", "24", "--embedding-size", "16", "--token-dropout", "0", "--dropout", "0"]
QUICK += ["--epochs", "14", "--batch-size", "8", "--learning-rate", "0.02", "--patience", "20"]
TABLE = ["--source", "en", "--target", "ko"]


def write_table(path: Path, encoding: str = "utf-8") -> Path:
    text = "en,ko,by\n" + "".join(f"{source},{target},me\n" for source, target in PAIRS)
    path.write_text(text + "five,,nobody\n", encoding=encoding)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("translate")
    table = write_table(folder / "pairs.csv", "cp949")
    command = ["fit", "translate", table, *TABLE, "--hold-out", "0.2", "--out", folder / "m", *QUICK]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recurra", *map(str, command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["m", "m.held-out.tsv", "pairs.csv"]
    return folder / "m"


def test_held_out_sources_were_not_trained_on(model):
    held = (model.parent / "m.held-out.tsv").read_text(encoding="utf-8").replace('"', "").splitlines()
    assert held[0] == "en\tko\tby"
    assert len(held) == 1 + 17  # of 84 sources and one without a translation
    kept = {json.loads(line)[0] for line in (model / "pairs.jsonl").read_text(encoding="utf-8").splitlines()}
    assert kept.isdisjoint(line.split("\t")[0] for line in held)
    data = json.loads((model / "config.json").read_text(encoding="utf-8"))["provenance"]
    assert (data["source_column"], data["held_out"], data["training_file"]) == ("en", "m.held-out.tsv", "pairs.csv")


def test_evaluate(recurra, model):
    code, out, _ = recurra("evaluate", model, model.parent / "m.held-out.tsv", "--json", "--order-test")
    found = json.loads(out)
    assert code == 0
    assert found["chrf"] > found["nearest_neighbour_chrf"] > 0
    assert found["bleu_signature"].startswith("nrefs:1|")
    assert set(found["order_test"]["shuffled"]) == {"bleu", "chrf", "loss", "perplexity"}
    code, out, _ = recurra("evaluate", model, model.parent / "pairs.csv", "--bleu-tokens", "13a", "--beam", "2")
    assert code == 0
    assert "13a" in out.replace("\n", "").replace("│", "")
    code, _, err = recurra("evaluate", model, model.parent / "pairs.csv", "--bleu-tokens", "nothing")
    assert (code, "sacrebleu knows" in err) == (2, True)


def test_predict(recurra, model, tmp_path):
    code, out, err = recurra("predict", model, model.parent / "pairs.csv", "--plot", "a.svg")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["row"] for row in rows] == list(range(1, len(PAIRS) + 2))
    assert sum(row["translation"] == target for row, (_, target) in zip(rows, PAIRS, strict=False)) > 40
    assert "attention of 'one'" in err
    assert (tmp_path / "a.svg").exists()
    code, *_ = recurra("predict", model, model.parent / "pairs.csv", "--n-best", "3", "--out", "found.csv")
    lines = (tmp_path / "found.csv").read_text(encoding="utf-8-sig").replace('"', "").splitlines()
    assert lines[0] == "row,rank,translation,score"
    assert [line.split(",")[:2] for line in lines[1:4]] == [["1", "1"], ["1", "2"], ["1", "3"]]


def test_predict_from_standard_input(recurra, model, monkeypatch, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"one two\r\n\nthree\n\xff\n")
    with (tmp_path / "in.txt").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        code, out, err = recurra("predict", model, "-")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [bool(row["translation"]) for row in rows] == [True, False, True, True]
    assert "1 lines were not valid UTF-8" in err


def test_two_files(recurra, tmp_path):
    for name, side in (("a.en", 0), ("a.ko", 1)):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in PAIRS) + "\n", encoding="utf-8")
    files = ["a.en", "--target-file", "a.ko"]
    valid = ["--valid", "a.en", "--valid-target-file", "a.ko"]
    code, _, err = recurra("fit", "translate", *files, *valid, *QUICK, "--epochs", 1)
    assert code == 0
    assert "a.en: 85 lines" in err
    found = json.loads(recurra("evaluate", "model", *files, "--json")[1])
    assert found["n"] == len(PAIRS)  # the pair of blank lines is left out
    out = recurra("predict", "model", "a.en")[1]
    assert len(out.splitlines()) == len(PAIRS) + 1
    assert recurra("fit", "translate", *files, "--hold-out", 0.1, *QUICK, "--epochs", 1, "--overwrite")[0] == 0
    assert json.loads(recurra("evaluate", "model", "model.held-out.tsv", "--json")[1])["n"] == 8
    (tmp_path / "b.ko").write_text("일\n이\n", encoding="utf-8")
    for command in (["fit", "translate", "--overwrite"], ["evaluate", "model"]):
        code, out, err = recurra(*command, "a.en", "--target-file", "b.ko")
        assert (code, out) == (3, "")
        assert "a.en has 85 lines but b.ko has 2 lines" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pairs.csv"], 2, "give --source and --target"),
        (["pairs.csv", "--source", "en"], 2, "give --source and --target"),
        (["pairs.csv", *TABLE, "--target-file", "pairs.csv"], 2, "give --source and --target"),
        (["pairs.csv", *TABLE, "--valid", "pairs.csv", "--valid-target-file", "x"], 2, "--valid has the form"),
        (["pairs.csv", *TABLE, "--pooling", "max"], 2, "--pooling is not for translate"),
        (["pairs.csv", *TABLE, "--hold-out", "0.001"], 2, "nothing to test on"),
        (["pairs.csv", "--source", "en", "--target", "kr"], 3, "columns are: en, ko, by"),
        (["pairs.csv", "--source", "en", "--target", "kr", "--hold-out", "0.1"], 3, "columns are: en, ko, by"),
        (["no.csv", *TABLE], 3, "no.csv"),
        (["empty.csv", *TABLE], 3, "every pair has an empty side"),
    ],
)
def test_wrong_input(recurra, tmp_path, arguments, code, message):
    write_table(tmp_path / "pairs.csv")
    (tmp_path / "empty.csv").write_text("en,ko\na,\n,b\n")
    found, out, err = recurra("fit", "translate", *arguments)
    assert (found, out) == (code, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.csv", "pairs.csv"]


def test_help_begins_with_examples(recurra):
    code, out, _ = recurra("fit", "translate", "--help")
    assert code == 0
    assert "recurra" in out[out.index("Examples") : out.index("Options")]


# on the real data


@pytest.mark.data
def test_tatoeba_in_a_minute(recurra, data_dir):
    fit = ["fit", "translate", data_dir / "tatoeba_ko_en" / "kor.txt", "--source", 1, "--target", 2]
    assert recurra(*fit, "--hold-out", 0.1, "--epochs", 3, "--out", "m")[0] == 0
    found = json.loads(recurra("evaluate", "m", "m.held-out.tsv", "--json", "--beam", 1)[1])
    assert found["perplexity"] < 200  # of more than 3,000 tokens
    assert 15 < found["nearest_neighbour_chrf"] < 21
    assert "tok:char" in found["bleu_signature"]


@pytest.mark.data
@pytest.mark.slow
def test_tatoeba_beats_the_nearest_neighbour(recurra, data_dir):
    fit = ["fit", "translate", data_dir / "tatoeba_ko_en" / "kor.txt", "--source", 1, "--target", 2]
    assert recurra(*fit, "--hold-out", 0.1, "--out", "m")[0] == 0
    found = json.loads(recurra("evaluate", "m", "m.held-out.tsv", "--json")[1])
    assert found["bleu"] > found["nearest_neighbour_bleu"]
    assert found["chrf"] > found["nearest_neighbour_chrf"]
