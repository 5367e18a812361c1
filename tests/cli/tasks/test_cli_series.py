"""`classify` and `regress` of numeric series on the command line: `.ts`, long tables, NPZ, columns of lists."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SAMPLE = Path(str(files("recurra.data") / "samples" / "series"))
QUICK = ["--hidden-size", 12, "--dropout", 0.2, "--epochs", 4, "--batch-size", 16, "--learning-rate", 0.02]
LONG = ["--id", "kettle", "--time", "second", "--features", "temperature,watts"]


def config(model: Path) -> dict:
    return json.loads((model / "config.json").read_text())


def test_ts(recurra, tmp_path):
    code, out, err = recurra("fit", "classify", SAMPLE / "gestures_TRAIN.ts", *QUICK, "--epochs", 8)
    assert (code, out) == (0, "")
    assert "gestures_TRAIN.ts: 90 sequences, 18–40 steps, 3 features, " in err
    assert "missing values" in err
    code, out, _ = recurra("evaluate", "model", SAMPLE / "gestures_TEST.ts", "--json", "--order-test")
    figures = json.loads(out)
    assert figures["n"] == 60
    assert figures["accuracy"] > 0.8
    assert figures["order_test"]["in order"]["accuracy"] == figures["accuracy"]
    code, out, _ = recurra("predict", "model", SAMPLE / "gestures_TEST.ts", "--proba")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 60
    assert rows[0]["probabilities"].keys() == {"circle", "shake", "tilt"}
    bare = (SAMPLE / "gestures_TEST.ts").read_text().replace("@classLabel true circle shake tilt", "@classLabel false")
    for label in ("circle", "shake", "tilt"):
        bare = bare.replace(f":{label}\n", "\n")
    (tmp_path / "bare.ts").write_text(bare)
    assert recurra("predict", "model", "bare.ts", "--proba")[1] == out
    code, _, err = recurra("evaluate", "model", "bare.ts")
    assert (code, "bare.ts has no targets" in err) == (3, True)


def test_missing_values_are_said_and_stand_in_the_model(recurra, tmp_path):
    rows = ["1,?,3:0,1,?:a", "4,5:1,1:b", "?,2,1:3,3,3:a", "2,2:0,1:b"]
    (tmp_path / "a.ts").write_text("@univariate false\n@classLabel true a b\n@data\n" + "\n".join(rows) + "\n")
    code, _, err = recurra("fit", "classify", "a.ts", *QUICK, "--valid", "a.ts", "--epochs", 1)
    assert code == 0
    assert err.count("a.ts: 4 sequences, 2–3 steps, 2 features, 3 missing values") == 2
    found = config(tmp_path / "model")
    assert found["data"]["missing values"] == 3
    assert found["encoder"]["masked"] == [0, 1]
    assert found["chosen"]["pooling"] == "max"


def test_long_table_and_its_columns_are_remembered(recurra, tmp_path):
    fit = ["fit", "regress", SAMPLE / "kettles_train.csv", *LONG, "--target", "litres", *QUICK, "--epochs", 20]
    code, _, err = recurra(*fit, "--cell", "gru")
    assert code == 0
    assert "80 sequences" in err
    assert "features (temperature, watts)" in err
    names = {"id_column": "kettle", "time_column": "second", "feature_columns": ["temperature", "watts"]}
    assert names.items() <= config(tmp_path / "model")["provenance"].items()
    figures = json.loads(recurra("evaluate", "model", SAMPLE / "kettles_test.csv", "--json")[1])
    assert figures["n"] == 40
    assert figures["r2"] > 0.3
    text = (SAMPLE / "kettles_test.csv").read_text().splitlines()
    unlabelled = "\n".join(line.rpartition(",")[0] for line in text) + "\n"
    (tmp_path / "new.csv").write_text(unlabelled)
    code, out, _ = recurra("predict", "model", "new.csv")
    found = [json.loads(line) for line in out.splitlines()]
    assert found[0].keys() == {"row", "id", "value"}
    assert {row["id"] for row in found} == {str(i) for i in range(81, 121)}
    (tmp_path / "other.csv").write_text(unlabelled.replace("kettle,second,temperature,watts", "k,s,t,w"))
    columns = ["--id", "k", "--time", "s", "--features", "t,w"]
    assert recurra("predict", "model", "other.csv", *columns)[1] == out
    assert recurra("predict", "model", "other.csv", *columns, "--out", "p.csv")[0] == 0
    assert (tmp_path / "p.csv").read_text().startswith('"row","id","value"')


def test_npz_parquet_lists_and_cp949_long_table_are_the_same_data(recurra, tmp_path):
    random = np.random.default_rng(0)
    X = [random.normal(size=(int(n), 1)) + (i % 2) for i, n in enumerate(random.integers(0, 5, 40))]
    y = ["낮음", "높음"] * 20
    X[3] = np.zeros((0, 1))
    np.savez(tmp_path / "a.npz", values=np.concatenate(X), lengths=[len(x) for x in X], y=y)
    pq.write_table(pa.table({"x": [x[:, 0].tolist() for x in X], "y": y}), tmp_path / "a.parquet")
    for source in (["a.npz"], ["a.parquet", "--input", "x", "--target", "y"]):
        code, _, err = recurra("fit", "classify", *source, *QUICK, "--out", source[0].partition(".")[2])
        assert code == 0, err
    weights = [(tmp_path / kind / "model.safetensors").read_bytes() for kind in ("npz", "parquet")]
    assert weights[0] == weights[1]
    assert recurra("predict", "npz", "a.npz")[1] == recurra("predict", "parquet", "a.parquet")[1]
    lines = [
        f"{i},{t},{v},{label}\n" for i, (x, label) in enumerate(zip(X, y, strict=True)) for t, v in enumerate(x[:, 0])
    ]
    (tmp_path / "k.csv").write_text("번호,때,값,수준\n" + "".join(lines), encoding="cp949")
    columns = ["--id", "번호", "--time", "때", "--features", "값", "--target", "수준"]
    assert recurra("fit", "classify", "k.csv", *columns, *QUICK)[0] == 0
    assert json.loads(recurra("evaluate", "npz", "k.csv", *columns, "--json")[1])["n"] == len([x for x in X if len(x)])


def test_the_baseline_without_memory_and_resume(recurra, tmp_path):
    fit = ["fit", "classify", SAMPLE / "gestures_TRAIN.ts", *QUICK]
    assert recurra(*fit, "--cell", "none", "--resume")[0] == 0
    _, out, _ = recurra("evaluate", "model", SAMPLE / "gestures_TEST.ts", "--json", "--order-test")
    found = json.loads(out)["order_test"]
    assert found["in order"]["accuracy"] == found["shuffled"]["accuracy"]  # nothing but the order differs


# errors

TS = "@univariate false\n@classLabel true a b\n@data\n1,2:3,4:a\n"


@pytest.mark.parametrize(
    ("name", "content", "options", "code", "message"),
    [
        ("a.ts", TS + "1,2:b\n", [], 3, "a.ts, line 5: 1 dimension"),
        ("a.ts", TS + "1,2:3,x:b\n", [], 3, "a.ts, line 5: dimension 2, value 2"),
        ("a.ts", TS + "1,2:3,4:c\n", [], 3, 'a.ts, line 5: the label "c"'),
        ("a.ts", "", [], 3, "empty"),
        ("a.ts", TS.replace("@data\n", ""), [], 3, "@data"),
        ("a.ts", "1,2:a\n", [], 3, "data above @data"),
        ("a.ts", TS.replace("true a b", "false").replace(":a", ""), [], 3, "no targets"),
        ("a.ts", TS, [], 3, "only one class"),
        ("a.npz", "text", [], 3, "not a NumPy archive"),
        ("a.csv", "i,t,x,y\n1,1,5,a\n,2,5,a\n", ["--id", "i", "--features", "x", "--target", "y"], 3, "line 3"),
        ("a.csv", "i,t,x,y\n1,1,5,a\n1,2,5,b\n", ["--id", "i", "--features", "x", "--target", "y"], 3, "line 3"),
        ("a.csv", "i,t,x,y\n1,1,5,a\n", ["--id", "i", "--features", "x,z", "--target", "y"], 3, 'no column "z"'),
        ("a.csv", "i,x,y\n1,5,a\n", ["--id", "i", "--features", "x,y", "--target", "y"], 2, "would read the target"),
        ("a.csv", "i,x,y\n1,5,a\n", ["--features", "x", "--time", "i", "--target", "y"], 2, "needs --id"),
        ("a.csv", "i,x,y\n1,5,a\n", ["--id", "i", "--features", "x"], 2, "--target"),
        ("a.csv", "x,y\nso good,a\nso bad,b\nfine,a\n", ["--target", "y"], 2, "--input, for column x has 3 different"),
        ("a.csv", "x,y\n5,a\n6,b\n", ["--features", "x,y", "--target", "y"], 2, "it is the target"),
        ("a.csv", "x,z,y\n5,a,a\n6,b,b\n", ["--features", "x,x", "--target", "y"], 2, "feature already"),
        ("a.csv", "i,x,y\n1,5,a\n", ["--input", "x", "--features", "x", "--target", "y"], 2, "not both"),
    ],
)  # fmt: skip
def test_wrong_input(recurra, tmp_path, name, content, options, code, message):
    (tmp_path / name).write_text(content)
    found, out, err = recurra("fit", "classify", name, *options)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert len(err[err.index("error") :].strip().splitlines()) <= 3
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_labels_that_the_model_does_not_know_are_named_by_line(recurra, tmp_path):
    (tmp_path / "a.ts").write_text(TS + "0,0:1,1:b\n")
    assert recurra("fit", "classify", "a.ts", *QUICK, "--valid", "a.ts")[0] == 0
    (tmp_path / "b.ts").write_text(TS.replace("a b", "a b c") + "0,0:1,1:c\n")
    code, _, err = recurra("evaluate", "model", "b.ts")
    assert (code, "b.ts, line 5" in err, "'c'" in err) == (3, True, True)
    (tmp_path / "c.ts").write_text("@univariate true\n@data\n1,2\n")
    code, _, err = recurra("predict", "model", "c.ts")
    assert (code, "1 features where 2" in err) == (3, True)
    code, _, err = recurra("predict", "model", "-")
    assert (code, "standard input is for texts only" in err) == (2, True)
