"""`recurra serve` against servers that are written with LitServe, FastAPI, ONNX Runtime and torch.

Usage: python benchmarks/serving.py [--models FOLDER] [--rounds 3] [--seconds 5] [--threads 1] [--out FILE]

Two workloads: classification of Korean reviews as JSON, one text per request and 64 connections; and steps of 64
sessions of an LSTM with 128 units over binary WebSocket. The peers are in `serving_peers.py`, and the load generator,
which runs on the same cores, is in `serving_load.py`. Each server is a process of its own. The servers take turns, each
round in another order, and the figures are medians of the rounds. `uvicorn` is an application that returns a
fixed answer: the limit of every server in Python that runs on uvicorn. `nothing` is a server that does no work: the
limit of the load generator. `CPU` is the processor time of a server per answer, which depends least on what else the
machine does. The first answers of each server are compared with the model's.

The peers need the extra `bench`: pip install "recurra[bench,serve]". The models are trained at the first call, on the
sample of NSMC that comes with the package, and kept in FOLDER.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import recurra
from recurra.bench import processes

FOLDER = Path(__file__).parent
SAMPLE = FOLDER.parent / "src" / "recurra" / "data" / "samples" / "nsmc" / "train.tsv"
FEATURES, SESSIONS, STEPS = 8, 64, 64
START_SECONDS = 120
TOLERANCE = 1e-5


class Contender(NamedTuple):
    """A server and its clients.

    Attributes:
        name: `recurra` or a name of `serving_peers.py`.
        protocol: of the load generator.
        path: of the requests.
        connections: number of connections.
        sessions: sessions per connection.
    """

    name: str
    protocol: str
    path: str
    connections: int = 64
    sessions: int = 1

    @property
    def label(self) -> str:
        """Row of the table."""
        return f"{self.name}, {self.connections} × {self.sessions}" if self.sessions > 1 else self.name


class Workload(NamedTuple):
    """Contenders that do the same work; the first is ours.

    Attributes:
        model: name of the model.
        unit: what is counted.
        goals: least answers per second, largest p99 in milliseconds, and the least ratio to a peer.
        contenders: the servers.
    """

    model: str
    unit: str
    goals: tuple[float, float, float]
    contenders: tuple[Contender, ...]


WORKLOADS = (
    Workload(
        "nsmc",
        "requests/s",
        (2_500, 40, 3),
        (
            Contender("recurra", "http", "/v1/models/nsmc/predict"),
            Contender("litserve", "http", "/predict"),
            Contender("fastapi-onnx", "http", "/predict"),
            Contender("fastapi-onnx-batched", "http", "/predict"),
            Contender("uvicorn", "http", "/"),
            Contender("nothing", "http", "/"),
        ),
    ),
    Workload(
        "steps",
        "steps/s",
        (15_000, 10, 5),
        (
            Contender("recurra", "records", "/v1/models/steps/stream"),
            Contender("recurra", "records", "/v1/models/steps/stream", 4, 16),
            Contender("fastapi-torch", "raw", "/stream"),
            Contender("fastapi-torch-batched", "raw", "/stream"),
            Contender("nothing", "records", "/", 4, 16),
            Contender("nothing", "raw", "/"),
        ),
    ),
)


def train(folder: Path) -> None:
    """Trains the models that are missing in a folder."""
    shape: dict[str, Any] = {"hidden_size": 128, "num_layers": 1, "bidirectional": False, "epochs": 1, "verbose": 0}
    if not (folder / "nsmc").exists():
        rows = [line.split("\t") for line in SAMPLE.read_text(encoding="utf-8").splitlines()[1:]]
        model = recurra.SequenceClassifier(pooling="attention", random_state=0, **shape)
        model.fit([row[-2] for row in rows], [row[-1] for row in rows]).save(folder / "nsmc")
    if not (folder / "steps").exists():
        draw = np.random.default_rng(0)
        series = draw.normal(size=(256, 16, FEATURES)).astype(np.float32)
        model = recurra.SequenceClassifier(pooling="last", random_state=0, **shape)
        model.fit(series, (series.sum((1, 2)) > 0).astype(int)).save(folder / "steps")


def inputs(workload: Workload, folder: Path, models: Path) -> tuple[Path, np.ndarray]:
    """Writes the file for the load generator; returns its path and the model's first answers."""
    model: Any = recurra.load(models / workload.model)
    if workload.model == "nsmc":
        rows = [line.split("\t") for line in SAMPLE.read_text(encoding="utf-8").splitlines()[1:]]
        texts = [row[-2] for row in rows if row[-2].strip()]
        path = folder / "texts.txt"
        path.write_text("\n".join(texts), encoding="utf-8")
        return path, model.predict_proba(texts[:STEPS])
    steps = np.random.default_rng(1).normal(size=(SESSIONS, STEPS, FEATURES)).astype(np.float32)
    path = folder / "steps.npy"
    np.save(path, steps)
    return path, model.predict_proba([steps[0, : i + 1] for i in range(STEPS)])


@contextmanager
def served(contender: Contender, model: Path, threads: int) -> Iterator[tuple[int, int]]:
    """Starts a server in its own session. Yields its process and its port when it answers; ends the whole session."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if contender.name == "recurra":
        command = ["-m", "recurra", "serve", f"{model.name}={model}", "--port", str(port)]
    else:
        command = [str(FOLDER / "serving_peers.py"), contender.name, "--model", str(model)]
        command += ["--port", str(port), "--threads", str(threads)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=processes.environment(threads),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait(contender, process, port, output)
            yield process.pid, port
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """Ends a process and those that it started."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def wait(contender: Contender, process: subprocess.Popen, port: int, output: Any) -> None:
    """Waits until a server answers."""
    deadline = time.monotonic() + START_SECONDS
    while not answers(contender, port):
        if process.poll() is not None or time.monotonic() > deadline:
            output.seek(0)
            sys.exit(f"{contender.name} does not answer:\n{output.read()[-2000:]}")
        time.sleep(0.1)


def answers(contender: Contender, port: int) -> bool:
    """Returns whether a server answers a request; for sockets, whether it accepts a connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.connect()
        if contender.protocol != "http":
            return True
        body = json.dumps({"inputs": ["좋은 영화"]})
        connection.request("POST", contender.path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def measure(contender: Contender, model: Path, file: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Starts a server, measures it and stops it."""
    with served(contender, model, args.threads) as (session, port):
        before = cpu_seconds(session)
        load = [FOLDER / "serving_load.py", contender.protocol, port, contender.path, file]
        load += ["--connections", contender.connections, "--sessions", contender.sessions]
        found = processes.script(*load, "--seconds", args.seconds, "--warm-up", min(1, args.seconds), threads=1)
        found["cpu"] = (cpu_seconds(session) - before) / max(found["answers"], 1) * 1e6
    if found["errors"]:
        sys.exit(f"{contender.label}: {found['errors']} errors, such as {found['message']}")
    return found


def cpu_seconds(session: int) -> float:
    """Returns the processor time of all processes of a session; not a number where the system has no /proc."""
    ticks = 0 if Path("/proc/self/stat").exists() else math.nan
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def difference(contender: Contender, first: list[Any], expected: np.ndarray) -> float:
    """Returns the largest difference between the first answers of a server and those of the model."""
    if contender.protocol == "http":
        found = [answer["predictions"][0]["probabilities"] for answer in first]
        first = [list(f.values()) if isinstance(f, dict) else f for f in found]
    return float(np.abs(np.array(first) - expected[: len(first)]).max())


def run(workload: Workload, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures the contenders in turns; returns a row of figures for each."""
    contenders = [c for c in workload.contenders if not args.only or c.name in args.only]
    found: dict[Contender, list[dict[str, Any]]] = {contender: [] for contender in contenders}
    with tempfile.TemporaryDirectory() as folder:
        file, expected = inputs(workload, Path(folder), args.models)
        for contender in processes.turns(contenders, args.rounds):
            one = measure(contender, args.models / workload.model, file, args)
            one["difference"] = None
            if contender.name not in ("uvicorn", "nothing"):
                one["difference"] = difference(contender, one["first"], expected)
                if one["difference"] > TOLERANCE:
                    sys.exit(f"{contender.label}: its answers differ from the model's by {one['difference']:.1e}")
            found[contender].append(one)
            print(f"{contender.label}: {one['rate']:,.0f} {workload.unit}", file=sys.stderr, flush=True)
    rows = []
    for contender, runs in found.items():
        row = {name: statistics.median(one[name] for one in runs) for name in ("rate", "p50", "p99", "cpu")}
        ours = [one["rate"] for one in found.get(workload.contenders[0], [])]
        ratio = statistics.median(mine / one["rate"] for mine, one in zip(ours, runs, strict=True)) if ours else None
        differences = [one["difference"] for one in runs if one["difference"] is not None]
        rows.append({"server": contender.label, **row, "ratio": ratio, "difference": max(differences, default=None)})
    return rows


def table(workload: Workload, rows: list[dict[str, Any]]) -> None:
    """Prints the rows in Markdown."""
    rate, p99, ratio = workload.goals
    print(f"\n{workload.model}: the goals are {rate:,.0f} {workload.unit}, p99 ≤ {p99} ms and {ratio} × each peer\n")
    print(f"| server | {workload.unit} | p50, ms | p99, ms | CPU, µs | recurra / server | largest difference |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        apart = "–" if row["difference"] is None else f"{row['difference']:.1e}"
        figures = f"{row['rate']:,.0f} | {row['p50']:.2f} | {row['p99']:.2f} | {row['cpu']:.0f}"
        print(f"| {row['server']} | {figures} | {ratio} | {apart} |")


def main() -> None:
    """Prints two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=FOLDER / "models", help="folder of the trained models")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="duration of one measurement")
    parser.add_argument("--threads", type=int, default=1, help="threads of each server")
    parser.add_argument("--workload", choices=[w.model for w in WORKLOADS], help="only this one")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[], help="names of servers")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    args = parser.parse_args()
    args.models.mkdir(exist_ok=True, parents=True)
    train(args.models)
    print(f"{args.threads} threads, {args.rounds} rounds of {args.seconds:g} s", flush=True)
    found = {}
    for workload in WORKLOADS:
        if args.workload in (None, workload.model):
            found[workload.model] = run(workload, args)
            table(workload, found[workload.model])
    if args.out:
        figures = {"threads": args.threads, "rounds": args.rounds, "seconds": args.seconds, "workloads": found}
        args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
