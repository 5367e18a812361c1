"""`recurra tune` writes a model, shows the search, and continues after `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

WORDS = ("good", "bad", "film", "very", "plot")
TINY = ["--tokens", "word", "--embedding-size", "4", "--epochs", "3", "--input", "text", "--target", "label"]
TINY += ["--search", "hidden_size=2,4"]


def write(path: Path, count: int = 600) -> Path:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(count)]
    rows = (f"{text},{'pos' if text.count('good') >= text.count('bad') else 'neg'}\n" for text in texts)
    path.write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path):
    return write(tmp_path / "reviews.csv")


def tune(recurra, train, *options):
    return recurra("tune", "classify", train, *TINY, "--workers", 1, "--out", "m", *options)


def test_a_search_is_shown_and_saved(recurra, train, tmp_path):
    code, out, err = tune(recurra, train, "--trials", 3, "--search", "learning_rate=1e-3..1e-1:log")
    assert code == 0, err
    assert "Best trials" in out
    assert "On the test data" in out
    assert "60 items of the training data measure the result; a trial trains on 486 items" in err
    assert "3 trials: " in err
    assert sorted(p.name for p in (tmp_path / "m.tuning").iterdir() if p.is_file()) == ["journal.log", "tune.png"]
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["provenance"]["input_column"] == "text"
    assert config["params"]["tokens"] == "word"
    code, out, _ = recurra("evaluate", "m", train, "--json")
    assert code == 0
    assert json.loads(out)["n"] == 600
    code, _, err = tune(recurra, train, "--trials", 3)
    assert (code, "contains an earlier search" in err) == (2, True)
    code, _, err = tune(recurra, train, "--trials", 4, "--resume")
    assert (code, "different: parameters to search" in err) == (2, True)
    code, out, err = tune(
        recurra, train, "--trials", 4, "--resume", "--json", "--search", "learning_rate=1e-3..1e-1:log"
    )
    assert code == 0, err
    assert "the search continues after 3 trials" in err
    assert len(json.loads(out)["trials"]) == 4


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--search", "hiden_size=1"], 2, 'did you mean "hidden_size"'),
        (["--search", "hidden_size=0"], 2, "hidden_size must be at least 1, got 0"),
        (["--resume", "--overwrite"], 2, "give one of them"),
        (["--target", "lable"], 3, 'did you mean "label"'),
    ],
)
def test_errors(recurra, train, options, code, message):
    found, _, err = tune(recurra, train, *options)
    assert found == code, err
    assert message in err
    assert "Traceback" not in err


def test_optuna_is_missing(recurra, train, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = tune(recurra, train, "--trials", 1)
    assert (code, "pip install 'recurra[tune]'" in err) == (2, True)


def test_every_task_has_the_command(recurra):
    for task in ("forecast", "translate", "transcribe"):
        code, out, _ = recurra("tune", task, "--help")
        assert code == 0
        assert "--search" in out
        assert "--checkpoint-minutes" not in out


def children(process: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{process}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def wait_for(process: subprocess.Popen, journal: Path, words: str) -> list[int]:
    """Waits until the journal contains some words; returns the workers."""
    end = time.monotonic() + 120
    while (not journal.exists() or words not in journal.read_text()) and time.monotonic() < end:
        assert process.poll() is None, "the search ended too early"
        time.sleep(0.02)
    return children(process.pid)


@pytest.mark.slow
def test_kill_and_resume(tmp_path, train):
    command = [sys.executable, "-m", "recurra", "tune", "classify", str(train), *TINY, "--out", "m", "--json"]
    command += ["--workers", "2", "--trials", "8"]
    journal = tmp_path / "m.tuning" / "journal.log"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        started = wait_for(process, journal, '"state":"complete"')
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "m").exists()
    again = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    trials = json.loads(again.stdout)["trials"]
    assert len(trials) == 8
    assert {row["state"] for row in trials} <= {"complete", "pruned"}
    assert len(started) == 2
    assert not [child for child in started if Path(f"/proc/{child}").exists()]


@pytest.mark.slow
def test_a_killed_worker_is_replaced(tmp_path, train):
    command = [sys.executable, "-m", "recurra", "tune", "classify", str(train), *TINY, "--out", "m", "--json"]
    command += ["--workers", "2", "--trials", "4", "--search", "epochs=100"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        started = wait_for(process, tmp_path / "m.tuning" / "journal.log", '"intermediate_value"')
        os.kill(started[0], signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert [row["state"] for row in json.loads(out)["trials"] if row["state"] not in ("complete", "pruned")] == []
    assert len(json.loads(out)["trials"]) == 4
