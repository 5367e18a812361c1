"""`recurra fit` on data larger than memory may be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

OPTIONS = ["--input", "text", "--target", "label", "--hidden-size", 8, "--epochs", 2, "--out", "m"]


def reviews(count: int, seed: int = 0) -> dict[str, list]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    words = np.array([f"w{i}" for i in range(500)])
    texts = [f"{' '.join(random.choice(words, 8))} {'good' if label else 'bad'}" for label in labels]
    return {"text": texts, "label": [int(label) for label in labels], "score": [f"{n},5" for n in labels]}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder with two tables of 150 rows."""
    (tmp_path / "data").mkdir()
    for i in range(2):
        found = reviews(150, i)
        lines = [f"{t}\t{label}\t{s}" for t, label, s in zip(*found.values(), strict=True)]
        (tmp_path / "data" / f"{i}.tsv").write_text("\n".join(["text\tlabel\tscore", *lines]) + "\n")
    monkeypatch.setenv("RECURRA_LARGE_MB", "0")
    return tmp_path / "data"


def test_large_data_are_read_in_pieces(recurra, data, tmp_path, monkeypatch):
    code, _, err = recurra("fit", "classify", "data", *OPTIONS)
    assert code == 0
    assert "300 rows in 2 files, tab-separated" in err
    assert "read in 2 pieces" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "m"]
    code, out, _ = recurra("evaluate", "m", "data", "--json")
    assert (code, json.loads(out)["n"]) == (0, 300)
    monkeypatch.setenv("RECURRA_LARGE_MB", "1")
    code, _, err = recurra("fit", "classify", "data", *OPTIONS, "--overwrite")
    assert (code, "pieces" in err) == (0, False)
    monkeypatch.setenv("RECURRA_LARGE_MB", "much")
    code, _, err = recurra("fit", "classify", "data", *OPTIONS, "--overwrite")
    assert (code, "RECURRA_LARGE_MB must be a whole number" in err) == (2, True)


def test_numbers_with_a_decimal_comma(recurra, data):
    options = ["--input", "text", "--target", "score", "--hidden-size", 8, "--epochs", 1, "--out", "m"]
    code, _, err = recurra("fit", "regress", "data", *options)
    assert code == 0
    assert err.count("numbers have a decimal comma") == 1
    lines = (data / "1.tsv").read_text().splitlines()
    lines[70] = lines[70].rpartition("\t")[0] + "\tmuch"
    (data / "1.tsv").write_text("\n".join(lines) + "\n")
    code, _, err = recurra("fit", "regress", "data", *options, "--overwrite")
    assert code == 3
    assert '1.tsv, line 71, column score: "much" is not a number' in err


def test_other_inputs_are_read_as_before(recurra, data, tmp_path):
    rows = [json.dumps({"x": [float(i % 2)] * 5, "y": i % 2}) for i in range(40)]
    (tmp_path / "series.jsonl").write_text("\n".join(rows) + "\n")
    options = ["--input", "x", "--target", "y", "--hidden-size", 8, "--epochs", 1, "--out", "s"]
    code, _, err = recurra("fit", "classify", "series.jsonl", *options)
    assert (code, "pieces" in err.replace("pieces/", "")) == (0, False)


COMMAND = "--input text --target label --hidden-size 16 --epochs 2 --seed 3 --checkpoint-minutes 0.02 --out m"


def fit(*options: str) -> list[str]:
    return [sys.executable, "-m", "recurra", "fit", "classify", "data/*.parquet", *COMMAND.split(), *options]


def weights(folder: Path) -> bytes:
    return (folder / "m" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_killed_run_continues(tmp_path):
    """The weights are those of an undisturbed run, bit for bit, and no piece is encoded twice."""
    (tmp_path / "data").mkdir()
    for i in range(3):
        pq.write_table(pa.table(reviews(40_000, i)), tmp_path / "data" / f"{i}.parquet", row_group_size=20_000)
    env = {**os.environ, "RECURRA_LARGE_MB": "1"}
    subprocess.run(fit(), cwd=tmp_path, env=env, check=True, capture_output=True)
    whole = weights(tmp_path)
    checkpoint, seen = tmp_path / "m.training" / "last.ckpt", {}
    for kill in range(3):
        again = ["--resume", "--overwrite"][kill == 0 :][:1]
        with subprocess.Popen(fit(*again), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 120
            before = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
            while time.monotonic() < end and process.poll() is None:
                if checkpoint.exists() and checkpoint.stat().st_mtime > before:
                    break
                time.sleep(0.01)
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGKILL)
        pieces = {file: file.stat().st_mtime_ns for file in (tmp_path / "m.training").rglob("*.npz")}
        assert seen.items() <= pieces.items()
        seen = pieces
    assert seen
    done = subprocess.run(fit("--resume"), cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert "training starts from the beginning" not in done.stderr
    assert weights(tmp_path) == whole


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_evaluation_in_parts(recurra, data, monkeypatch, task):
    target = {"classify": "label", "regress": "score"}[task]
    options = ["--input", "text", "--target", target, "--hidden-size", 8, "--epochs", 1, "--out", "m"]
    assert recurra("fit", task, "data", *options)[0] == 0
    code, out, _ = recurra("evaluate", "m", "data", "--json")
    assert code == 0
    whole = json.loads(out)
    monkeypatch.setattr("recurra.cli.support.files.STREAM_BYTES", 0)
    code, out, err = recurra("evaluate", "m", "data", "--json")
    assert (code, "2 files, tab-separated" in err) == (0, True)
    parts = json.loads(out)
    assert parts["comparison"] == whole["comparison"]
    for name, value in whole.items():
        if isinstance(value, float):
            assert parts[name] == pytest.approx(value, rel=1e-6)
    lines = (data / "1.tsv").read_text().splitlines()
    lines[70] = "a text\tnew\tnew"
    (data / "1.tsv").write_text("\n".join(lines) + "\n")
    code, _, err = recurra("evaluate", "m", "data", "--json")
    assert (code, "1.tsv, line 71" in err) == (3, True)
