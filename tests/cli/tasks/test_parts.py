"""Predictions into a folder, and evaluations in parts: the same as at once; errors; workers of Ray."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recurra as package
from alone import folder, needs_ray, run_alone
from recurra.cli.support.options import EvaluateOptions, SharedPredictOptions
from recurra.cli.tasks.parts import evaluate_parts
from recurra.data.readers.tables import read_table
from recurra.errors import UsageError

__all__ = ["folder"]
PROGRAM = Path(__file__).with_name("parts_checks.py")
QUICK = ["--hidden-size", 4, "--epochs", 1]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("recurra.data.pieces.table.PIECE_ROWS", 8)
    monkeypatch.setattr("recurra.data.pieces.partitions.FEW", 4)


@pytest.fixture
def tables(tmp_path):
    """Two tables of 30 rows each, with columns for all tasks."""
    (tmp_path / "data").mkdir()
    for name in "ab":
        rows = [(f"a {'good' if i % 2 else 'bad'} film {i}{name}", "pos" if i % 2 else "neg", i) for i in range(30)]
        lines = ["text,label,score", *(f"{text},{label},{score}" for text, label, score in rows)]
        (tmp_path / "data" / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def rows_of(out: Path) -> list[dict]:
    files = sorted(out.glob("part-*"))
    if files[0].suffix == ".jsonl":
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return pa.concat_tables(map(pq.read_table, files)).to_pylist()


@pytest.mark.parametrize(
    ("task", "fit", "predict"),
    [
        ("classify", ["--input", "text", "--target", "label"], ["--proba"]),
        ("regress", ["--input", "text", "--target", "score"], []),
        ("fill", ["--input", "text"], ["--top", 2]),
        ("generate", ["--input", "text", "--condition", "label"], []),
        ("translate", ["--source", "text", "--target", "label"], ["--n-best", 2, "--beam", 2]),
    ],
)
def test_parts_have_the_rows_of_one_file(recurra, tables, task, fit, predict):
    if task == "fill":
        for path in (tables / "data").iterdir():
            path.write_text(path.read_text().replace("film", "___"))
    code, _, err = recurra("fit", task, "data", *fit, *QUICK, "--out", "model")
    assert code == 0, err
    code, _, err = recurra("predict", "model", "data", *predict, "--out", "whole.parquet")
    assert code == 0, err
    whole = pq.read_table("whole.parquet").to_pylist()
    code, out, err = recurra("predict", "model", "data", *predict, "--out", "parts")
    assert (code, out) == (0, "")
    assert f"{len(whole)} predictions written to parts (4 files, " in err
    assert rows_of(tables / "parts") == whole
    assert not (tables / "parts" / "_prepared").exists()


def test_a_run_that_was_stopped_continues(recurra, tables):
    fit = ["--input", "text", "--target", "label", *QUICK]
    assert recurra("fit", "classify", "data", *fit, "--out", "model")[0] == 0
    predict = ["predict", "model", "data", "--out", "parts", "--format", "jsonl"]
    assert recurra(*predict)[0] == 0
    before = rows_of(tables / "parts")
    assert [row["row"] for row in before] == list(range(1, 61))
    assert recurra(*predict)[0] == 2
    (tables / "parts" / "part-000001.jsonl").unlink()
    (tables / "parts" / "part-000002.jsonl").write_text("kept\n")
    code, _, err = recurra(*predict, "--resume")
    assert (code, "14 predictions written to parts (1 file, " in err, "3 were there" in err) == (0, True, True)
    assert (tables / "parts" / "part-000002.jsonl").read_text() == "kept\n"
    code, _, err = recurra(*predict, "--resume")
    assert (code, "are complete" in err) == (0, True)
    code, _, err = recurra(*predict, "--resume", "--proba")
    assert (code, "other options" in err) == (2, True)
    (tables / "data" / "b.csv").write_text((tables / "data" / "a.csv").read_text())
    code, _, err = recurra(*predict, "--resume")
    assert (code, "other data" in err) == (2, True)
    assert recurra(*predict, "--overwrite")[0] == 0
    assert len(rows_of(tables / "parts")) == 60


def test_a_full_disk_leaves_nothing(recurra, tables):
    import resource

    fit = ["--input", "text", "--target", "label", *QUICK]
    assert recurra("fit", "classify", "data", *fit, "--out", "model")[0] == 0
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pq.write_table(pa.table({"text": ["a good film"] * 30}), "films.parquet")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))  # of a file
    try:
        code, _, err = recurra("predict", "model", "films.parquet", "--proba", "--out", "parts", "--format", "jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 1, err
    assert "cannot be written: File too large" in err
    assert not (tables / "parts").exists()


def test_usage(recurra, tables):
    fit = ["--input", "text", "--target", "label", *QUICK]
    assert recurra("fit", "classify", "data", *fit, "--out", "model")[0] == 0
    for words, said in (
        (["data", "--workers", 2], "--workers needs --out with the name of a folder"),
        (["data", "--workers", 2, "--out", "x.csv"], "--workers needs --out with the name of a folder"),
        (["data", "--resume", "--out", "x.csv"], "--resume needs --out with the name of a folder"),
        (["data", "--cluster", "local"], "--cluster needs --workers"),
        (["data", "--workers", "x", "--out", "x"], "workers is a number"),
        (["data", "--out", "x", "--format", "xml"], "--format is parquet, csv, tsv or jsonl"),
        (["a text", "--out", "x"], "x is a folder, for data from files"),
        (["data", "--out", "data/x"], "is inside the folder of the data"),
        (["data", "--out", "model"], "model would replace the input"),
    ):
        code, _, err = recurra("predict", "model", *words)
        assert (code, said in err) == (2, True), err
    code, _, err = recurra("evaluate", "model", "data", "--workers", 2, "--order-test")
    assert (code, "--order-test does not go with" in err) == (2, True)
    assert sorted(path.name for path in tables.iterdir()) == ["data", "model"]


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_an_evaluation_in_parts_equals_one(tables, task):
    target, by = {"classify": ("label", "score"), "regress": ("score", "label")}[task]
    kind = {"classify": package.SequenceClassifier, "regress": package.SequenceRegressor}[task]
    data = read_table(tables / "data", ["text", target, by]).table
    y = data[target].to_pylist() if task == "classify" else [float(value) for value in data[target].to_pylist()]
    model = kind(hidden_size=4, epochs=1, random_state=0, verbose=0).fit(data["text"], y)
    model.save(tables / "model")
    options = EvaluateOptions(input="text", target=target, by=by)
    found = evaluate_parts(model, tables / "model", str(tables / "data"), options)
    whole = model.evaluate(data["text"], y, by=data[by].to_pylist())
    assert len(found["groups"]) == {"score": 30, "label": 2}[by]
    compare(found, whole)


def compare(found: dict, whole: dict) -> None:
    """Compares metrics of one evaluation with those of another."""
    assert found.keys() == whole.keys()
    for name, value in whole.items():
        if isinstance(value, dict) and name != "comparison":
            compare(found[name], value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for one, other in zip(found[name], value, strict=True):
                compare(one, other)
        else:
            assert found[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


def test_taggers_divide_the_files(recurra, tmp_path):
    sentence = "the\tDET\n{}\tNOUN\nruns\tVERB\n\n"
    whole = [sentence.format(word) for word in ("dog", "cat", "horse", "cow") * 5]
    (tmp_path / "all.txt").write_text("".join(whole))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("".join(whole[:9]))
    (tmp_path / "data" / "b.txt").write_text("".join(whole[9:]))
    assert recurra("fit", "tag", "all.txt", *QUICK, "--embedding-size", 4, "--out", "model")[0] == 0
    assert recurra("predict", "model", "all.txt", "--out", "all.jsonl")[0] == 0
    code, _, err = recurra("predict", "model", "data", "--out", "parts", "--format", "jsonl")
    assert code == 0, err
    parts = rows_of(tmp_path / "parts")
    assert [(row["file"], row["row"]) for row in parts] == [
        *(("a.txt", i + 1) for i in range(9)),
        *(("b.txt", i + 1) for i in range(11)),
    ]
    one = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [row["tags"] for row in parts] == [row["tags"] for row in one]
    model = package.load(tmp_path / "model")
    found = evaluate_parts(model, tmp_path / "model", str(tmp_path / "data"), SharedPredictOptions())
    words, tags = [["the", text.split()[2], "runs"] for text in whole], [["DET", "NOUN", "VERB"]] * 20
    compare(found, model.evaluate(words, tags))


def test_models_whose_data_cannot_be_divided(tmp_path):
    model = package.Forecaster(hidden_size=4, epochs=1)
    with pytest.raises(UsageError, match=r"^evaluate --workers is not for a forecaster; leave --workers out$"):
        evaluate_parts(model, tmp_path, "data.csv", SharedPredictOptions(workers="2"))


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_workers_that_end_and_a_command_that_continues(folder):
    answer = run_alone(PROGRAM, "predict", folder)
    assert [answer[name]["code"] for name in ("alone", "first", "refused", "second")] == [0, 0, 2, 0]
    assert answer["equal"]
    assert answer["equal again"]
    assert answer["first"]["out"] == ""
    assert 4 <= answer["kept"][0] == answer["kept"][1] < 16
    alone, together = (json.loads(found["out"]) for found in answer["metrics"])
    compare(together, alone)


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_errors_of_clusters_and_disks(folder):
    answer = run_alone(PROGRAM, "errors", folder)
    full = answer["full disk"]
    assert (full["code"], "cannot be written: No space left on device" in full["said"]) == (1, True), full
    assert (full["left"], set(full["rows"])) == ([], {1500})
    full = answer["full checkpoint"]
    assert (full["code"], "last.ckpt cannot be written: No space left on device" in full["said"]) == (1, True), full
    for name, said in (
        ("address", "the cluster 127.0.0.1:1 cannot be reached: Connection refused"),
        ("other version", "the machine 127.0.0.1 has Recurra 0.0.1, this one Recurra "),
        ("no package", "the machine 127.0.0.1 lacks Recurra: all machines of a cluster need Recurra "),
    ):
        assert answer[name]["code"] == 5
        assert f"error: {said}" in answer[name]["said"]
    assert not answer["left"]
