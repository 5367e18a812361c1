"""Tagging from the command line: files in and out, messages, exit codes."""

from __future__ import annotations

import json
import sys
from importlib.resources import as_file, files

import pytest

from recurra import cli

QUICK = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.02"]


@pytest.fixture(scope="module")
def sample():
    with as_file(files("recurra.data") / "samples/tag") as folder:
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, sample):
    from recurra.cli.tasks import task_module

    folder = tmp_path_factory.mktemp("tag")
    arguments = ["recurra", "fit", "tag", sample / "dev.conllu", "--valid", sample / "test.conllu", *QUICK]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [*map(str, arguments), "--out", "m"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["m"]
    assert task_module("tag").FILES
    return folder / "m"


def test_help_begins_with_examples_and_has_no_options_that_do_nothing(recurra):
    code, out, _ = recurra("fit", "tag", "--help")
    assert code == 0
    assert "recurra" in out[out.index("Examples") : out.index("Options")]
    assert "--crf" in out
    assert "--pooling" not in out


def test_evaluate(recurra, model, sample):
    code, out, err = recurra("evaluate", model, sample / "test.conllu", "--json", "--order-test")
    figures = json.loads(out)
    assert code == 0
    assert figures["accuracy"] == figures["order_test"]["in order"]["accuracy"]
    own = {"accuracy", "macro_f1", "unseen_word_accuracy", "loss", "n", "order_test"}
    assert own | {"baselines", "comparison"} == set(figures)
    assert "CoNLL-U, UTF-8, tags in column 4 (UPOS)" in err


def test_predict_a_file(recurra, model, sample):
    code, out, _ = recurra("predict", model, sample / "test.conllu", "--proba")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["row"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert len(row["words"]) == len(row["tags"]) == len(row["confidence"]) > 0
        assert all(0 < p <= 1 for p in row["confidence"])


def test_predict_lines(recurra, model, monkeypatch, tmp_path):
    (tmp_path / "lines").write_text("나는  학교에 간다 .\n\n\tNew York\u3000sleeps\n", encoding="utf-8")
    with (tmp_path / "lines").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        code, out, _ = recurra("predict", model, "-")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["words"] for row in rows] == [["나는", "학교에", "간다", "."], [], ["New", "York", "sleeps"]]
    assert [len(row["tags"]) for row in rows] == [4, 0, 3]


def test_predictions_as_files(recurra, model, sample, tmp_path):
    source = (sample / "test.conllu").read_text(encoding="utf-8")
    code, out, err = recurra("predict", model, sample / "test.conllu", "--out", "found.conllu")
    assert (code, out) == (0, "")
    assert "sentences written to found.conllu" in err
    found = (tmp_path / "found.conllu").read_text(encoding="utf-8")
    cells = [[line.split("\t") for line in text.splitlines()] for text in (source, found)]
    assert [row[:3] + row[4:] for row in cells[0]] == [row[:3] + row[4:] for row in cells[1]]
    rows = [json.loads(line) for line in recurra("predict", model, "found.conllu")[1].splitlines()]
    assert [row[3] for row in cells[1] if len(row) > 1] == [tag for row in rows for tag in row["tags"]]
    assert recurra("predict", model, sample / "test.conllu", "--out", "found.csv")[0] == 0
    assert (tmp_path / "found.csv").read_text(encoding="utf-8").startswith('"row","words","tags"\n1,"')
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.conllu", "found.csv"]


def test_spans_in_cp949_columns_with_a_crf_and_a_gap(recurra, tmp_path):
    text = "김철수 B-PS\n가 O\n서울 B-LC\n시청 I-LC\n에 O\n\n오늘 O\n서울 _\n간다 O\n\n" * 20
    (tmp_path / "names.txt").write_text(text, encoding="cp949")
    code, _, err = recurra("fit", "tag", "names.txt", "--crf", *QUICK, "--epochs", 8)
    assert code == 0
    assert "2 columns, CP949 (Korean), tags in column 2" in err
    assert "20 words without a tag" in err
    figures = json.loads(recurra("evaluate", "model", "names.txt", "--json")[1])
    assert figures["f1"] > 0.9
    assert figures["n"] == 140
    assert recurra("predict", "model", "names.txt", "--out", "again.txt")[0] == 0
    lines = (tmp_path / "again.txt").read_text(encoding="cp949").splitlines()
    assert [line.split()[:1] for line in lines] == [line.split()[:1] for line in text.splitlines()]
    assert not any(line.endswith(" _") for line in lines)


def test_tags_never_seen_are_counted_and_said(recurra, model, sample, tmp_path):
    text = (sample / "test.conllu").read_text(encoding="utf-8").replace("\tPUNCT\t", "\tMARK\t")
    (tmp_path / "t.conllu").write_text(text, encoding="utf-8")
    code, _, err = recurra("evaluate", model, "t.conllu", "--json")
    assert code == 0
    assert "with a tag that was not in the training data (MARK, PROPN): counted as errors" in err


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n2\tb\tX\n", [], 3, "r.conllu, line 2: 3 columns where CoNLL-U has 10"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", ["--target", "upso"], 3, 'no column "upso", did you mean "upos"?'),
        ("1\ta\ta\t_\tX\t_\t0\tr\t_\t_\n", [], 3, "every tag is missing"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", [], 3, "only one tag, X"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", ["--cell", "transformer"], 2, "cell is one of"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", ["--pooling", "max"], 2, "No such option"),
        ("", [], 3, "empty"),
    ],
)
def test_wrong_input(recurra, tmp_path, text, options, code, message):
    (tmp_path / "r.conllu").write_text(text)
    found, out, err = recurra("fit", "tag", "r.conllu", *options)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["r.conllu"]


def test_a_file_that_cannot_be_written(recurra, model, sample):
    code, _, err = recurra("predict", model, sample / "test.conllu", "--out", "no/folder/x.conllu")
    assert code == 3
    assert "cannot be written" in err


def test_names_of_figures_stay_on_one_line(capsys, monkeypatch):
    from recurra.cli.support.console import show_table

    columns = ["metric", "this model", *["a rather long name of a simple model"] * 3]
    for width, expected in (("80", True), ("40", False)):
        monkeypatch.setenv("COLUMNS", width)
        show_table("t", columns, [["unseen_word_accuracy", "0.1234", "0.2", "0.3", "0.4"]])
        assert ("unseen_word_accuracy" in capsys.readouterr().out) == expected
