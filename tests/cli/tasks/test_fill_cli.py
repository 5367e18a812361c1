"""`fill` on the command line: tables and lines of text, blanks and candidates, and clear messages."""

from __future__ import annotations

import json
import sys

import pytest

from recurra import cli

ROWS = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 30
QUICK = ["--hidden-size", 16, "--embedding-size", 16, "--epochs", 8, "--batch-size", 16, "--learning-rate", 0.03]
QUICK += ["--dropout", 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fill")
    (folder / "lines.txt").write_text("\n".join([*ROWS, "", ""]), encoding="utf-8")
    (folder / "table.csv").write_text("id,text\n" + "".join(f"{i},{row}\n" for i, row in enumerate(ROWS)))
    return folder


@pytest.fixture
def recurra(monkeypatch, capfd, folder):
    """Runs a command in this process, in the folder with the data: exit code, standard output, standard error."""
    monkeypatch.chdir(folder)

    def run(*arguments, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recurra", *map(str, arguments)])
        (folder / "stdin").write_text(stdin, encoding="utf-8", newline="")
        monkeypatch.setattr(sys, "stdin", (folder / "stdin").open())
        with pytest.raises(SystemExit) as stop:
            cli.main()
        sys.stdin.close()
        return stop.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def model(recurra, folder):
    if not (folder / "m").exists():
        code, out, err = recurra("fit", "fill", "lines.txt", "--out", "m", *QUICK)
        assert (code, out) == (0, "")
        assert "lines.txt: 121 lines, UTF-8" in err
    return "m"


def test_lines_on_standard_input(recurra, model):
    code, out, _ = recurra("predict", model, "-", "--top", 2, stdin="the [ ] drinks milk\r\na ___ eats [ ]")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert first["text"] == "the cat drinks milk"
    assert first["blanks"][0][0] == {"word": "cat", "probability": first["probability"]}
    assert second["text"] == "a dog eats bread"
    assert [len(blank) for blank in second["blanks"]] == [2, 2]


def test_choices(recurra, model):
    code, out, _ = recurra("predict", model, "-", "--choices", "drinks, eats ,eats bread", stdin="a dog [ ] bread\n")
    found = json.loads(out)
    assert code == 0
    assert (found["text"], found["choice"]) == ("a dog eats bread", "eats")
    assert {c["choice"] for c in found["choices"]} == {"drinks", "eats", "eats bread"}
    assert sum(c["probability"] for c in found["choices"]) == pytest.approx(1, abs=1e-3)


def test_figures_beside_those_of_frequency_alone(recurra, model):
    code, out, _ = recurra("evaluate", model, "lines.txt", "--json", "--order-test")
    found = json.loads(out)
    assert code == 0
    assert found["top1"] > found["unigram_top1"] + 0.3
    assert found["order_test"]["in order"]["top1"] > found["order_test"]["shuffled"]["top1"]
    assert found["baselines"]["frequency of the tokens"]["top1"] == found["unigram_top1"]
    table = recurra("evaluate", model, "lines.txt")[1]
    assert "unigram_top5" not in table  # it is in a column beside top5
    assert "frequency of" in table


def test_tables_and_files_of_blanks(recurra, folder):
    options = ["--out", "t", *QUICK, "--epochs", 2, "--tokens", "bpe", "--vocab-size", 60, "--direction", "forward"]
    assert recurra("fit", "fill", "table.csv", "--input", "text", "--valid", "table.csv", *options)[0] == 0
    params = json.loads((folder / "t" / "config.json").read_text())["params"]
    assert (params["direction"], params["tokens"]) == ("forward", "bpe")
    assert json.loads(recurra("evaluate", "t", "table.csv", "--json")[1])["n"] == 120
    (folder / "b.csv").write_text("text\nthe [ ] drinks\n")
    (folder / "b.txt").write_text("the [ ] drinks\n")  # no header: one text a line
    [one, other] = (recurra("predict", "t", name)[1] for name in ("b.csv", "b.txt"))
    assert one == other
    assert len(json.loads(one)["blanks"]) == 1
    assert recurra("predict", "t", "b.csv", "--out", "found.csv")[0] == 0
    assert "drinks" in (folder / "found.csv").read_text()


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("a [ ] b\nno blank here", [], 3, "line 2: there is no blank in 'no blank here'"),
        ("\n", [], 3, "line 1: the text is empty"),
        ("a [ ] b\n" * 3 + "[ ]\n", [], 3, "line 4: the text is nothing but blanks"),
        ("a" + " ___" * 21, [], 3, "line 1: the text has 21 blanks; at most 20"),
        ("a [ ]", ["--choices", "cat,zebra"], 2, "'zebra' is not in the model's vocabulary"),
        ("a [ ] [ ]", ["--choices", "cat"], 3, "line 1: candidates are ranked for one blank; the text has 2"),
    ],
)
def test_wrong_texts(recurra, model, text, options, code, message):
    found, _, err = recurra("predict", model, "-", *options, stdin=text)
    assert found == code
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "fill", "table.csv"], 2, "name its column of texts with --input"),
        (["fit", "fill", "no.txt"], 3, "no.txt"),
        (["fit", "fill", "table.csv", "--input", "txt"], 3, "id, text"),
        (["fit", "fill", "lines.txt", "--direction", "up"], 2, "direction is one of both"),
        (["fit", "fill", "lines.txt", "--bidirectional"], 2, "--direction"),
    ],
)
def test_wrong_usage(recurra, arguments, code, message):
    found, _, err = recurra(*arguments)
    assert found == code
    assert message in err


def test_a_file_with_a_wrong_text_is_named_by_line(recurra, model, folder):
    (folder / "w.txt").write_text("a [ ] b\n\nthe\n")
    code, _, err = recurra("predict", model, "w.txt")
    assert (code, "w.txt, line 2" in err) == (3, True)


def test_help_begins_with_examples(recurra):
    code, out, _ = recurra("fit", "fill", "--help")
    assert code == 0
    assert "recurra fit fill" in out[out.index("Examples") : out.index("Options")]
