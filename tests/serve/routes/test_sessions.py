"""Sessions over HTTP: exact answers, sequence numbers, forks, states and their ends."""

from __future__ import annotations

import threading
import time
import zlib

import numpy as np
import pytest
from serve_helpers import series, serving
from starlette.testclient import TestClient

from recurra.serve import create_app

URL = "/v1/models/sensor/sessions"


def begin(client, **body) -> str:
    answer = client.post(URL, json=body)
    assert answer.status_code == 201, answer.text
    return f"{URL}/{answer.json()['session']}"


def step(client, session: str, rows, **more):
    return client.post(f"{session}/steps", json={"inputs": np.asarray(rows).tolist(), **more})


def probabilities(answer) -> list[float]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["output"]["probabilities"].values())


def expected(sensor, rows) -> list[float]:
    return sensor.predict_proba([np.asarray(rows)])[0].tolist()


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1], [4], [0, 3, 0, 1], [2, 2]])
def test_each_answer_is_that_of_the_whole_sequence_so_far(client, sensor, cuts):
    rows = np.random.default_rng(1).normal(size=(4, 2))
    session, end = begin(client), 0
    for seq, count in enumerate(cuts):
        end += count
        answer = step(client, session, rows[end - count : end], seq=seq)
        assert probabilities(answer) == expected(sensor, rows[:end])
        assert answer.json()["seq"] == seq
        assert answer.json()["steps"] == end


def test_a_repeated_step_has_the_same_answer_and_is_not_computed_again(client, sensor):
    session, rows = begin(client), series(1)[0]
    first = step(client, session, rows, seq=0)
    again = step(client, session, rows, seq=0)
    assert first.json() == again.json()
    assert probabilities(step(client, session, rows, seq=1)) == expected(sensor, np.concatenate([rows, rows]))


@pytest.mark.parametrize("seq", [2, 5])
def test_a_gap_is_refused(client, seq):
    session = begin(client)
    step(client, session, [[0, 0]], seq=0)
    answer = step(client, session, [[0, 0]], seq=seq)
    assert answer.status_code == 409
    assert answer.json()["error"]["seq"] == 1


def test_a_step_before_the_last_one_is_refused(client):
    session = begin(client)
    for seq in range(3):
        step(client, session, [[0, 0]], seq=seq)
    assert step(client, session, [[0, 0]], seq=1).status_code == 409


def test_a_step_that_fails_leaves_the_session_as_it_was(client, sensor):
    session, rows = begin(client), series(1)[0]
    step(client, session, rows, seq=0)
    for bad in ([[1.0]], [[1.0, "a"]], [[1e300, 0]], "x", None):
        answer = client.post(f"{session}/steps", json={"inputs": bad, "seq": 1})
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["path"][0] == "inputs"
    assert probabilities(step(client, session, rows, seq=1)) == expected(sensor, np.concatenate([rows, rows]))


def test_the_same_name_twice_is_refused(client):
    begin(client, session="twice")
    assert client.post(URL, json={"session": "twice"}).status_code == 409


def test_a_fork_continues_from_the_same_state(client, sensor):
    session, (rows, other) = begin(client), series(2)
    step(client, session, rows)
    fork = f"{URL}/{client.post(f'{session}/fork').json()['session']}"
    assert probabilities(step(client, fork, other)) == expected(sensor, np.concatenate([rows, other]))
    assert probabilities(step(client, session, rows)) == expected(sensor, np.concatenate([rows, rows]))


def test_a_state_moves_to_another_server(client, sensor):
    session, rows = begin(client), series(1)[0]
    step(client, session, rows)
    data = client.get(f"{session}/state").content
    with serving({"sensor": sensor}) as other:
        answer = other.put(f"{URL}/moved/state", content=data)
        assert answer.json() == {"session": "moved", "seq": 1, "steps": len(rows)}
        assert probabilities(step(other, f"{URL}/moved", rows, seq=1)) == expected(sensor, [*rows, *rows])


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_a_damaged_state_is_refused(client, data):
    assert client.put(f"{URL}/damaged/state", content=data).status_code == 422


def test_a_model_in_both_directions_has_no_sessions(client):
    answer = client.post("/v1/models/both/sessions")
    assert answer.status_code == 409
    assert "bidirectional" in answer.json()["error"]["message"]


def test_ended_and_unknown_sessions_differ(client):
    session = begin(client)
    assert client.delete(session).status_code == 204
    late = step(client, session, [[0, 0]])
    assert (late.status_code, late.json()["error"]["reason"]) == (410, "the client deleted it")
    assert step(client, f"{URL}/unknown", [[0, 0]]).status_code == 404
    assert client.get(f"{URL}/bad.name").status_code == 422


def test_a_late_step_after_the_idle_limit(sensor):
    with serving({"sensor": sensor}, idle=0.1) as client:
        session = begin(client)
        step(client, session, [[0, 0]])
        time.sleep(0.5)
        late = step(client, session, [[0, 0]])
        assert late.status_code == 410
        assert "0.1 seconds" in late.json()["error"]["reason"]


def test_sessions_survive_a_restart(sensor, tmp_path):
    rows = series(1)[0]
    with serving({"sensor": sensor}, state_dir=tmp_path / "states") as client:
        session = begin(client)
        first = step(client, session, rows, seq=0)
    with serving({"sensor": sensor}, state_dir=tmp_path / "states") as client:
        assert step(client, session, rows, seq=0).json() == first.json()
        assert probabilities(step(client, session, rows, seq=1)) == expected(sensor, [*rows, *rows])


def test_more_sessions_than_fit_into_memory(sensor, tmp_path):
    with serving({"sensor": sensor}, state_dir=tmp_path / "states", max_live=2) as client:
        sessions, rows = [begin(client) for _ in range(5)], series(5)
        for session, row in zip(sessions, rows, strict=True):
            step(client, session, row)
        for session, row in zip(sessions, rows, strict=True):
            assert probabilities(step(client, session, row)) == expected(sensor, [*row, *row])
        time.sleep(0.2)  # a session from disk stays in memory for a moment
        assert "recurra_sessions_live 2.0" in client.get("/metrics").text


def test_too_many_sessions_are_refused(sensor):
    with serving({"sensor": sensor}, max_sessions=2) as client:
        sessions = [begin(client) for _ in range(2)]
        answer = client.post(URL)
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        client.delete(sessions[0])
        begin(client)


def test_a_session_of_another_worker_process_is_refused(sensor):
    """Two processes must not run one session. `crc32(name) % workers` is the owner."""
    names = [f"s{number}" for number in range(8)]
    mine = [name for name in names if zlib.crc32(name.encode()) % 2 == 1]
    with TestClient(create_app({"sensor": sensor}, worker=(1, 2))) as client:
        for name in names:
            status = client.post("/v1/models/sensor/sessions", json={"session": name}).status_code
            assert status == (201 if name in mine else 421)
            assert client.get(f"/v1/models/sensor/sessions/{name}").status_code == (200 if name in mine else 421)
        new = client.post("/v1/models/sensor/sessions").json()["session"]
        assert zlib.crc32(new.encode()) % 2 == 1


def test_a_step_that_passes_the_deadline_of_its_request_is_repeated_later(sensor):
    with serving({"sensor": sensor}, timeout=0.2) as client:
        session = f"{URL}/{client.post(URL).json()['session']}"
        event = threading.Event()
        client.app.state.server.engine.submit(event.wait, lambda *_: None)
        begun = time.monotonic()
        late = client.post(f"{session}/steps", json={"inputs": [[1, 2]], "seq": 0})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - begun < 5
        event.set()
        again = client.post(f"{session}/steps", json={"inputs": [[1, 2]], "seq": 0})
        assert (again.status_code, again.json()["steps"]) == (200, 1)


@pytest.mark.parametrize("path", ["//steps", "/%20/steps", "/steps", "/a%2Fb/steps", "/%00/steps"])
def test_a_step_without_a_name_is_refused(client, path):
    answer = client.post(f"{URL}{path}", json={"inputs": [[0, 0]]})
    assert answer.status_code in (404, 405, 422)
    assert answer.json()["error"]["status"] == answer.status_code
