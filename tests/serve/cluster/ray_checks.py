"""Program of the tests of the cluster: runs alone in a network namespace with the loopback interface only."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import serve
from websockets.sync.client import connect

import recurra
from recurra.serve import Client, ServerError, Session, Settings, ray_app

MODEL, CHECK, FOLDER = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
URL = "http://127.0.0.1:8000"
SESSIONS, STEPS = 8, 12
LONG = Settings(grace=100)
"""On a busy machine, a new replica takes half a minute to start. The last replica of the old ones waits for it."""


def start(replicas: int, settings: Settings) -> None:
    """Deploys the application and waits until it answers."""
    options = {"ray_actor_options": {"num_cpus": 0.1}, "health_check_period_s": 1.0, "health_check_timeout_s": 5.0}
    serve.run(ray_app({"sensor": MODEL}, settings, replicas=replicas, **options), blocking=False)


def sequences() -> list[np.ndarray]:
    """Random sequences."""
    random = np.random.default_rng(0)
    return [random.normal(size=(STEPS, 2)) for _ in range(SESSIONS)]


class Streams:
    """Sessions over several connections, and the answers to their steps.

    Args:
        prefix: begin of the names of the sessions.
    """

    def __init__(self, prefix: str = "s") -> None:
        self.rows, self.names = sequences(), [f"{prefix}{number}" for number in range(SESSIONS)]
        self.clients = [Client(URL, repeats=12) for _ in range(4)]
        for number, name in enumerate(self.names):
            self.clients[number % 4].session("sensor", name)
        self.answers: list[list[Any]] = [[] for _ in self.rows]

    def step(self, begin: int, end: int) -> None:
        """Sends steps; each over another connection than the one before."""
        for time_step in range(begin, end):
            for number in range(SESSIONS):
                session = Session(self.clients[(number + time_step) % 4], "sensor", self.names[number], time_step)
                answer = session.step(self.rows[number][time_step : time_step + 1])
                self.answers[number].append(answer["output"])

    def check(self) -> None:
        """Compares the answers with those of the model in this process, bit by bit."""
        model = recurra.load(MODEL)
        service = model.service()
        stepper = service.stepper()
        for rows, answers in zip(self.rows, self.answers, strict=True):
            for count, found in enumerate(answers, 1):
                item = stepper.parse(rows[:count].tolist())
                advanced = stepper.advance(stepper.start(1), [""], [item])
                states = {name: tensor[0] for name, tensor in advanced.states.items()}
                assert stepper.answer(advanced.outputs[0], states) == found, (count, found)

    def delete(self) -> None:
        """Deletes the sessions."""
        for name in self.names:
            self.clients[0].session("sensor", name).delete()


def replicas() -> list[str]:
    """Names of the actors of the replicas."""
    names = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    return sorted(name for name in names if "#recurra#" in name)


def kill(name: str, namespace: str = "serve") -> None:
    """Kills the process of an actor."""
    actor = ray.get_actor(name, namespace=namespace)
    pid = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
    os.kill(pid, signal.SIGKILL)


def removed() -> dict[str, Any]:
    """The directory is killed, see `restarted`. Then a replica is removed while steps arrive and a socket is open."""
    start(2, LONG)
    restarted()
    streams = Streams()
    streams.step(0, 6)
    before = len(replicas())
    with connect("ws://127.0.0.1:8000/v1/models/sensor/stream") as socket, ThreadPoolExecutor(1) as pool:
        socket.send(json.dumps({"open": {"session": "on-a-socket"}}))
        opened = json.loads(socket.recv())
        socket.send(json.dumps({"handle": opened["opened"], "inputs": streams.rows[0][:3].tolist(), "seq": 0}))
        assert json.loads(socket.recv())["steps"] == 3
        running = pool.submit(streams.step, 6, STEPS)
        begun = time.monotonic()
        start(1, LONG)
        wait(lambda: len(replicas()) == 1, LONG.grace)
        seconds = time.monotonic() - begun
        running.result()
    streams.check()
    session = streams.clients[0].session("sensor", "on-a-socket")
    assert session.seq == 1
    answer = session.step(streams.rows[0][3:])["output"]
    assert answer == streams.answers[0][-1]
    session.delete()  # else the last replica waits for another one
    streams.delete()
    return {"before": before, "after": len(replicas()), "seconds": seconds, "steps": sum(map(len, streams.answers))}


def restarted() -> None:
    """The directory is killed while there are sessions: the new one learns them from the replicas."""
    streams = Streams("r")
    streams.step(0, 6)
    kill("recurra-directory-1-default", "recurra")
    streams.step(6, STEPS)
    streams.check()
    new = streams.clients[0].session("sensor", "new")
    new.step(streams.rows[0])
    new.delete()
    streams.delete()


def killed() -> dict[str, Any]:
    """A replica without state folder is killed: its sessions end with 410, the others continue."""
    start(2, Settings(grace=5))
    streams = Streams()
    streams.step(0, 6)
    kill(replicas()[0])
    time.sleep(6)
    ended, continued = [], []
    for number in range(SESSIONS):
        session = Session(streams.clients[0], "sensor", f"s{number}", 6)
        try:
            continued.append(session.step(streams.rows[number][6:])["output"])
        except ServerError as error:
            ended.append((error.status, error.details["reason"]))
    wait(lambda: len(replicas()) == 2)
    return {"ended": ended, "continued": len(continued)}


def kept() -> dict[str, Any]:
    """A replica with a state folder is killed: all sessions continue in its replacement."""
    start(2, Settings(grace=5, state_dir=FOLDER / "states"))
    streams = Streams()
    streams.step(0, 6)
    kill(replicas()[0])
    streams.step(6, STEPS)
    streams.check()
    return {"steps": sum(map(len, streams.answers)), "folders": len(list((FOLDER / "states").iterdir()))}


def wait(condition: Any, seconds: float = 40.0) -> None:
    """Waits until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.2)


CHECKS = {"removed": removed, "killed": killed, "kept": kept}
ray.init(
    num_cpus=2,
    include_dashboard=False,
    object_store_memory=80 * 2**20,
    log_to_driver=False,
    _temp_dir=str(FOLDER / "ray"),
)
try:
    serve.start(http_options={"host": "127.0.0.1", "port": 8000})
    (FOLDER / "found.json").write_text(json.dumps(CHECKS[CHECK]()))
finally:
    serve.shutdown()
    ray.shutdown()
