"""10,000 random requests to `recurra serve`: no status 500, no traceback, no hang, bounded memory, exact answers after.

A server with two workers gets a tenth of the requests. `RECURRA_FUZZ_SEED` chooses the requests, and
`RECURRA_FUZZ_SHARE` the share of two workers.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import pytest
from fuzz_inputs import body, infer_request, raw_request, socket_message, spoiled
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from running import Serving, read_all
from serving.models import model
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.slow

Connection = http.client.HTTPConnection
SEED = int(os.environ.get("RECURRA_FUZZ_SEED", "0"))
KINDS = ("texts", "numbers", "running text", "tags", "translations", "blanks", "speech", "table")
BOUND = 20.0
"""Longest time for an answer in seconds, on a busy machine."""
MEMORY = 256 << 20
"""Most further bytes of memory of the server after all requests."""
LEAST = {
    "test_requests_from_the_description": 300,
    "test_random_bodies": 2500,
    "test_raw_bytes": 2400,
    "test_life_of_sessions": 2000,
    "test_kserve": 1400,
    "test_sockets": 2000,
}
"""Requests of each test."""
SHARES = {1: 1.0, 2: float(os.environ.get("RECURRA_FUZZ_SHARE", "0.1"))}
"""Share of the requests by the number of workers."""
CHANGE = 0.3
"""Share of requests on a new connection, which either of two workers may get."""
ROWS = [[0.5, -1.0], [0.25, 2.0]]


class Target:
    """The server that gets the requests."""

    def __init__(self, serving: Serving, sensor: Any, workers: int) -> None:
        self.serving, self.sensor, self.statuses, self.count = serving, sensor, Counter(), 0
        self.workers, self._processes = workers, serving.workers()
        assert len(self._processes) == (workers if workers > 1 else 0)
        self.connection = Connection(*serving.address, timeout=BOUND)  # opened again when the server closes it
        self.used, self._changes = 0.0, self.random("connections")
        self.check()
        self.before = serving.memory()

    def random(self, name: str) -> np.random.Generator:
        """Numbers for one test."""
        return np.random.default_rng([SEED, *name.encode()])

    def part(self, requests: int) -> int:
        """Number of requests of this server, if one process gets the given number."""
        return math.ceil(requests * SHARES[self.workers])

    def post(self, connection: Connection, path: str, data: bytes, **headers: str) -> tuple[int, bytes]:
        """Sends a request and returns status and body."""
        return self.send(connection, "POST", path, data, {"content-type": "application/json", **headers})

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        begun = time.monotonic()
        changes = self.workers > 1 and self._changes.random() < CHANGE
        if changes or begun - self.used > 1:  # the server closes connections that are idle for 2 seconds
            connection.close()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        found, self.used = answer.read(), time.monotonic()
        self.note(answer.status, (method, path, data and data[:300], headers), time.monotonic() - begun)
        if answer.status >= 400 and answer.getheader("content-type") == "application/json":
            assert json.loads(found)["error"]["status"] == answer.status
        if answer.status in (429, 503):
            assert answer.getheader("retry-after")
        return answer.status, found

    def note(self, status: int, request: Any, seconds: float = 0.0) -> None:
        """Counts an answer and checks its status and its time."""
        self.count += 1
        self.statuses[status] += 1
        assert status != 500, request
        assert seconds < BOUND, request

    def check(self) -> None:
        """Checks that the server works, answers exactly, and logged no fault."""
        expected = self.sensor.predict_proba([np.array(ROWS)])[0].astype(float).tolist()
        for _ in range(1 if self.workers == 1 else 8):  # each on a new connection
            answer = httpx.post(
                f"{self.serving.url}/v1/models/sensor/predict", json={"inputs": [ROWS], "proba": True}, timeout=BOUND
            )
            assert list(answer.json()["predictions"][0]["probabilities"].values()) == expected
        assert self.serving.process.poll() is None
        assert self.serving.workers() == self._processes  # none was started again
        text = self.serving.text()
        assert "Traceback" not in text, text[text.index("Traceback") - 300 :][:4000]
        assert '"status": 500' not in text
        assert '"status":500' not in text


@pytest.fixture(scope="module")
def models(sensor, tmp_path_factory) -> list[str]:
    """Model folders."""
    folder = tmp_path_factory.mktemp("models")
    for name, one in ({"sensor": sensor} | {kind.replace(" ", "-"): model(kind) for kind in KINDS}).items():
        one.save(folder / name)
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def server(sensor, models, tmp_path_factory, request) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    options = "--timeout 10 --head-timeout 1 --body-timeout 1 --keep-alive 2 --max-sessions 500 --max-live 20 --idle 60"
    options += f" --workers {request.param} --state-dir {folder / 'states'}"
    serving = Serving(folder, models, *options.split())
    target = Target(serving, sensor, request.param)
    yield target
    target.connection.close()
    serving.kill()


@pytest.fixture
def target(server, request) -> Iterator[Target]:
    """The server, which is checked after each test."""
    before = server.count
    yield server
    server.check()
    assert server.count - before >= server.part(LEAST[request.node.originalname])
    assert server.serving.memory() - server.before < MEMORY, server.serving.memory() - server.before
    print(f"{server.count - before} requests, {server.count} so far: {dict(server.statuses)}")


def test_requests_from_the_description(target):
    """schemathesis makes valid and invalid requests from `/openapi.json`."""
    import schemathesis  # takes seconds
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_url(f"{target.serving.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:
        name = re.search(r"/models/([^/]+)/sessions", operation.path)
        if name is not None and name[1] not in ("sensor", "running-text"):  # the sessions of others are no different
            continue
        many = target.part(10 if operation.method.upper() in ("POST", "PUT") else 3)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(SEED)
            @settings(
                max_examples=many,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(operation.as_strategy(generation_mode=mode))
            def call(case: Any) -> None:
                begun = time.monotonic()
                answer = case.call(timeout=BOUND)
                target.note(answer.status_code, (case.method, case.path, case.body), time.monotonic() - begun)

            try:
                call()
            except Unsatisfiable:  # a request without parameters cannot be invalid
                assert mode is GenerationMode.NEGATIVE


EXAMPLES: dict[str, Any] = {
    "sensor": ROWS,
    "texts": "a good film",
    "numbers": ROWS,
    "running-text": "a cat",
    "tags": ["Anna", "sleeps"],
    "translations": "good day",
    "blanks": "the [ ] drinks",
    "speech": {"sound": "UklGRg=="},
    "table": {"date": ["2024-03-01", "2024-03-02"], "load": [1, 2], "rain": [None, 0.5]},
}


def test_random_bodies(target):
    """Values with one place replaced, damaged JSON, wrong types, for all models."""
    random, connection = target.random("bodies"), target.connection
    for name, example in EXAMPLES.items():
        for _ in range(target.part(250)):
            valid = {"inputs": [example], "proba": True}
            target.post(connection, f"/v1/models/{name}/predict", body(random, valid))
    lines = [json.dumps(EXAMPLES["texts"]).encode(), b"5", b"{", b'["a"]', b"", b'"\\ud800"', b"[" * 2000]
    for _ in range(target.part(100)):
        data = b"\n".join(lines[i] for i in random.integers(len(lines), size=random.integers(9)))
        target.post(connection, "/v1/models/texts/predict", data, **{"content-type": "application/x-ndjson"})
    for _ in range(target.part(150)):
        wanted = spoiled(random, {"prompt": "a cat", "length": 5, "temperature": 0.5, "top_k": 3, "seed": 1})
        if isinstance(wanted, dict) and not isinstance(wanted.get("length", 500), str | list | dict | None):
            wanted["length"] = min(wanted.get("length", 500), 20)
        target.post(connection, "/v1/models/running-text/generate", json.dumps(wanted).encode())


def test_raw_bytes(target):
    """Wrong lines, headers, lengths, chunks, pipelined requests and halves of requests on sockets."""
    random = target.random("raw")
    paths = [f"/v1/models/{name}/predict" for name in ("sensor", "texts", "none")] + ["/v1/models", "/openapi.json"]
    paths += ["/v1/models/sensor/sessions", "/v1/models/sensor/stream", "/v2/models/sensor/infer", "/metrics", "/"]
    paths += [f"/v1/models/sensor/sessions/s{number}/{part}" for number in range(4) for part in ("steps", "state")]
    paths += [f"/v1/models/sensor/stream?session=s{number}" for number in range(4)]
    for _ in range(target.part(15)):
        opened = []
        for _ in range(180):
            data = raw_request(random, paths, {"inputs": [ROWS]})
            one = socket.create_connection(target.serving.address, BOUND)
            opened.append((one, data))
            try:
                one.sendall(data)
                if random.random() < 0.5:
                    one.shutdown(socket.SHUT_WR)
            except OSError:  # refused before it was read
                pass
            if random.random() < 0.05:
                one.close()  # the client leaves
        for one, data in opened:
            if one.fileno() < 0:
                continue
            with one:
                found = read_all(one, data)
                status = int(found.split(b" ", 2)[1]) if found.startswith(b"HTTP/1.1 ") else 0
                assert b"HTTP/1.1 500" not in found
                assert b"restarting" not in found
                target.note(status, data)


def test_life_of_sessions(target):
    """Random valid and invalid requests to few sessions. Each valid answer is exact."""
    random, connection, base = target.random("sessions"), target.connection, "/v1/models/sensor/sessions"
    known: dict[str, tuple[int, list[list[float]]]] = {}  # seq and rows by name
    states: list[tuple[bytes, int, list[list[float]]]] = []
    for _ in range(target.part(2500)):
        name, kind = f"s{random.integers(8)}", random.integers(12)
        url, (seq, rows) = f"{base}/{name}", known.get(name, (0, []))
        if kind < 2:
            status, _ = target.post(connection, base, json.dumps({"session": name}).encode())
            assert status == (409 if name in known else 201)
            known.setdefault(name, (0, []))
        elif kind < 7:
            new = random.normal(size=(int(random.integers(4)), 2)).tolist()
            status, found = target.post(connection, f"{url}/steps", json.dumps({"inputs": new, "seq": seq}).encode())
            assert status == (200 if name in known else status)
            if name in known:
                known[name] = (seq + 1, rows + new)
                whole = np.array(rows + new).reshape(-1, 2)
                expected = target.sensor.predict_proba([whole])[0].astype(float).tolist()
                assert list(json.loads(found)["output"]["probabilities"].values()) == expected
        elif kind == 7:
            wrong = {"inputs": [[1, 2]], "seq": int(random.choice([seq + 1, seq + 7, max(0, seq - 2)]))}
            status, _ = target.post(connection, f"{url}/steps", json.dumps(wrong).encode())
            assert status in (404, 409, 410) or wrong["seq"] in (seq, seq - 1)
            if status == 200 and wrong["seq"] == seq:
                known[name] = (seq + 1, [*rows, [1, 2]])
        elif kind == 8:
            data = body(random, {"inputs": [[1, 2]], "seq": "0"})
            status, _ = target.post(connection, f"{url}/steps", data)
            if status == 200:  # a valid one by chance
                target.send(connection, "DELETE", url, None, {})
                known.pop(name, None)
        elif kind == 9:
            status, _ = target.send(connection, "DELETE", url, None, {})
            assert status == (204 if name in known else status)
            known.pop(name, None)
        elif kind == 10:
            status, found = target.send(connection, "GET", f"{url}/state", None, {})
            assert status == (200 if name in known else status)
            if status == 200:
                states.append((found, seq, rows))
            status, found = target.send(connection, "GET", url, None, {})
            if status == 200:
                assert (json.loads(found)["seq"], json.loads(found)["steps"]) == (seq, len(rows))
        elif states:
            data, seq, rows = states[random.integers(len(states))]
            if random.random() < 0.5:
                place = int(random.integers(len(data)))
                data = data[:place] + random.bytes(3) + data[place + int(random.integers(5)) :]
            status, _ = target.send(connection, "PUT", f"{url}/state", data, {})
            if status == 200 and data in [one for one, *_ in states]:
                known[name] = (seq, rows)
            elif status == 200:  # other numbers
                target.send(connection, "DELETE", url, None, {})
                known.pop(name, None)
    for name, (seq, rows) in known.items():
        with connect(
            f"ws{target.serving.url[4:]}/v1/models/sensor/stream?session={name}", open_timeout=BOUND
        ) as opened:
            opened.send(json.dumps({"session": name, "inputs": ROWS, "seq": seq}))
            found = json.loads(opened.recv(BOUND))
        expected = target.sensor.predict_proba([np.array(rows + ROWS)])[0].astype(float).tolist()
        assert list(found["output"]["probabilities"].values()) == expected, found


def test_kserve(target):
    random, connection = target.random("kserve"), target.connection
    for name, features in [("sensor", 2), ("texts", 1), ("table", 1), ("tags", 1)]:
        for _ in range(target.part(350)):
            data, headers = infer_request(random, features)
            target.send(connection, "POST", f"/v2/models/{name}/infer", data, headers)
        for path in ("", "/ready"):
            assert target.send(connection, "GET", f"/v2/models/{name}{path}", None, {})[0] == 200


def test_sockets(target):
    """Text, JSON, records and fragments. After each message the socket answers, or it is closed with a code."""
    random, opened, codes = target.random("sockets"), None, set()
    with ExitStack() as stack:
        for number in range(target.part(2200)):
            if opened is None:
                name, features = [("sensor", 2), ("running-text", 1)][random.integers(2)]
                address = f"ws{target.serving.url[4:]}/v1/models/{name}/stream"
                if random.random() < 0.5:  # may be a socket of the other worker
                    address += f"?session=f{random.integers(20)}"
                opened = stack.enter_context(connect(address, open_timeout=BOUND))
            try:
                opened.send(socket_message(random, features))
                target.count += 1
                if random.random() < 0.05:
                    assert opened.ping().wait(BOUND)
                if random.random() < 0.02:
                    opened.close(int(random.choice([1000, 1001, 3000, 4999])))
                    opened = None
                    continue
                opened.send(json.dumps({"ref": f"sentinel {number}"}))
                while True:
                    answer = opened.recv(BOUND)
                    if isinstance(answer, str) and json.loads(answer).get("ref") == f"sentinel {number}":
                        break
                    assert not isinstance(answer, str) or json.loads(answer).get("error", {}).get("status") != 500
            except ConnectionClosed as closed:
                codes.add(closed.rcvd.code if closed.rcvd else 1006)
                opened = None
    assert not codes & {1006, 1011}, codes


def test_the_number_of_requests():
    """All tests of this file together."""
    assert sum(LEAST.values()) >= 10_000
    assert all(name in globals() for name in LEAST)
