"""Kill -9 under load, and shutdown under load, of the command `recurra serve`."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from running import Serving, until
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from recurra.tasks import load

HEAD = struct.Struct("<III")
KILLS = 20
PAUSE = 0.003
"""Seconds between two requests of a client, so that the comparison afterwards takes seconds."""
LOST = (httpx.TransportError, ConnectionClosed, WebSocketException, OSError, TimeoutError)


@pytest.fixture(scope="module")
def folder(sensor, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "sensor"
    sensor.save(path)
    return path


class Load:
    """Clients that step sessions, and everything that they were answered.

    Attributes:
        url: address of the server; it changes with each restart.
        answers: the answers by session and seq. A repeated step adds to the same set.
        accepted: the greatest seq that was answered, by session.
    """

    def __init__(self, url: str) -> None:
        self.url, self.stop = url, threading.Event()
        self.answers: dict[tuple[str, int], set[Any]] = defaultdict(set)
        self.accepted: dict[str, int] = {}
        self.lost: list[str] = []

    def rows(self, id: str, seq: int) -> np.ndarray:
        """The steps of a request, the same each time."""
        random = np.random.default_rng([*id.encode(), seq])
        return random.normal(size=(int(random.integers(1, 4)), 2)).astype(np.float32)

    def note(self, id: str, seq: int, answer: Any) -> None:
        self.answers[id, seq].add(answer)
        self.accepted[id] = max(self.accepted.get(id, -1), seq)

    def next(self, id: str, known: int | None) -> int:
        """The seq of the next request. After a restart it repeats the last step, whose answer may not have arrived."""
        accepted = self.accepted.get(id, -1)
        if known is None:
            return accepted + 1
        if known not in (accepted + 1, accepted + 2):
            self.lost.append(f"{id}: the server is at {known}, and {accepted} was answered")
        return max(0, known - 1)

    def retry(self, work, *args: Any) -> None:
        """Runs a client until the end. After an error of the connection it begins again."""
        while not self.stop.is_set():
            try:
                work(*args)
            except LOST:
                time.sleep(0.2)

    def http(self, ids: list[str]) -> None:
        url = f"{self.url}/v1/models/sensor/sessions"
        with httpx.Client(timeout=20, verify=False) as client:  # noqa: S501  (no TLS: its contexts take long)
            for id in ids:
                created = client.post(url, json={"session": id})
                assert created.status_code in (201, 409), created.text
            known = {id: client.get(f"{url}/{id}").json()["seq"] for id in ids}
            while not self.stop.is_set():
                for id in ids:
                    seq = self.next(id, known.pop(id, None))
                    body = {"inputs": self.rows(id, seq).tolist(), "seq": seq}
                    answer = client.post(f"{url}/{id}/steps", json=body)
                    assert answer.status_code == 200, (id, seq, answer.text)
                    found = answer.json()
                    assert found["seq"] == seq
                    self.note(id, seq, tuple(found["output"]["probabilities"].values()))
                    time.sleep(PAUSE)

    def stream(self, ids: list[str]) -> None:
        with connect(f"ws{self.url[4:]}/v1/models/sensor/stream") as socket:
            known = {}
            for id in ids:
                socket.send(json.dumps({"open": {"session": id}}))
                known[id] = json.loads(socket.recv(20))["seq"]
            while not self.stop.is_set():
                seqs = [self.next(id, known.pop(id, None)) for id in ids]
                records = []
                for handle, (id, seq) in enumerate(zip(ids, seqs, strict=True)):
                    values = self.rows(id, seq).reshape(-1)
                    records.append(HEAD.pack(handle, seq, values.size) + values.tobytes())
                socket.send(b"".join(records))
                left = len(ids)
                while left:
                    data, place = socket.recv(20), 0
                    assert isinstance(data, bytes), data
                    while place < len(data):
                        handle, seq, size = HEAD.unpack_from(data, place)
                        place += HEAD.size + 4 * size
                        self.note(ids[handle], seq, data[place - 4 * size : place])
                        left -= 1
                time.sleep(PAUSE)


@pytest.mark.slow
def test_kill_9_under_load_changes_no_answer(folder, tmp_path):
    """Every answer of every session, before and after 20 restarts, equals that of an uninterrupted run."""
    options = ("--state-dir", str(tmp_path / "states"), "--max-live", "20")
    random = np.random.default_rng(0)
    serving = Serving(tmp_path, [str(folder)], *options, forked=True)
    load_ = Load(serving.url)
    ids = [f"{kind}{number}" for kind in "hw" for number in range(16)]
    groups = [ids[begin : begin + 4] for begin in range(0, 16, 4)] + [ids[16:24], ids[24:]]
    with ThreadPoolExecutor(len(groups)) as pool:
        try:
            clients = [
                pool.submit(load_.retry, load_.http if group[0][0] == "h" else load_.stream, group) for group in groups
            ]
            for _ in range(KILLS):
                before = dict(load_.accepted)
                until(lambda: all(load_.accepted.get(id, -1) > before.get(id, -1) for id in ids), 60)  # noqa: B023
                time.sleep(random.uniform(0, 0.3))
                serving.kill()
                serving = Serving(tmp_path, [str(folder)], *options, forked=True)
                load_.url = serving.url
                for client in clients:
                    assert not client.done(), client.result()
            before = dict(load_.accepted)
            until(lambda: all(load_.accepted[id] > before[id] for id in ids), 60)
        finally:
            load_.stop.set()
            for client in clients:
                client.result(30)
            code = serving.stop()
    assert (code, load_.lost) == (0, [])
    assert "Traceback" not in serving.log.read_text()
    check(load_, ids, folder)


def check(load_: Load, ids: list[str], folder: Path) -> None:
    """Compares all answers with an offline run of each sequence."""
    model = load(folder)
    stepper = model.service().stepper()
    states = {id: (stepper.start(1), "") for id in ids}
    counts = {id: load_.accepted[id] + 1 for id in ids}
    assert min(counts.values()) > KILLS
    for seq in range(max(counts.values())):
        mine = [id for id in ids if seq < counts[id]]
        before = {name: torch.cat([states[id][0][name] for id in mine]) for name in stepper.specs}
        items = [stepper.parse_binary(load_.rows(id, seq).reshape(-1)) for id in mine]
        found = stepper.advance(before, [states[id][1] for id in mine], items)
        for i, id in enumerate(mine):
            states[id] = {name: state[i : i + 1] for name, state in found.states.items()}, found.rests[i]
            output = found.outputs[i]
            expected = output.astype("<f4").tobytes() if id[0] == "w" else tuple(output.astype(float).tolist())
            assert load_.answers[id, seq] == {expected}
            if seq == counts[id] - 1:
                whole = np.concatenate([load_.rows(id, one) for one in range(counts[id])])
                assert output.tobytes() == model.predict_proba([whole])[0].tobytes()


# SIGTERM


@pytest.mark.slow
def test_shutdown_under_load_loses_no_accepted_step(folder, tmp_path):
    """Each request gets its complete answer, or a 503, or no connection. After a restart no session lacks a step."""
    options = ("--state-dir", str(tmp_path / "states"))
    ids = [f"{kind}{number}" for kind in "hw" for number in range(8)]
    serving = Serving(tmp_path, [str(folder)], *options, forked=True)
    for turn in range(4):
        load_ = Load(serving.url)
        url = f"{serving.url}/v1/models/sensor"
        broken: list[str] = []
        counts: dict[str, int] = defaultdict(int)

        def http(id: str, url: str = url, load_: Load = load_, broken=broken, counts=counts) -> None:
            with httpx.Client(timeout=20) as client:
                created = client.post(f"{url}/sessions", json={"session": id})
                seq = 0
                if created.status_code == 409:
                    seq = client.get(f"{url}/sessions/{id}").json()["seq"]
                while True:
                    try:
                        rows = load_.rows(id, seq).tolist()
                        answer = client.post(f"{url}/sessions/{id}/steps", json={"inputs": rows, "seq": seq})
                    except (httpx.ConnectError, httpx.ConnectTimeout):
                        return  # nothing was accepted
                    except httpx.TransportError as error:
                        broken.append(f"{id}: {error!r}")
                        return
                    if answer.status_code == 503:
                        assert answer.headers["retry-after"]
                        counts["refused"] += 1
                        return
                    assert answer.status_code == 200, answer.text
                    load_.note(id, seq, tuple(answer.json()["output"]["probabilities"].values()))
                    seq += 1

        def socket(id: str, url: str = url, load_: Load = load_, broken=broken, counts=counts) -> None:
            try:
                with connect(f"ws{url[4:]}/stream") as opened:
                    opened.send(json.dumps({"open": {"session": id}}))
                    seq = json.loads(opened.recv(20))["seq"]
                    while True:
                        values = load_.rows(id, seq).reshape(-1)
                        opened.send(HEAD.pack(0, seq, values.size) + values.tobytes())
                        data = opened.recv(20)
                        assert isinstance(data, bytes)
                        load_.note(id, seq, data[HEAD.size :])
                        seq += 1
            except ConnectionClosed as closed:
                counts["closed"] += 1
                if closed.rcvd is None or closed.rcvd.code != 1001:
                    broken.append(f"{id}: {closed!r}")
            except (InvalidStatus, OSError):
                return

        with ThreadPoolExecutor(16) as pool:
            clients = [pool.submit(http if id[0] == "h" else socket, id) for id in ids]
            until(lambda load_=load_: len(load_.accepted) == 16 and min(load_.accepted.values()) > 3 + turn)  # noqa: B023
            begun = time.monotonic()
            assert serving.stop() == 0
            assert time.monotonic() - begun < 15
            for client in clients:
                client.result(30)
        assert broken == []
        assert counts["closed"] == 8
        assert "Traceback" not in serving.text()
        serving = Serving(tmp_path, [str(folder)], *options, forked=True)
        for id in ids:
            state = httpx.get(f"{serving.url}/v1/models/sensor/sessions/{id}").json()
            assert state["seq"] >= load_.accepted[id] + 1
    assert serving.stop() == 0


@pytest.fixture(scope="module")
def writer_folder(writer, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "writer"
    writer.save(path)
    return path


@pytest.mark.slow
def test_a_stream_of_text_ends_completely_at_a_shutdown(folder, writer_folder, tmp_path):
    """The stream and an idle WebSocket are open when the signal arrives; new work is refused meanwhile."""
    serving = Serving(tmp_path, [str(folder), str(writer_folder)], forked=True)
    url = f"{serving.url}/v1/models"
    wanted = {"prompt": "a cat", "length": 3000, "seed": 1}
    with (
        connect(f"ws{url[4:]}/sensor/stream") as opened,
        httpx.stream("POST", f"{url}/writer/generate", json=wanted, timeout=60) as stream,
    ):
        lines = stream.iter_lines()
        found = [next(lines)]
        serving.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            opened.recv(20)
        assert opened.close_code == 1001
        refused = httpx.post(f"{url}/sensor/predict", json={"inputs": [[[1, 2]]]}, timeout=20)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        found += lines
    texts = [json.loads(line[6:])["text"] for line in found if line.startswith('data: {"text"')]
    assert "event: end" in found
    model = load(writer_folder)
    assert "".join(texts) == "".join(model.stream("a cat", 3000, seed=1))
    assert serving.process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ndjson", "events", "socket"])
def test_50_slow_readers_take_little_memory(folder, writer_folder, tmp_path, kind):
    serving = Serving(tmp_path, [str(folder), str(writer_folder)], "--send-timeout", "3", forked=True)
    readers: list[socket.socket] = []
    try:
        body, path = b"[[1, 2]]\n" * 20_000, "sensor/predict"  # an answer has 60 bytes for each line
        if kind == "events":
            body, path = b'{"length": 100000, "temperature": 0}', "writer/generate"
        media = "application/x-ndjson" if kind == "ndjson" else "application/json"
        for _ in range(3):  # what the first requests allocate in any case
            small = body[:900] if kind == "ndjson" else b'{"length": 9}'
            httpx.post(f"{serving.url}/v1/models/{path}", content=small, headers={"content-type": media}, timeout=30)
        before = serving.memory()
        for _ in range(50):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(20)
            reader.connect(serving.address)
            readers.append(reader)
            if kind == "socket":
                reader.sendall(SHAKE)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += reader.recv(4096)
                reader.sendall(frame(1, b'{"open": {"keep": false}}'))
                one = frame(1, b'{"handle": 0, "inputs": []}' + b" " * 50)
                reader.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    for _ in range(40):
                        reader.sendall(one * 200)
            else:
                head = f"POST /v1/models/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\n"
                reader.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        most, end = 0, time.monotonic() + 8
        while time.monotonic() < end:
            most = max(most, serving.memory() - before)
            time.sleep(0.1)
        assert most < 50 << 20, most
        assert httpx.get(f"{serving.url}/health/ready", timeout=20).status_code == 200
        assert serving.process.poll() is None
    finally:
        for reader in readers:
            reader.close()
        serving.kill()
    assert "Traceback" not in serving.text()


SHAKE = (
    b"GET /v1/models/sensor/stream HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(kind: int, data: bytes) -> bytes:
    """A short frame of a client, masked with zeros."""
    return bytes([kind | 0x80, 0x80 | len(data)]) + b"\0\0\0\0" + data
