"""`kill -9` in the middle of a real run, then the same command with `--resume`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def fit(train: Path, *options: str) -> list[str]:
    command = "--input document --target label --hidden-size 32 --epochs 4 --patience 9 --checkpoint-minutes 0"
    return [sys.executable, "-m", "recurra", "fit", "classify", str(train), *command.split(), "--out", "m", *options]


def result(folder: Path) -> tuple[dict, bytes]:
    metrics = json.loads((folder / "m" / "metrics.json").read_text())
    for row in metrics["history"]:
        del row["seconds"], row["tokens_per_second"]
    return metrics, (folder / "m" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def train():
    with as_file(files("recurra.data") / "samples/nsmc/test.tsv") as path:
        yield path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, train):
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(fit(train), cwd=folder, check=True, capture_output=True)
    return result(folder)


def wait_for_checkpoints(process: subprocess.Popen, path: Path, count: int) -> None:
    """Waits until the checkpoint was seen to change so many times."""
    seen = 0.0
    while count and process.poll() is None:
        with suppress(FileNotFoundError):
            if (now := path.stat().st_mtime) != seen:
                seen, count = now, count - 1
        time.sleep(0.002)
    assert process.poll() is None, "the run ended too early to be killed"


@pytest.mark.parametrize("after", [1, 20, 50], ids=lambda n: f"after checkpoint {n}")
def test_killed_and_resumed_equals_uninterrupted(tmp_path, train, uninterrupted, after):
    with subprocess.Popen(fit(train), cwd=tmp_path, stderr=subprocess.PIPE) as process:
        wait_for_checkpoints(process, tmp_path / "m.training" / "last.ckpt", after)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "m").exists()
    subprocess.run(fit(train, "--resume"), cwd=tmp_path, check=True, capture_output=True)
    metrics, weights = result(tmp_path)
    assert metrics == uninterrupted[0]
    assert weights == uninterrupted[1]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_ctrl_c_says_where_the_model_is(tmp_path, train, uninterrupted):
    with subprocess.Popen(fit(train), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait_for_checkpoints(process, tmp_path / "m.training" / "last.ckpt", 40)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1]
    assert process.returncode == 130
    assert "--resume goes on" in message
    assert ("best epoch so far" in message) == (tmp_path / "m").exists()
    subprocess.run(fit(train, "--resume"), cwd=tmp_path, check=True, capture_output=True)
    assert result(tmp_path) == uninterrupted
