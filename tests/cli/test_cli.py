"""The command line as a user meets it: outputs, messages, exit codes, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from small_reviews import BAD, GOOD, QUICK, write_reviews

# help


@pytest.mark.parametrize(
    "command", [[], ["fit"], ["fit", "classify"], ["fit", "regress"], ["evaluate"], ["predict"], ["bench"]]
)
def test_help_begins_with_examples(recurra, command):
    code, out, _ = recurra(*command, "--help")
    assert code == 0
    assert "recurra" in out[out.index("Examples") : out.index("Options")]


def test_version(recurra):
    import recurra as package

    assert recurra("--version")[:2] == (0, f"{package.__version__}\n")


def test_doctor(recurra):
    code, out, _ = recurra("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["versions"]["torch"]
    for row in found["engines"]:
        kind, dtype, _, device = row["call"].split()
        assert kind in ("LSTM", "GRU", "RNN")
        if (dtype, device) == ("float32", "cpu"):
            assert (row["served by"], row["not"]) == ("native", {})
        else:
            why = f"not torch.{dtype}" if device == "cpu" else "runs on the CPU"
            assert row["served by"] == "builtin"
            assert why in row["not"]["native"]
    assert recurra("doctor")[0] == 0


# evaluate and predict


def test_evaluate(recurra, model):
    code, out, err = recurra("evaluate", model, model.parent / "reviews.csv", "--json")
    assert code == 0
    assert out.count("\n") == 1
    found = json.loads(out)
    assert (found["accuracy"], found["macro_f1"], found["n"]) == (1.0, 1.0, 120)
    assert found["baselines"]["most frequent class"]["accuracy"] == 0.5
    best = "logistic regression on TF-IDF"
    assert found["comparison"] == {"figure": "accuracy", "light": "green", "sentence": "", "best": best}
    assert "120 rows" in err
    _, out, err = recurra("evaluate", model, model.parent / "reviews.csv")
    assert all(name in out for name in ("accuracy", "most frequent class", "logistic regression on TF-IDF"))
    assert "best baseline: logistic regression on TF-IDF, accuracy 1.0000" in err
    assert "The network is" not in err


def pipe(model: Path, text: bytes, *options: str) -> tuple[list[dict], str]:
    command = [sys.executable, "-m", "recurra", "predict", str(model), "-", *options]
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


@pytest.mark.slow
def test_predict_from_standard_input_loses_nothing(model):
    lines = [(GOOD + BAD)[i % 6] for i in range(10_000)]
    lines[7], lines[100], lines[5000], lines[9999] = "", "😀🎬👨‍👩‍👧", "정말 재미있다 " * 12_500, "\t \x85 \u2028"
    found, _ = pipe(model, "\n".join(lines).encode())
    assert [row["row"] for row in found] == list(range(1, 10_001))
    for row, line in zip(found, lines, strict=True):
        if line in GOOD + BAD:
            assert row["label"] == ("good" if line in GOOD else "bad")
            assert 0.5 <= row["probability"] <= 1


@pytest.mark.slow
def test_predict_from_standard_input_in_odd_forms(model):
    found, _ = pipe(model, "정말 재미있다\r\n정말 지루하다\r\n".encode(), "--proba")
    assert [row["label"] for row in found] == ["good", "bad"]
    assert found[0]["probabilities"].keys() == {"bad", "good"}
    found, message = pipe(model, b"so good\n\xff\xfe bad\n")
    assert len(found) == 2
    assert "1 lines were not valid UTF-8" in message
    assert pipe(model, b"")[0] == []


@pytest.mark.slow
def test_predict_answers_a_slow_writer_line_by_line(model):
    command = [sys.executable, "-m", "recurra", "predict", str(model), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text, label in [("so good", "good"), ("so bad", "bad")]:
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == label
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_predict_writes_files(recurra, model, tmp_path, suffix):
    out = tmp_path / f"found{suffix}"
    assert recurra("predict", model, model.parent / "reviews.csv", "--out", out, "--proba")[:2] == (0, "")
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    if suffix == ".parquet":
        rows = pq.read_table(out).to_pylist()
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        separator = "," if suffix == ".csv" else "\t"
        names, *cells = [line.split(separator) for line in out.read_text().replace('"', "").splitlines()]
        rows = [dict(zip(names, row, strict=True)) for row in cells]
    assert [row["label"] for row in rows[:6]] == ["good"] * 3 + ["bad"] * 3
    assert set(rows[0]) == {"row", "label", "probability", "probability bad", "probability good"}


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(model):
    command = f'yes "so good" | head -20000 | {sys.executable} -m recurra predict {model} - | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# fit


@pytest.mark.slow
def test_regression_from_json_lines_and_from_numeric_parquet(recurra, tmp_path):
    rows = [{"text": "so " * (i % 4 + 1), "length": i % 4 + 1} for i in range(150)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # all epochs, or a plateau at the beginning would end the training
    options = ["--epochs", 30, "--patience", 30, "--hidden-size", 16, "--dropout", 0, "--pooling", "last"]
    fit = ["fit", "regress", "--target", "length", *QUICK, *options]
    assert recurra(*fit, "a.jsonl", "--input", "text", "--out", "m")[0] == 0
    assert json.loads(recurra("evaluate", "m", "a.jsonl", "--json")[1])["r2"] > 0.8
    assert json.loads(recurra("predict", "m", "a.jsonl")[1].splitlines()[0]).keys() == {"row", "value"}
    table = pa.table({"x": [[1.0] * row["length"] for row in rows], "length": [row["length"] for row in rows]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert recurra(*fit, "a.parquet", "--input", "x", "--out", "n")[0] == 0
    assert json.loads(recurra("evaluate", "n", "a.parquet", "--json")[1])["r2"] > 0.8


def test_options_from_a_file_and_the_command_line_goes_first(recurra, tmp_path):
    write_reviews(tmp_path / "r.csv")
    (tmp_path / "c.toml").write_text('hidden-size = 5\ncell = "gru"\nepochs = 1\nbidirectional = true\n')
    options = ["--config", "c.toml", "--cell", "rnn"]
    assert recurra("fit", "classify", "r.csv", "--input", "text", "--target", "label", *options)[0] == 0
    params = json.loads((tmp_path / "model" / "config.json").read_text())["params"]
    found = params["hidden_size"], params["cell"], params["epochs"], params["bidirectional"]
    assert found == (5, "rnn", 1, True)


def test_validation_file_and_cp949(recurra, tmp_path):
    reviews = write_reviews(tmp_path / "r.csv")
    (tmp_path / "k.csv").write_text(reviews.read_text(), encoding="cp949")
    fit = ["fit", "classify", "k.csv", "--input", "text", "--target", "label", "--valid", "r.csv", *QUICK]
    code, _, err = recurra(*fit)
    assert code == 0
    assert "cp949" in err.lower()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["data"]["validation sequences"] == 120


def test_a_folder_that_holds_no_model_is_not_replaced(recurra, tmp_path):
    write_reviews(tmp_path / "r.csv")
    fit = ["fit", "classify", "r.csv", "--input", "text", "--target", "label", *QUICK, "--epochs", 1]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    code, _, err = recurra(*fit, "--out", "mine", "--overwrite")
    assert (code, "not a Recurra model" in err) == (4, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


# errors


def assert_clear(err: str) -> None:
    message = err[err.index("error") :] if "error" in err else err
    assert "Traceback" not in err
    assert len(message.strip().splitlines()) <= 3


FIT = ["fit", "classify", "r.csv", "--input", "text", "--target", "label"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"r.csv": "no.csv"}, 3, "no.csv"),
        ({"text": "review"}, 3, "text, label"),
        ({"label": "class"}, 3, "text, label"),
    ],
)
def test_wrong_fit_input(recurra, tmp_path, change, code, message):
    write_reviews(tmp_path / "r.csv")
    found, out, err = recurra(*[change.get(word, word) for word in FIT])
    assert (found, out) == (code, "")
    assert message in err
    assert_clear(err)
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n" + "a b,good\n" * 30, "only one class"),
        ("text,label\n" + ",good\n,bad\n" * 30, "every text is empty"),
        ("text,label\n" + "a,good\nb,bad\n" * 30 + "a,b,c,d\n", "line 62"),
        ("text,label\n", "r.csv"),
        ("", "empty"),
        ("text,label\na,\nb,\n", "every target is missing"),
    ],
)
def test_wrong_data(recurra, tmp_path, content, message):
    (tmp_path / "r.csv").write_text(content)
    code, _, err = recurra(*FIT)
    assert code == 3
    assert message in err
    assert_clear(err)
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]


def test_wrong_numbers_are_named_by_line(recurra, tmp_path):
    (tmp_path / "r.csv").write_text("text,score\n" + "a,1\nb,2\n" * 30 + "c,many\n")
    code, _, err = recurra("fit", "regress", "r.csv", "--input", "text", "--target", "score")
    assert code == 3
    assert "r.csv, line 62" in err
    assert "many" in err


def test_unknown_labels_are_named_by_line(recurra, model, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n\nso good,good\n,\nso bad,ugly\n")
    code, _, err = recurra("evaluate", model, "t.csv")
    assert code == 3
    assert "t.csv, line 5" in err
    assert "ugly" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [*FIT, "--hiden-size", "3"],
        [*FIT, "--hidden-size", "many"],
        [*FIT, "--cell", "transformer"],
        [*FIT, "--config", "no.toml"],
        FIT[:3],
        ["train"],
    ],
)
def test_wrong_usage(recurra, tmp_path, arguments):
    write_reviews(tmp_path / "r.csv")
    code, out, err = recurra(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]


def test_wrong_model_folders(recurra, model, tmp_path):
    import shutil

    reviews = model.parent / "reviews.csv"
    shutil.copytree(model, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    shutil.copytree(model, tmp_path / "newer")
    config = tmp_path / "newer" / "config.json"
    config.write_text(config.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    for folder, message in [("none", "no model folder"), ("cut", "cut short"), ("newer", "newer version")]:
        for command in (["evaluate", folder, reviews], ["predict", folder, reviews], ["predict", folder, "-"]):
            code, out, err = recurra(*command)
            assert (code, out) == (4, "")
            assert message in err
            assert_clear(err)


def test_a_fault_of_ours_is_no_traceback_either(recurra, monkeypatch, model):
    monkeypatch.setattr("recurra.tasks.load", lambda path: 1 / 0)
    code, _, err = recurra("evaluate", model, "x.csv")
    assert code == 1
    assert "RECURRA_DEBUG" in err
    assert_clear(err)


def test_output_is_plain_when_piped(recurra, model, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    _, out, err = recurra("evaluate", model, model.parent / "reviews.csv")
    assert "accuracy" in out
    assert "\x1b" not in out + err
