"""`kill -9` in the middle of a real run, then the same command with `--resume`."""

from __future__ import annotations

import json
import os
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
    assert "--resume continues" in message
    assert ("best epoch so far" in message) == (tmp_path / "m").exists()
    subprocess.run(fit(train, "--resume"), cwd=tmp_path, check=True, capture_output=True)
    assert result(tmp_path) == uninterrupted


# every operation on files is a moment at which a run may be killed

DRIVER = """
import os, random, signal, sys
from pathlib import Path
import recurra.tasks.restore, recurra.training.loop  # once for all children
from recurra import cli

recurra.tasks.ESTIMATORS

def run(arguments, die_at=0):
    def counted(function):
        def wrapper(*given, **options):
            moment()
            result = function(*given, **options)
            moment()
            return result
        return wrapper
    count = [0]
    def moment():
        count[0] += 1
        if count[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if not child:
        os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "link"):
            setattr(os, name, counted(getattr(os, name)))
        sys.argv = ["recurra", *arguments]
        try:
            cli.main()
        finally:
            Path("count").write_text(str(count[0]))
    return os.waitpid(child, 0)[1]

seed, overwrite, cases, *arguments = sys.argv[1:]
options = ["--overwrite"] if overwrite == "yes" else []

def result():
    return Path("m/model.safetensors").read_bytes()

def prepare():
    if overwrite == "yes":
        assert run([*arguments, "--overwrite", "--cell", "gru"]) == 0
        return result()
    os.system("rm -rf m m.training")

prepare()
assert run([*arguments, *options]) == 0, Path("log").read_text()
moments, wanted = int(Path("count").read_text()), result()
assert moments > 80, moments
drawn = random.Random(int(seed))
# half of them in the last third, where the model is written and the run is removed
chosen = [drawn.randint(1 if i % 2 else moments * 2 // 3, moments) for i in range(int(cases))]
for moment in chosen:
    older = prepare()
    killed = os.WIFSIGNALED(run([*arguments, *options], moment))
    recurra._util.atomic.tidy(Path.cwd())  # as `load` does
    if overwrite == "yes":
        assert result() in (older, wanted), moment
    status = run([*arguments, *options, "--resume"])
    assert status == 0, (moment, Path("log").read_text())
    if result() != wanted:  # killed before the run had a folder: the old model counts as finished
        assert overwrite == "yes" and result() == older and "is finished" in Path("log").read_text(), moment
        assert moment < 12, moment
    left = sorted(set(os.listdir()) - {"log", "count"})
    assert left == ["m", "r.csv"], (moment, left)
    print(moment, killed, flush=True)
"""


@pytest.mark.parametrize("overwrite", ["no", "yes"])
def test_killed_at_any_operation_on_files(tmp_path, overwrite):
    rows = [f"{word} film {i},{label}" for i in range(20) for word, label in (("good", 1), ("bad", 0))]
    (tmp_path / "r.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    command = "fit classify r.csv --input text --target label --hidden-size 4 --embedding-size 4 --batch-size 16"
    command += " --epochs 2 --checkpoint-minutes 0 --out m"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, "1", overwrite, "12", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True") > 9, done.stdout  # that were really killed
