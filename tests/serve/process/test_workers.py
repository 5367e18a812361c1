"""Several worker processes: sessions have one owner, workers are restarted, signals are passed on."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from running import until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from recurra.serve.owners import owner_of

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads the processes of Linux")
STEPS = "/v1/models/m/sessions/{}/steps"


def children(running) -> list[int]:
    pid = running.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ask(running, session: str, **options) -> httpx.Response:
    with httpx.Client(timeout=20) as client:  # a new connection, which any worker may accept
        return client.request(options.pop("method", "GET"), running.url + STEPS.format(session), **options)


def test_owners_are_spread():
    counts = [0] * 4
    for number in range(1000):
        counts[owner_of(f"session-{number}", 4)] += 1
    assert min(counts) > 180


def test_a_session_belongs_to_one_worker(serve):
    running = serve(workers=3)
    owners = {}
    for number in range(12):
        name = f"s{number}"
        found = {ask(running, name).json()["process"] for _ in range(6)}
        assert len(found) == 1
        owners.setdefault(owner_of(name, 3), set()).update(found)
    assert len(owners) == 3
    assert all(len(found) == 1 for found in owners.values())
    assert set.union(*owners.values()) == set(children(running))


def test_bodies_queries_and_headers_are_forwarded(serve):
    running = serve(workers=3)
    for _ in range(6):
        answer = ask(running, "s1", method="POST", params={"a": "b c"}, json=["x" * 300_000])
        assert answer.json()["bytes"] == 300_004
        assert answer.json()["query"] == "a=b%20c" or answer.json()["query"] == "a=b+c"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers.get_list("date")) == 1
        late = ask(running, "s1", method="POST", content=b"x", headers={"content-type": "text/plain"})
        assert late.status_code == 415


def test_a_new_session_goes_to_the_owner_of_its_name(serve):
    running = serve(workers=3)
    for name in ("s1", "s2", "s3"):
        owner = ask(running, name).json()["process"]
        for _ in range(4):
            answer = httpx.post(f"{running.url}/v1/models/m/sessions", json={"session": name}, timeout=20).json()
            assert answer == {"process": owner, "bytes": len(name) + 14, "query": ""}
    for body in (b"", b"[1]", b"{", b'{"session": 3}', b"[" * 70_000):  # without a name any worker answers
        answer = httpx.post(
            f"{running.url}/v1/models/m/sessions", content=body, headers={"content-type": "application/json"}
        )
        assert answer.json()["bytes"] == len(body)


def test_sockets_of_a_session(serve):
    running = serve(workers=3)
    process = str(ask(running, "s2").json()["process"])
    url = running.url.replace("http", "ws") + "/v1/models/m/stream?session=s2"
    for _ in range(6):
        with connect(url) as opened:
            opened.send("process")
            assert opened.recv(5) == process
            opened.send("flood 3")
            assert [len(opened.recv(5)) for _ in range(3)] == [65_536] * 3
        with pytest.raises(InvalidStatus) as refused, connect(url, origin="https://example.com"):  # type: ignore[arg-type]
            pass
        assert refused.value.response.status_code == 403


def test_hosts(serve):
    """A request without a host, or with one that is allowed, may be forwarded; no worker answers others."""
    running = serve(workers=3, allowed_hosts=["shop.example"])
    for n in range(6):
        for host, status in {"shop.example": 200, "127.0.0.1": 200, "evil.example": 403}.items():
            assert ask(running, f"s{n}", headers={"host": host}).status_code == status
        head = f"GET /v1/models/m/sessions/s{n}/steps HTTP/1.0\r\n\r\n"
        assert running.exchange(head.encode()).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(InvalidStatus) as refused, socket.create_connection(running.address) as connection:
            connect(f"ws://evil.example/v1/models/m/stream?session=s{n}", sock=connection).close()
        assert refused.value.response.status_code == 403
    assert running.exchange(b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert httpx.get(f"{running.url}/metrics", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("hosts", ["host: a b:9x", "host: a:99999", "host: [x]", "host: localhost\r\nhost: localhost"])
@pytest.mark.parametrize(
    "upgrade", ["", "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {}==\r\n"]
)
def test_wrong_hosts_are_refused_by_all_workers(serve, hosts, upgrade):
    running = serve(workers=3)
    path, connection = ("stream?session=s1", "upgrade") if upgrade else ("sessions/s1/steps", "close")
    head = f"GET /v1/models/m/{path} HTTP/1.1\r\n{hosts}\r\nconnection: {connection}\r\n{upgrade.format('A' * 22)}\r\n"
    for _ in range(6):
        assert running.exchange(head.encode()).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in running.log.read_text()


def test_metrics_of_all_workers(serve):
    running = serve(workers=3)
    ask(running, "s1")
    text = httpx.get(f"{running.url}/metrics", timeout=20).text
    assert [f'recurra_sockets{{worker="{number}"}} 0.0' in text for number in range(3)] == [True] * 3
    assert 'status="200",worker="' in text
    assert httpx.post(f"{running.url}/metrics", timeout=20).status_code == 405


def test_signals_end_all_workers(serve):
    running = serve(workers=2, fresh=True)
    workers = children(running)
    assert len(workers) == 2
    begun = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - begun < 8
    assert running.process.stdout.read().count("saved=True") == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again(serve):
    running = serve(workers=2, fresh=True)
    url = running.url.replace("http", "ws") + "/v1/models/m/stream?session=s2"
    owner = ask(running, "s2").json()["process"]
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(url)) for _ in range(12)]
        for opened in sockets:
            opened.send("process")
            assert opened.recv(5) == str(owner)
        os.kill(owner, signal.SIGKILL)
        codes = set()
        for opened in sockets:
            with pytest.raises(ConnectionClosed) as closed:
                opened.recv(10)
            codes.add(closed.value.rcvd.code if closed.value.rcvd else None)
    assert codes <= {None, 1012}  # None: the worker itself had accepted the connection
    assert 1012 in codes
    with pytest.raises(InvalidStatus) as refused, connect(url):  # its socket is there, but no process
        pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"]
    until(lambda: len(children(running)) == 2 and owner not in children(running))
    until(lambda: all(ask(running, f"s{n}").status_code == 200 for n in range(8)))
    assert running.stop() == 0


@pytest.mark.slow
def test_workers_end_with_their_parent(serve):
    running = serve(workers=2, fresh=True)
    workers = children(running)
    running.process.kill()
    running.process.wait()
    until(lambda: not any(_runs(pid) for pid in workers))


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
