"""The scripts in benchmarks/ at tiny sizes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "src" / "recurra" / "data" / "samples" / "nsmc"

pytestmark = pytest.mark.slow


def run(name: str, *options: object) -> list[list[str]]:
    """Cells of the table that a script prints, without its head."""
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *options]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def number(cell: str) -> float:
    return float(re.findall(r"[\d.]+", cell.replace(",", ""))[0])


@pytest.mark.parametrize("file", [[], [SAMPLES / "train.tsv"]])
def test_ragged(file):
    tiny = ["--rounds", 1, "--batches", 1, "--batch-size", 4, "--hidden", 8, "--seconds", 0.01]
    rows = run("ragged", *file, *tiny)
    assert [row[0] for row in rows] == ["packed torch", "ragged recurra", "dense recurra"]
    assert all(number(row[1]) > 0 for row in rows)


def test_busy():
    rows = run("busy", "--rounds", 1, "--seconds", 0.05)
    assert [row[1] for row in rows] == ["recurra", "torch"] * 2
    assert all(number(row[2]) > 0 and number(row[3]) > 0 for row in rows)


def test_long():
    rows = run("long", "--scale", 0.001, "--hidden", 8)
    assert len(rows) == 5
    assert all(number(row[4]) > 0 for row in rows if not row[3].startswith("not measured"))


def test_scaling():
    tiny = ["--rounds", 1, "--seconds", 0.01, "--scale", 0.1]
    rows = run("scaling", "--most", 2, *tiny)
    assert len(rows) == 36
    assert all(number(row[1]) > 0 and number(row[2]) == 1 and number(row[4]) > 0 for row in rows)
    # on a busy machine two threads may need a hundred times as long, and an efficiency of .002 is printed as 0.00
    assert all(number(row[5]) >= 0 and min(map(number, row[7:])) > 0 for row in rows)
    rows = run("scaling", "--single", *tiny)
    assert len(rows) == 21
    assert all(number(row[1]) > 0 and number(row[2]) > 0 for row in rows)


def test_trace():
    rows = run("trace", "--rounds", 1, "--seconds", 0.05, "--scale", 0.1)
    assert len(rows) == 3
    assert number(rows[0][2]) == 1
    assert all(number(row[1]) > 0 and number(row[2]) > 0 for row in rows)


def test_small_calls():
    command = [sys.executable, ROOT / "benchmarks" / "small_calls.py", "--rounds", "1", "--seconds", "0.01"]
    done = subprocess.run([*command, "--units", "8"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # 1: a ratio that counts with more units only
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 9 + 15 + 1 + 5
    assert all(number(row[-1]) > 0 for row in (*rows[1:25], *rows[26:]))


def test_session_weights():
    files = [SAMPLES / "train.tsv", SAMPLES / "test.tsv"]
    command = [sys.executable, ROOT / "benchmarks" / "session_weights.py", *files, "--epochs", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same = re.findall(r"(\w+): accuracy [\d.]+ %, same class ([\d.]+) %", done.stdout)
    assert [name for name, _ in same] == ["float32", "bfloat16", "int8"]
    assert all(float(share) > 95 for _, share in same)


def test_nsmc(tmp_path):
    lines = (SAMPLES / "train.tsv").read_text(encoding="utf-8").splitlines()
    files = [tmp_path / "train.tsv", tmp_path / "valid.tsv"]
    for file, part in zip(files, (lines[1:401], lines[401:501]), strict=True):
        file.write_text("\n".join([lines[0], *part]) + "\n", encoding="utf-8")
    rows = run("nsmc", *files, "--epochs", 1)
    assert [row[0] for row in rows] == ["recurra", "PyTorch, plain", "PyTorch, batches of like length"]
    assert all(number(row[1]) > 0 and 0 <= number(row[2]) <= 1 for row in rows)


def test_series():
    tiny = ["--seeds", 1, "--set", "epochs=1", "hidden_size=4", "pooling=mean", "batch_size=64"]
    rows = run("series", *tiny, "--sets", "cbf,order,noisy,unsure")
    assert [row[0] for row in rows] == ["cbf", "order", "noisy", "unsure"]
    assert all(row[1] == row[2] == row[3] for row in rows)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder for the models of the benchmark of serving; the first test trains them."""
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize(
    ("workload", "servers"),
    [
        ("nsmc", ["recurra", "litserve", "fastapi-onnx", "fastapi-onnx-batched", "uvicorn", "nothing"]),
        (
            "steps",
            ["recurra", "recurra, 4 × 16", "fastapi-torch", "fastapi-torch-batched", "nothing, 4 × 16", "nothing"],
        ),
    ],
)
def test_serving(tmp_path, models, workload, servers):
    out = tmp_path / "figures.json"
    tiny = ["--rounds", 1, "--seconds", 1, "--models", models, "--workload", workload, "--out", out]
    rows = run("serving", *tiny)
    assert [row[0] for row in rows] == servers
    assert all(number(row[1]) > 0 and number(row[2]) > 0 and number(row[3]) > 0 for row in rows)
    figures = json.loads(out.read_text())["workloads"][workload]
    compared = [row["difference"] for row in figures if not row["server"].startswith(("uvicorn", "nothing"))]
    assert all(0 <= difference < 1e-5 for difference in compared)
    if workload == "steps":  # binary answers are the bits of `predict_proba`
        assert compared[:2] == [0, 0]


def test_sessions():
    """5,000 sessions need at most 10 kB on disk each, and little memory."""
    command = [sys.executable, str(ROOT / "benchmarks" / "sessions.py"), "--sessions", "5000"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = re.findall(r"([\d,]+) sessions: ([\d.]+) MB on disk, ([\d.]+) MB of memory", done.stdout)
    assert number(found[0]) == 6000
    assert 5 < number(found[1]) < 60


def test_soak():
    """Two minutes of mixed load: memory, open files and sessions of the server do not grow."""
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--minutes", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
