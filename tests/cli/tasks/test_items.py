"""`classify` and `regress` of items in the rows of a table, and of one file per sequence, on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_wine

import recurra as package

QUICK = ["--epochs", 8, "--hidden-size", 16, "--learning-rate", 0.02]


@pytest.fixture
def wines(tmp_path):
    """Writes the wines in two files: a numeric column became one of categories."""
    data = load_wine()
    names = ["alcohol", "flavanoids", "proline"]
    values = data.data[:, [data.feature_names.index(name) for name in names]]
    hue = np.where(data.data[:, data.feature_names.index("hue")] > 0.95, "high", "low")
    order = np.random.default_rng(0).permutation(len(values))
    for name, rows in (("train.csv", order[:120]), ("test.csv", order[120:])):
        lines = [",".join([*map(str, values[i]), hue[i], "ABC"[data.target[i]]]) for i in rows]
        (tmp_path / name).write_text("\n".join([",".join([*names, "hue", "grape"]), *lines]) + "\n")


@pytest.mark.parametrize("cell", ["none", "gru"])
def test_wines_need_no_order(recurra, tmp_path, wines, cell):
    code, _, err = recurra("fit", "classify", "train.csv", "--target", "grape", "--cell", cell, *QUICK)
    assert code == 0
    assert "train.csv: 120 sequences, 1 step, 5 features (alcohol, flavanoids, proline, hue=high, hue=low)" in err
    assert "each row is one item, a sequence of one step; all columns but grape are features" in err
    code, out, _ = recurra("evaluate", "model", "test.csv", "--json", "--order-test", "--by", "hue")
    found = json.loads(out)
    assert found["accuracy"] > 0.85
    assert found["order_test"]["in order"] == found["order_test"]["shuffled"]
    assert {row["group"] for row in found["groups"]} == {"high", "low"}
    assert (
        "Every sequence has one step, so there is no order"
        in recurra("evaluate", "model", "test.csv", "--order-test")[2]
    )
    _, *lines = (tmp_path / "test.csv").read_text().splitlines()
    shuffled = ["hue,proline,alcohol,flavanoids"]  # without target, in another order
    for line in lines:
        alcohol, flavanoids, proline, hue, _ = line.split(",")
        shuffled.append(f"{hue},{proline},{alcohol},{flavanoids}")
    (tmp_path / "new.csv").write_text("\n".join(shuffled) + "\n")
    assert recurra("predict", "model", "new.csv")[1] == recurra("predict", "model", "test.csv")[1]
    model = package.load(tmp_path / "model")
    assert model.feature_names_in_.tolist() == ["alcohol", "flavanoids", "proline", "hue=high", "hue=low"]
    assert "| epochs | 8 |" in (tmp_path / "model" / "README.md").read_text()
    assert [len(step) for step in model.service().example()] == [5]
    code, _, err = recurra("predict", "model", "test.csv", "--workers", 2, "--out", "found")
    assert (code, "cannot be divided" in err) == (2, True)


def test_regress_with_valid_file(recurra, wines):
    fit = ["fit", "regress", "train.csv", "--features", "flavanoids,hue", "--target", "alcohol", *QUICK]
    code, _, err = recurra(*fit, "--valid", "test.csv")
    assert code == 0
    assert "test.csv: 58 sequences, 1 step, 3 features (flavanoids, hue=high, hue=low)" in err
    assert json.loads(recurra("evaluate", "model", "test.csv", "--json")[1])["n"] == 58


def test_text_without_memory(recurra, tmp_path):
    texts = ["good film", "bad film", "so good", "so bad"] * 10
    lines = [f"{text},{'pos' if 'good' in text else 'neg'}" for text in texts]
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    fit = ["fit", "classify", "a.csv", "--input", "text", "--target", "label", "--cell", "none", "--tokens", "word"]
    assert recurra(*fit, *QUICK)[0] == 0
    assert json.loads(recurra("predict", "model", "film so good")[1])["label"] == "pos"


def test_one_file_per_sequence_with_the_folder_as_label(recurra, tmp_path):
    for k, label in enumerate(("down", "up")):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(10):
            rows = "".join(f"{(2 * k - 1) * t + i % 3}\n" for t in range(4 + i % 3))
            (tmp_path / "data" / label / f"{i}.csv").write_text("x\n" + rows)
    (tmp_path / "data" / "up" / "3.csv").write_text("x\nNA\nNA\n")
    fit = ["fit", "classify", "data", "--id", "file", "--features", "x", "--target", "folder", *QUICK]
    code, _, err = recurra(*fit)
    assert code == 0
    assert "data: 20 sequences, 2–6 steps, 1 feature (x)" in err
    assert "1 sequence without a value, all are missing: 3.csv, line 2 (file up/3.csv)" in err
    assert "without --time, the steps of each file are its rows in the order of the file" in err
    found = json.loads(recurra("evaluate", "model", "data", "--json")[1])
    assert (found["n"], found["accuracy"] > 0.9) == (20, True)
    code, out, _ = recurra("predict", "model", "data")
    assert [json.loads(line)["id"] for line in out.splitlines()][9:11] == ["down/9.csv", "up/0.csv"]


def test_a_folder_of_archives_is_one_data_set(recurra, tmp_path):
    (tmp_path / "data").mkdir()
    head = "@univariate true\n@classLabel true a b\n@data\n"
    for i in range(3):
        (tmp_path / "data" / f"{i}.ts").write_text(head + f"1,2,3:a\n3,2,{i}:b\n")
    code, _, err = recurra("fit", "classify", "data", *QUICK)
    assert code == 0
    assert "data: 6 sequences, 3 steps, 1 feature" in err
    assert "3 files (0.ts, 1.ts, 2.ts)" in err
    assert len(recurra("predict", "model", "data/*.ts")[1].splitlines()) == 6
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,a\n")
    code, _, err = recurra("fit", "classify", "data", "--target", "y", "--out", "other")
    assert (code, "files of different kinds, 2.ts and a.csv" in err or "0.ts and a.csv" in err) == (3, True)


def test_categories_and_elapsed_times_of_long_tables(recurra, tmp_path):
    """Training, validation, evaluation and prediction read the same features; unknown categories are named."""
    head, modes = "pump,t,flow,mode,state\n", ("eco", "boost")
    rows = [f"p{n},{t},{t},{modes[n % 2]},{'ab'[n % 2]}\n" for n in range(24) for t in range(3)]
    (tmp_path / "train.csv").write_text(head + "".join(rows))
    (tmp_path / "valid.csv").write_text(head + "".join(rows[:6]).replace("boost", "eco"))
    options = ["--id", "pump", "--time", "t", "--features", "flow,mode", "--target", "state", "--valid", "valid.csv"]
    options += ["--elapsed"]
    code, _, err = recurra("fit", "classify", "train.csv", *options, "--epochs", 2, "--hidden-size", 4, "--out", "m")
    assert code == 0, err
    about = json.loads(recurra("info", "m", "--json")[1])
    assert about["reads"]["feature_names"] == ["flow", "mode=boost", "mode=eco", "elapsed"]
    assert recurra("evaluate", "m", "train.csv")[0] == 0
    (tmp_path / "new.csv").write_text(head + "x,0,1,turbo,\nx,1,2,eco,\n")
    code, out, err = recurra("predict", "m", "new.csv")
    assert (code, json.loads(out)["id"]) == (0, "x")
    assert 'texts that were not in the training data ("turbo")' in err
