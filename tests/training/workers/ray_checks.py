"""Program of the tests of training on Ray: runs alone in a network namespace with the loopback interface only."""

from __future__ import annotations

import csv
import json
import os
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
import ray
import torch

import recurra
from machines import machines, processes_of
from recurra.errors import DataError, EngineError
from recurra.training.checkpoints import step_of
from recurra.training.workers.options import Workers

CHECK, FOLDER, KILLS, NODES = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
WORDS = ("good", "bad", "film", "very", "plot", "영화", "재미", "actor", "scene", "dull")
LONGEST = 600.0
"""Seconds to wait for anything."""


def texts(count: int) -> tuple[list[str], list[str]]:
    """Random texts and their labels."""
    random = np.random.default_rng(0)
    some = [" ".join(random.choice(WORDS, random.integers(1, 21))) for _ in range(count)]
    return some, ["pos" if text.count("good") >= text.count("bad") else "neg" for text in some]


def classifier(epochs: int) -> Any:
    """A small classifier whose run has a few steps per epoch."""
    return recurra.SequenceClassifier(
        hidden_size=16, epochs=epochs, random_state=0, verbose=0, precision="float32", n_iter_no_change=None
    )


def found(model: Any) -> dict[str, Any]:
    """The losses and the metrics of a run."""
    return {"losses": [row["loss"] for row in model.history_], "metrics": model.metrics_["valid"]}


def local() -> dict[str, Any]:
    """Two workers on this machine."""
    alone, together = classifier(8).fit(*texts(640)), classifier(8).set_params(logger=f"csv={FOLDER}")
    together.fit(*texts(640), workers=2)
    (file,) = FOLDER.rglob("metrics.csv")
    rows = [row for row in csv.DictReader(file.read_text().splitlines()) if row["epoch/loss"]]
    return {
        "alone": found(alone),
        "together": found(together),
        "logged": [float(row["epoch/loss"]) for row in rows],
        "speeds": [float(row[f"workers/{rank}/tokens_per_second"]) for row in rows for rank in range(2)],
        "final": file.read_text().splitlines()[-1],
        "connected": ray.is_initialized(),
    }


def command() -> dict[str, Any]:
    """The command line: a run with two workers, which Ctrl-C ends and one process continues."""
    os.chdir(FOLDER)  # relative names, as users write them
    os.environ["RECURRA_LARGE_MB"] = "0"  # the workers read the data in pieces
    Path("reviews").mkdir()
    columns = dict(zip(("text", "label"), texts(640), strict=True))
    for i in range(16):  # more than one pool: the workers encode pieces too
        pq.write_table(pa.table({name: rows[i::16] for name, rows in columns.items()}), f"reviews/{i}.parquet")
    options = ["--input", "text", "--target", "label", "--hidden-size", "16", "--epochs", "600", "--patience", "600"]
    options += ["--checkpoint-minutes", "0"]
    fit = [sys.executable, "-m", "recurra", "fit", "classify", "reviews", *options, "--out", "made"]
    run = subprocess.Popen([*fit, "--workers", "2", "--threads-per-worker", "1"], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + LONGEST
    last = Path("made.training", "last.ckpt")
    while not step_of(last) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=LONGEST)[1]
    step = step_of(last)
    again = subprocess.run([*fit, "--resume"], stderr=subprocess.PIPE, text=True)
    return {"code": run.returncode, "said": said, "step": step, "resumed": again.returncode, "end": again.stderr}


def errors() -> dict[str, Any]:
    """What a user sees if something is wrong."""
    answers = {}
    try:
        classifier(1).fit(*texts(20), workers=Workers(2, 2, "127.0.0.1:1"), checkpoint=FOLDER / "none")
    except EngineError as error:
        answers["address"] = str(error)
    values = [np.full((3, 1), float(i)) for i in range(40)]
    model = recurra.SequenceRegressor(hidden_size=4, epochs=3, verbose=0, learning_rate=1e30, random_state=0)
    try:
        model.fit(values, list(range(40)), workers=2)
    except DataError as error:
        answers["loss"] = str(error)
    return answers


def killed() -> dict[str, Any]:
    """Workers and machines are killed during a run on two machines."""
    epochs = 100 + 50 * (KILLS + NODES)
    alone = classifier(epochs).fit(*texts(640))
    with machines(2) as cluster:
        run = Run(epochs, Workers(2, 2, cluster.address))
        for _ in range(KILLS):
            run.wait_for_progress()
            os.kill(processes_of("RayTrainWorker")[-1], signal.SIGKILL)
        for _ in range(NODES):
            run.wait_for_progress()
            node = cluster.worker_nodes.copy().pop()
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1)
        together = run.finish()
    return {"alone": found(alone), "together": found(together)}


def added() -> dict[str, Any]:
    """A second machine arrives during the run."""
    with machines(1) as cluster:
        run = Run(100_000, Workers(1, 2, cluster.address))  # ends before it is finished
        run.wait_for_progress()
        before = len(processes_of("RayTrainWorker"))
        cluster.add_node(num_cpus=1)
        run.wait(lambda: len(processes_of("RayTrainWorker")) == 2)
        run.wait_for_progress()
        after = len(processes_of("RayTrainWorker"))
        run.stop()
    return {"before": before, "after": after}


class Run:
    """A run in another process, whose checkpoint tells its progress."""

    def __init__(self, epochs: int, workers: Workers) -> None:
        self.folder, self.step = FOLDER / "run", 0
        program = [sys.executable, __file__, "fit", str(FOLDER), str(epochs), "0", str(workers), workers.cluster]
        self.process = subprocess.Popen(program)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Waits until something happens."""
        end = time.monotonic() + LONGEST
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the run ended with {self.process.poll()} at step {self.step}")
            time.sleep(0.2)

    def wait_for_progress(self) -> None:
        """Waits until workers have made steps since the last call."""
        before = self.step
        self.wait(lambda: self._step() > before and bool(processes_of("RayTrainWorker")))

    def _step(self) -> int:
        self.step = max(self.step, step_of(self.folder / "last.ckpt"))
        return self.step

    def finish(self) -> Any:
        """Waits for the end of the run; returns the model."""
        if self.process.wait(LONGEST):
            raise RuntimeError("the run failed")
        return recurra.load(FOLDER / "model")

    def stop(self) -> None:
        """Ends the run."""
        self.process.terminate()
        self.process.wait(60)


def fit() -> dict[str, Any]:
    """Trains and saves the model; the program of `Run`."""
    options = Workers.of(sys.argv[5], sys.argv[6], 1)
    model = classifier(KILLS).fit(*texts(640), workers=options, checkpoint=FOLDER / "run", checkpoint_minutes=0.01)
    model.save(FOLDER / "model")
    return {}


if __name__ == "__main__":
    torch.set_num_threads(2)
    answer = globals()[CHECK]()
    (FOLDER / f"{CHECK}.json").write_text(json.dumps(answer))
