"""Program of the tests of predictions on Ray: runs alone in a network namespace with the loopback interface only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import recurra
from machines import machines, processes_of

CHECK, FOLDER = sys.argv[1], Path(sys.argv[2])
WORDS = ("good", "bad", "film", "very", "plot", "영화", "재미", "actor", "scene", "dull")
LONGEST = 300.0
"""Seconds to wait for anything."""
GROUPS, ROWS = 16, 1500
COLUMNS = ("--input", "text")
BOTH = (*COLUMNS, "--target", "label")

FIRST = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [str(Path(__file__).parent)]) if name == "recurra" else None


sys.meta_path.insert(0, Finder)
"""
"""Lets a folder of PYTHONPATH precede packages that are installed with `pip install --editable`."""


def prepare() -> None:
    """Writes a model and a table of 16 row groups in two files."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 31))) for _ in range(GROUPS * ROWS)]
    labels = ["pos" if text.count("good") >= text.count("bad") else "neg" for text in texts]
    model = recurra.SequenceClassifier(hidden_size=16, epochs=1, random_state=0, verbose=0)
    model.fit(texts[:500], labels[:500]).save(FOLDER / "model")
    (FOLDER / "data").mkdir()
    half = len(texts) // 2
    for name, rows in (("a", slice(half)), ("b", slice(half, None))):
        table = pa.table({"text": texts[rows], "label": labels[rows]})
        pq.write_table(table, FOLDER / "data" / f"{name}.parquet", row_group_size=ROWS)


def run(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Starts a command."""
    command = [sys.executable, "-m", "recurra", *words]
    return subprocess.Popen(command, cwd=FOLDER, stdout=-1, stderr=-1, text=True, **options)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Waits for the end of a command."""
    out, said = process.communicate(timeout=LONGEST)
    return {"code": process.returncode, "out": out, "said": said}


def wait(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Waits until something happens while a command runs."""
    end = time.monotonic() + LONGEST
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the command ended too early: {ended(process)}")
        time.sleep(0.02)


def files(name: str) -> dict[str, int]:
    """Names and times of the files of predictions."""
    return {path.name: path.stat().st_mtime_ns for path in (FOLDER / name).glob("part-*")}


def rows(name: str) -> pa.Table:
    """All predictions."""
    return pa.concat_tables([pq.read_table(FOLDER / name / file) for file in sorted(files(name))])


def predict() -> dict[str, Any]:
    """A worker is killed, then the command itself; one process continues. Also an evaluation."""
    prepare()
    answer: dict[str, Any] = {
        "alone": ended(run("predict", "model", "data", *COLUMNS, "--proba", "--out", "alone.parquet"))
    }
    alone = pq.read_table(FOLDER / "alone.parquet")
    with machines(2) as cluster:
        on = ["--cluster", cluster.address, "--threads-per-worker", "1", "--workers"]
        first = run("predict", "model", "data", *COLUMNS, "--proba", "--out", "first", *on, "2")
        wait(lambda: len(files("first")) >= 2 and processes_of("MapWorker"), first)
        os.kill(processes_of("MapWorker")[-1], signal.SIGKILL)
        answer["first"] = ended(first)
        answer["equal"] = rows("first").equals(alone)
        second = run("predict", "model", "data", *COLUMNS, "--proba", "--out", "second", *on, "1:2")
        wait(lambda: len(files("second")) >= 4, second)
        second.kill()
        second.wait()
        before = files("second")
        answer["refused"] = ended(run("predict", "model", "data", *COLUMNS, "--proba", "--out", "second"))
        answer["second"] = ended(run("predict", "model", "data", *COLUMNS, "--proba", "--out", "second", "--resume"))
        answer["kept"] = [len(before), sum(files("second")[name] == when for name, when in before.items())]
        answer["equal again"] = rows("second").equals(alone)
        answer["metrics"] = [
            ended(run("evaluate", "model", "data", *BOTH, "--json", *words)) for words in ([], [*on, "2"])
        ]
    return answer


def errors() -> dict[str, Any]:
    """What a user sees if the disk is full, the address is wrong, or a machine has other packages."""
    prepare()
    answer: dict[str, Any] = {}
    full = FOLDER / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(full)], check=True)
    said = ended(run("predict", "model", "data", *COLUMNS, "--proba", "--out", str(full / "out"), "--workers", "2"))
    left = [path.name for path in full.rglob("*") if not path.name.startswith(("part-", "_run", "out"))]
    complete = [pq.read_metadata(path).num_rows for path in (full / "out").glob("part-*")]
    answer["full disk"] = {**said, "left": left, "rows": complete}
    few = pq.read_table(FOLDER / "data" / "a.parquet").slice(0, 300)
    pq.write_table(few, FOLDER / "few.parquet")
    shutil.rmtree(full / "out")
    fit = ["fit", "classify", "few.parquet", *BOTH, "--hidden-size", "128", "--epochs", "3"]
    answer["full checkpoint"] = ended(
        run(*fit, "--out", str(full / "m"), "--workers", "2", "--checkpoint-minutes", "0")
    )
    answer["full checkpoint"]["left"] = [path.name for path in full.iterdir()]
    out = ["--out", "none", "--workers", "1", "--cluster"]
    answer["address"] = ended(run("predict", "model", "data", *COLUMNS, *out, "127.0.0.1:1"))
    with machines(1) as cluster:
        for name, code in (
            ("other version", '__version__ = "0.0.1"\n'),
            ("no package", "raise ModuleNotFoundError(\"No module named 'recurra'\", name='recurra')\n"),
        ):
            fake = FOLDER / name / "recurra"
            fake.mkdir(parents=True)
            (fake / "__init__.py").write_text(code)
            (fake.parent / "sitecustomize.py").write_text(FIRST)
            node = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(fake.parent)})
            command = ["predict", "model", "data", *COLUMNS] if name == "other version" else fit
            answer[name] = ended(run(*command, *out, cluster.address))
            cluster.remove_node(node, allow_graceful=True)
    answer["left"] = (FOLDER / "none").exists()
    return answer


if __name__ == "__main__":
    answer = globals()[CHECK]()
    (FOLDER / f"{CHECK}.json").write_text(json.dumps(answer))
