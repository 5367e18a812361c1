"""Sessions over WebSocket: JSON and binary messages, many sessions on one socket, errors of one session."""

from __future__ import annotations

import struct
from contextlib import contextmanager

import numpy as np
import pytest
from serve_helpers import series, serving
from starlette.testclient import WebSocketDenialResponse

HEAD = struct.Struct("<III")


@contextmanager
def connected(client, model="sensor", count=0):
    """A socket with some sessions."""
    with client.websocket_connect(f"/v1/models/{model}/stream") as socket:
        for handle in range(count):
            socket.send_json({"open": True})
            assert socket.receive_json()["opened"] == handle
        yield socket


def record(handle, seq, rows) -> bytes:
    values = np.asarray(rows, "<f4")
    return HEAD.pack(handle, seq, values.size) + values.tobytes()


def receive(socket, count):
    """Receives records until there are `count`; errors are under their handle and seq as well."""
    found = {}
    while len(found) < count:
        message = socket.receive()
        if message.get("text") is not None:
            import json

            error = json.loads(message["text"])
            found[error["handle"], error["seq"]] = error["error"]
            continue
        data, place = message["bytes"], 0
        while place < len(data):
            handle, seq, size = HEAD.unpack_from(data, place)
            place += HEAD.size
            found[handle, seq] = np.frombuffer(data, "<f4", size, place)
            place += 4 * size
    return found


def test_every_binary_answer_has_the_bits_of_the_whole_sequence(client, sensor):
    rows = [row.astype(np.float32) for row in series(64, seed=3)]
    steps = [record(i, seq, row[seq]) for i, row in enumerate(rows) for seq in range(len(row))]
    np.random.default_rng(0).shuffle(order := sorted(range(len(steps)), key=lambda i: HEAD.unpack_from(steps[i])[1]))
    order.sort(key=lambda i: HEAD.unpack_from(steps[i])[1])  # the steps of a session in order, the sessions mixed
    with connected(client, count=64) as socket:
        for begin in range(0, len(order), 50):
            socket.send_bytes(b"".join(steps[i] for i in order[begin : begin + 50]))
        found = receive(socket, len(steps))
    for i, row in enumerate(rows):
        for seq in range(len(row)):
            assert found[i, seq].tobytes() == sensor.predict_proba([row[: seq + 1]])[0].astype("<f4").tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_the_values_of_one_session_do_not_change_the_others(client, sensor, bad):
    rows = [row.astype(np.float32) for row in series(64, seed=4)]
    with connected(client, count=64) as socket:
        socket.send_bytes(b"".join(record(i, 0, [[bad, bad]] if i == 7 else row) for i, row in enumerate(rows)))
        found = receive(socket, 64)
        socket.send_bytes(b"".join(record(i, 1, row) for i, row in enumerate(rows) if i != 7))
        found |= receive(socket, 63)
    for i, row in enumerate(rows):
        if i != 7:
            assert found[i, 0].tobytes() == sensor.predict_proba([row])[0].astype("<f4").tobytes()
            both = np.concatenate([row, row])
            assert found[i, 1].tobytes() == sensor.predict_proba([both])[0].astype("<f4").tobytes()


def test_a_refused_step_does_not_count(client, sensor):
    row = series(1)[0].astype(np.float32)
    with connected(client, count=1) as socket:
        socket.send_bytes(record(0, 0, [[np.inf, 0]]))
        assert receive(socket, 1)[0, 0]["status"] == 422
        socket.send_bytes(record(0, 0, row))
        assert receive(socket, 1)[0, 0].tobytes() == sensor.predict_proba([row])[0].astype("<f4").tobytes()


def test_json_steps_by_handle_and_by_name(client, sensor):
    row = series(1)[0]
    with connected(client, count=1) as socket:
        socket.send_json({"open": {"session": "by-name"}, "ref": "r1"})
        opened = socket.receive_json()
        assert (opened["opened"], opened["session"], opened["ref"]) == (1, "by-name", "r1")
        for by in ({"handle": 1}, {"session": "by-name"}):
            socket.send_json({**by, "inputs": row.tolist(), "ref": 5})
            answer = socket.receive_json()
        assert answer["output"]["label"] == sensor.predict([np.concatenate([row, row])])[0]
        assert (answer["seq"], answer["ref"], answer["handle"]) == (1, 5, 1)


def test_a_session_is_continued_on_another_socket(client, sensor):
    row = series(1)[0]
    with connected(client) as socket:
        socket.send_json({"open": {"session": "roaming"}})
        socket.receive_json()
        socket.send_json({"session": "roaming", "inputs": row.tolist(), "seq": 0})
        first = socket.receive_json()
    with connected(client) as socket:
        socket.send_json({"open": {"session": "roaming"}})
        assert socket.receive_json()["seq"] == 1
        socket.send_json({"session": "roaming", "inputs": row.tolist(), "seq": 0})
        assert socket.receive_json()["output"] == first["output"]


def test_temporary_sessions_end_with_their_socket(client):
    with connected(client) as socket:
        socket.send_json({"open": {"keep": False, "session": "temporary"}})
        socket.receive_json()
    answer = client.get("/v1/models/sensor/sessions/temporary")
    assert answer.status_code == 410
    assert "socket" in answer.json()["error"]["reason"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        ('{"open": {"session": "not a name"}}', 422),
        ('{"handle": 9, "inputs": [[0, 0]], "seq": 0}', 404),
        ('{"session": "unknown", "inputs": [[0, 0]]}', 404),
        ('{"handle": 0, "inputs": [[0]]}', 422),
        ('{"handle": 0, "inputs": [[0, 0]], "seq": 4}', 409),
        ('{"close": 9}', 404),
        ('{"handle": 0, "inputs": [[0, 0]], "colour": 1}', 422),
    ],
)
def test_errors_leave_the_socket_open(client, message, status):
    with connected(client, count=1) as socket:
        socket.send_text(message)
        assert socket.receive_json()["error"]["status"] == status
        socket.send_json({"handle": 0, "inputs": [[0, 0]]})
        assert socket.receive_json()["seq"] == 0


@pytest.mark.parametrize("data", [b"abc", HEAD.pack(0, 0, 3) + bytes(4), HEAD.pack(0, 0, 2**32 - 1)])
def test_incomplete_records_are_reported(client, data):
    with connected(client, count=1) as socket:
        socket.send_bytes(data)
        assert socket.receive_json()["error"]["status"] == 400


def test_closing_a_handle_ends_its_session(client):
    with connected(client, count=2) as socket:
        socket.send_json({"close": 0})
        assert socket.receive_json() == {"closed": 0}
        socket.send_bytes(record(0, 0, [[0, 0]]))
        assert receive(socket, 1)[0, 0]["status"] == 404
        socket.send_bytes(record(1, 0, [[0, 0]]))
        assert receive(socket, 1)[1, 0].size == 2


def test_a_model_in_both_directions_refuses_the_socket(client):
    with pytest.raises(WebSocketDenialResponse) as caught, connected(client, "both"):
        pass
    assert caught.value.status_code == 409
    assert "bidirectional" in caught.value.json()["error"]["message"]


def test_too_many_sockets_are_refused(sensor):
    with serving({"sensor": sensor}, max_sockets=1) as client, connected(client):
        with pytest.raises(WebSocketDenialResponse) as caught, connected(client):
            pass
        assert caught.value.status_code == 503


def test_sessions_on_a_socket_come_back_from_disk(sensor, tmp_path):
    rows = [row.astype(np.float32) for row in series(6, seed=5)]
    with (
        serving({"sensor": sensor}, state_dir=tmp_path / "s", max_live=2) as client,
        connected(client, count=6) as socket,
    ):
        for seq in range(2):
            socket.send_bytes(b"".join(record(i, seq, row) for i, row in enumerate(rows)))
            found = receive(socket, 6)
    for i, row in enumerate(rows):
        both = np.concatenate([row, row])
        assert found[i, 1].tobytes() == sensor.predict_proba([both])[0].astype("<f4").tobytes()


def test_messages_and_their_bytes_are_counted(sensor):
    with serving({"sensor": sensor}) as client:
        with connected(client, count=1) as socket:
            data = record(0, 0, [[0, 0]])
            socket.send_bytes(data)
            receive(socket, 1)
        lines = client.get("/metrics").text.splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("recurra_socket_"))
    assert found['recurra_socket_messages_total{direction="received"}'] == "2.0"
    assert found['recurra_socket_messages_total{direction="sent"}'] == "2.0"
    assert float(found['recurra_socket_bytes_total{direction="received"}']) == len('{"open":true}') + len(data)
