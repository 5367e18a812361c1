"""Replicas with real servers and connections in one process, and a directory without Ray."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from serve_helpers import series
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from recurra.serve import Client, ServerError, Settings, create_app, running
from recurra.serve.cluster import directory as module
from recurra.serve.cluster.directory import Directory
from recurra.serve.cluster.replica import Replica

KEY = "k" * 20
SESSIONS, STEPS = 12, 8


class Cluster:
    """Replicas that share a directory."""

    def __init__(self, model: Any) -> None:
        self.model, self.directory, self._lock = model, Directory(), threading.Lock()
        self.down = False

    async def ask(self, method: str, *arguments: Any) -> Any:
        if self.down:
            raise ConnectionError("the directory is down")
        with self._lock:  # each replica runs in a thread
            return await getattr(self.directory, method)(*arguments)

    @contextmanager
    def replica(self, grace: float = 1.0, **settings: Any) -> Iterator[tuple[Replica, str]]:
        app = create_app({"sensor": self.model}, Settings(grace=grace, **settings))
        replica = Replica(app, self.ask, "127.0.0.1")
        with running(replica) as url:
            yield replica, url


@pytest.fixture
def cluster(sensor, monkeypatch) -> Cluster:
    monkeypatch.setattr(module, "RECOVERY", 0.0)
    return Cluster(sensor)


def answers_of(model: Any, rows: np.ndarray) -> list[Any]:
    """Returns the answers after each step, from the model itself."""
    stepper, found = model.service().stepper(), []
    for count in range(1, len(rows) + 1):
        advanced = stepper.advance(stepper.start(1), [""], [stepper.parse(rows[:count].tolist())])
        found.append(stepper.answer(advanced.outputs[0], {name: t[0] for name, t in advanced.states.items()}))
    return found


def test_requests_are_forwarded_to_the_replica_of_the_session(cluster, sensor):
    rows = series(1, seed=1)[0]
    with cluster.replica() as (first, url), cluster.replica() as (second, other), Client(other) as client:
        with Client(url) as own:
            own.session("sensor", "s")
        session = client.session("sensor", "s")
        assert [session.step(rows[i : i + 1])["output"] for i in range(len(rows))] == answers_of(sensor, rows)
        assert "s" in first.holdings
        assert "s" not in second.holdings
        with pytest.raises(ServerError, match="already") as taken:
            client.run(create("s"))
        assert taken.value.status == 409
        session.delete()
        with pytest.raises(ServerError, match="deleted") as ended:
            session.step(rows[:1])
        assert ended.value.status == 410
        client.run(create("s"))
        assert "s" in first.holdings  # which also knows the reason of the end


def create(name: str) -> Any:
    from recurra.serve.client.calls import Call

    return (yield Call("POST", "/v1/models/sensor/sessions", {"session": name, "options": {}}))


def test_a_replica_that_ends_hands_its_sessions_over_while_steps_arrive(cluster, sensor):
    rows = np.random.default_rng(2).normal(size=(SESSIONS, STEPS, 2))
    found: list[list[Any]] = [[] for _ in rows]
    with ExitStack() as stack, cluster.replica() as (last, url):
        first, own = stack.enter_context(cluster.replica(grace=20.0))
        with Client(own) as client:
            for number in range(SESSIONS):
                client.session("sensor", f"s{number}").step(rows[number, :1])

        def steps(numbers: range) -> None:
            with Client(url, repeats=12) as client:
                sessions = [client.session("sensor", f"s{number}") for number in numbers]
                for time_step in range(1, STEPS):
                    for number, session in zip(numbers, sessions, strict=True):
                        found[number].append(session.step(rows[number, time_step : time_step + 1])["output"])

        threads = [threading.Thread(target=steps, args=(range(n, SESSIONS, 3),)) for n in range(3)]
        for thread in threads:
            thread.start()
        stack.close()
        for thread in threads:
            thread.join()
        assert len(first.holdings) == 0
        assert len(last.holdings) == SESSIONS
    for number, values in enumerate(rows):
        assert found[number] == answers_of(sensor, values)[1:]


def test_a_socket_is_forwarded(cluster, sensor):
    rows = series(1, seed=4)[0]
    wanted = answers_of(sensor, rows)
    with ExitStack() as stack, cluster.replica() as (_, url):
        _, own = stack.enter_context(cluster.replica(grace=20.0))
        with Client(own) as client:
            client.session("sensor", "s")
        address = url.replace("http", "ws") + "/v1/models/sensor/stream?session=s"
        with connect(address) as socket:
            handle = opened(socket, "s")["opened"]
            assert step(socket, handle, rows[:1], 0)["output"] == wanted[0]
            stack.close()
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        with connect(address) as socket:
            found = opened(socket, "s")
            assert found["seq"] == 1
            for seq in range(1, len(rows)):
                assert step(socket, found["opened"], rows[seq : seq + 1], seq)["output"] == wanted[seq]


def opened(socket: Any, session: str) -> dict[str, Any]:
    socket.send(json.dumps({"open": {"session": session}}))
    return json.loads(socket.recv(10))


def step(socket: Any, handle: int, rows: np.ndarray, seq: int) -> dict[str, Any]:
    socket.send(json.dumps({"handle": handle, "inputs": rows.tolist(), "seq": seq}))
    return json.loads(socket.recv(10))


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"bob:{KEY}\n")
    path.chmod(0o600)
    return path


def test_keys(cluster, key_file):
    rows = series(1, seed=5)[0]
    with (
        cluster.replica(keys=key_file) as (_, own),
        cluster.replica(keys=key_file) as (_, url),
        Client(own, key=KEY) as client,
    ):
        client.session("sensor", "s")
        with Client(url, key=KEY) as other:
            assert other.session("sensor", "s").step(rows)["seq"] == 0
        for key in (None, "another-key-of-20-characters"):
            with Client(url, key=key) as other, pytest.raises(ServerError) as refused:
                other.session("sensor", "s")
            assert refused.value.status == 401
        refused = httpx.post(f"{url}/v1/models/sensor/sessions", json={"session": "s"})
        assert refused.status_code == 401
        address = url.replace("http", "ws") + "/v1/models/sensor/stream?session=s"
        for protocols in ([], ["recurra", "recurra.key.AAAA"]):
            with pytest.raises(InvalidStatus) as denied, connect(address, subprotocols=protocols or None):
                pass
            assert denied.value.response.status_code == 401
        key = "recurra.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
        with connect(address, subprotocols=["recurra", key]) as socket:
            assert socket.subprotocol == "recurra"
            assert opened(socket, "s")["seq"] == 1
        with connect(address, additional_headers={"x-api-key": KEY}) as socket:
            assert opened(socket, "s")["seq"] == 1


def test_a_client_without_a_key_does_not_learn_that_a_session_exists(cluster, key_file):
    with cluster.replica(keys=key_file) as (_, url):
        cluster.down = True
        assert httpx.get(f"{url}/v1/models/sensor/sessions/s").status_code == 401
        assert httpx.get(f"{url}/v1/models/sensor/sessions/s", headers={"x-api-key": KEY}).status_code == 503
        cluster.down = False


def test_the_private_address_takes_sessions_with_a_token_only(cluster):
    with cluster.replica() as (replica, _):
        for headers in ({}, {"x-recurra-token": "x"}):
            answer = httpx.put(f"http://{replica.address}/move/sensor/s", content=b"", headers=headers)
            assert answer.status_code == 401
        assert len(replica.holdings) == 0


def test_a_request_at_an_earlier_replica_is_refused_with_503(cluster):
    with cluster.replica() as (first, own), cluster.replica(), Client(own) as client:
        client.session("sensor", "s")
        (target,) = cluster.directory._members.keys() - {first.name}
        cluster.directory._sessions["s"] = target, cluster.directory._sessions["s"][1]
        first.holdings._grants.clear()
        answer = httpx.get(f"http://{first.address}/v1/models/sensor/sessions/s")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        address = f"ws://{first.address}/v1/models/sensor/stream?session=s"
        with pytest.raises(InvalidStatus) as denied, connect(address):
            pass
        assert denied.value.response.status_code == 503


def test_requests_are_refused_while_the_directory_is_down(cluster):
    with cluster.replica() as (_, url), Client(url, repeats=0) as client:
        session = client.session("sensor", "s")
        cluster.down = True
        assert session.step([[1.0, 2.0]])["seq"] == 0  # of this replica
        for name in ("t", None):
            with pytest.raises(ServerError, match="directory") as refused:
                client.session("sensor", name)
            assert refused.value.status == 503
        cluster.down = False
        client.session("sensor", "t")


def test_the_name_of_a_lost_session_is_free(cluster, monkeypatch):
    monkeypatch.setattr(module, "LOST", 0.0)
    with cluster.replica() as (_, own), cluster.replica() as (_, url):
        with Client(own) as client:
            client.session("sensor", "s")
        (owner, _) = cluster.directory._sessions["s"]
        cluster.directory._members.pop(owner)
        cluster.directory._left[owner] = 0.0, module.Member(owner, "")
        with Client(url) as client:
            with pytest.raises(ServerError, match="ended unexpectedly") as lost:
                client.session("sensor", "s")
            assert lost.value.status == 410
            client.run(create("s"))
            assert client.session("sensor", "s").seq == 0
