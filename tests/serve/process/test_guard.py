"""The middleware: keys, hosts, origins, limits of bodies and of time, headers, logs and metrics."""

from __future__ import annotations

import base64
import json
import socket
import time

import httpx
import pytest
from running import until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

KEY, OTHER = "k" * 20, "anna-has-another-key"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# clients\nbob:{KEY}\n\n{OTHER}  # of Anna\n")
    path.chmod(0o600)
    return path


def entries(running, **fields) -> list[dict]:
    time.sleep(0.3)  # entries of requests are written together
    return [entry for entry in running.logs() if fields.items() <= entry.items()]


# bodies


@pytest.fixture
def small(serve):
    """A server whose bodies have at most 1,000 bytes."""
    return serve(max_body=1000, timeout=0.3, body_timeout=1.0)


def test_a_body_at_the_limit_is_answered(small, client):
    body = b"1" * 1000
    headers = {"content-type": "application/json"}
    assert client.post(f"{small.url}/echo", content=body, headers=headers).json()["bytes"] == 1000
    answer = client.post(f"{small.url}/echo", content=body + b"1", headers=headers)
    assert answer.status_code == 413
    assert answer.json() == {"error": {"status": 413, "message": "the body is larger than 1,000 bytes"}}


def test_chunked_bodies_are_counted_as_they_come(small):
    with small.connect() as connection:
        head = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += b"transfer-encoding: chunked\r\n\r\n"
        connection.sendall(head + b"258\r\n" + b"1" * 600 + b"\r\n")
        connection.sendall(b"258\r\n" + b"1" * 600 + b"\r\n")  # the body has not ended
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_content_types(small, client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post(f"{small.url}/echo", content=b"1", headers={"content-type": kind} if kind else {})
        assert answer.status_code == 415
        assert "application/json" in answer.json()["error"]["message"]
    for kind in ("application/json; charset=utf-8", "Application/X-NDJSON"):
        assert client.post(f"{small.url}/echo", content=b"1", headers={"content-type": kind}).status_code == 200


# time


def test_a_late_answer_is_refused(small, client):
    answer = client.get(f"{small.url}/v1/a/slow?seconds=30")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["message"] == "the answer was not ready within 0.3 s"
    assert client.get(f"{small.url}/v1/a/slow?seconds=0.01").status_code == 200


def test_a_stream_may_take_longer(small, client):
    assert len(client.get(f"{small.url}/big?chunks=5&seconds=0.15").content) == 5 * 65_536


def test_the_time_of_the_body_does_not_count(small):
    with small.connect() as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n"
        )
        for _ in range(4):
            time.sleep(0.15)  # together longer than the time limit of the answer
            connection.sendall(b"1")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


# errors


def test_a_fault_is_logged_once_and_not_shown(serve, client):
    running = serve(fresh=True)
    answer = client.get(f"{running.url}/fail", headers={"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert "abc-1" in answer.json()["error"]["message"]
    assert "fault" not in answer.text
    assert answer.headers["x-request-id"] == "abc-1"
    (found,) = until(lambda: entries(running, message="a request failed", request_id="abc-1"))
    assert "ValueError: a fault" in found["traceback"]
    assert running.log.read_text().count("ValueError: a fault") == 1


def test_a_fault_of_a_socket_closes_it(serve):
    running = serve(fresh=True)
    with connect(running.url.replace("http", "ws") + "/socket") as opened:
        opened.send("fail")
        with pytest.raises(ConnectionClosed):
            opened.recv(5)
        assert opened.close_code == 1011
    until(lambda: entries(running, message="a socket failed"))
    assert running.log.read_text().count("ValueError: a fault of a socket") == 1


# headers, logs, metrics


def test_answers_have_headers_for_browsers_and_a_request_id(serve, client):
    running = serve()
    first, second = (client.get(f"{running.url}/echo").headers for _ in range(2))
    assert first["x-content-type-options"] == "nosniff"
    assert first["cache-control"] == "no-store"
    assert first["x-request-id"] != second["x-request-id"]
    assert "server" not in first
    odd = client.get(f"{running.url}/echo", headers={"x-request-id": "a b"}).headers["x-request-id"]
    assert odd != "a b"


def test_logs_have_the_template_and_no_input(serve, client):
    running = serve()
    client.post(f"{running.url}/echo?secret=hidden", json=["hidden input"], headers={"x-request-id": "log-1"})
    client.get(f"{running.url}/v1/hidden/slow?seconds=0", headers={"x-request-id": "log-2"})
    (one,) = until(lambda: entries(running, request_id="log-1"))
    assert {k: one[k] for k in ("method", "path", "status", "received")} == {
        "method": "POST",
        "path": "/echo",
        "status": 200,
        "received": 16,
    }
    assert one["ms"] > 0
    (two,) = until(lambda: entries(running, request_id="log-2"))
    assert two["path"] == "/v1/{name}/slow"
    assert "hidden" not in running.log.read_text()


def test_metrics_count_requests_by_template(serve, client):
    running = serve(fresh=True)
    client.get(f"{running.url}/v1/x/slow?seconds=0")
    client.get(f"{running.url}/unknown/1")
    text = client.get(f"{running.url}/metrics").text
    assert 'recurra_requests_total{path="/v1/{name}/slow",status="200"} 1.0' in text
    assert 'recurra_requests_total{path="(other)",status="404"} 1.0' in text


# keys


def test_keys(serve, client, key_file):
    running = serve(keys=str(key_file))
    url = f"{running.url}/echo"
    assert client.get(url).status_code == 401
    assert client.get(url).headers["www-authenticate"] == "Bearer"
    for headers in ({"authorization": f"Bearer {KEY[:-1]}"}, {"x-api-key": "bob"}, {"authorization": f"Basic {KEY}"}):
        assert client.get(url, headers=headers).status_code == 401
    assert client.get(url, headers={"authorization": f"Bearer {KEY}"}).json()["state"]["client"] == "bob"
    assert client.get(url, headers={"x-api-key": OTHER}).json()["state"]["client"].startswith("key-")
    assert entries(running, path="/echo", client="bob")
    assert KEY not in running.log.read_text()


def test_what_is_open_without_a_key(serve, client, key_file):
    running = serve(keys=str(key_file))
    assert client.get(f"{running.url}/health/live").status_code == 200
    assert client.get(f"{running.url}/health/ready").status_code == 200
    assert client.get(f"{running.url}/").status_code == 200
    assert client.get(f"{running.url}/metrics").status_code == 401
    other = serve(keys=str(key_file), open_metrics=True, open_page=False)
    assert client.get(f"{other.url}/metrics").status_code == 200
    assert client.get(f"{other.url}/").status_code == 401


def test_keys_of_sockets(serve, key_file):
    running = serve(keys=str(key_file))
    url = running.url.replace("http", "ws") + "/socket"
    with pytest.raises(InvalidStatus) as refused, connect(url):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["error"]["status"] == 401
    key = "recurra.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
    with connect(url, subprotocols=["recurra", key]) as opened:
        assert opened.subprotocol == "recurra"
        opened.send("hello")
        assert opened.recv(5) == "hello"
    with connect(url, additional_headers={"authorization": f"Bearer {KEY}"}) as opened:
        opened.send("hello")
        assert opened.recv(5) == "hello"
    with pytest.raises(InvalidStatus), connect(url, subprotocols=["recurra", "recurra.key.AAAA"]):
        pass
    with pytest.raises(InvalidStatus), connect(url, subprotocols=["recurra", "recurra.key.A"]):  # no base64
        pass


def test_the_key_file_is_read_again(serve, client, tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEY)
    path.chmod(0o600)
    running = serve(keys=str(path), fresh=True)

    def answers(key: str) -> int:
        return client.get(f"{running.url}/echo", headers={"x-api-key": key}).status_code

    path.write_text("short")
    running.process.send_signal(1)
    (found,) = until(lambda: entries(running, level="error"))
    assert found["message"].startswith("the old keys are kept")
    assert (answers(KEY), answers(OTHER)) == (200, 401)
    path.write_text(OTHER)
    running.process.send_signal(1)
    until(lambda: entries(running, message="keys were read again"))
    assert (answers(KEY), answers(OTHER)) == (401, 200)


# hosts and origins


def test_hosts(serve, client):
    running = serve(fresh=True)
    port = running.address[1]
    for host in (f"localhost:{port}", "LOCALHOST", f"127.0.0.1:{port}", "127.9.8.7", "[::1]:80"):
        assert client.get(f"{running.url}/echo", headers={"host": host}).status_code == 200
    for path in ("/echo", "/", "/metrics", "/nothing"):
        answer = client.get(f"{running.url}{path}", headers={"host": f"evil.example:{port}"})
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == (
            "requests may not name the host 'evil.example'; the operator can allow it with --allowed-host"
        )
    assert client.get(f"{running.url}/health/live", headers={"host": "evil.example"}).status_code == 200
    assert running.exchange(b"GET /echo HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert 'recurra_refused_total{reason="host"} 4.0' in client.get(f"{running.url}/metrics").text


def test_allowed_hosts(serve, client):
    running = serve(allowed_hosts=["shop.example"], origins=["https://Other.example:8443"])
    for host, status in {"Shop.example": 200, "other.example:1": 200, "a.shop.example": 403, "10.0.0.1": 200}.items():
        assert client.get(f"{running.url}/echo", headers={"host": host}).status_code == status


def test_hosts_of_sockets(serve):
    running = serve(allowed_hosts=["shop.example"])
    for host, allowed in {"shop.example": True, "localhost": True, "evil.example": False}.items():
        with socket.create_connection(running.address) as connection:  # as after a change of DNS
            address, origin = f"ws://{host}/socket", f"http://{host}"
            if allowed:
                with connect(address, sock=connection, origin=origin) as opened:
                    opened.send("hello")
                    assert opened.recv(5) == "hello"
            else:
                with pytest.raises(InvalidStatus) as refused, connect(address, sock=connection, origin=origin):
                    pass
                assert refused.value.response.status_code == 403
                assert b"--allowed-host" in refused.value.response.body


def test_origins_of_sockets(serve):
    running = serve(origins=["https://example.org"])
    url = running.url.replace("http", "ws") + "/socket"
    for origin in (running.url, "https://example.org"):
        with connect(url, origin=origin) as opened:
            opened.send("hello")
            assert opened.recv(5) == "hello"
    for origin in ("https://example.com", "http://example.org", "null"):
        with pytest.raises(InvalidStatus) as refused, connect(url, origin=origin):
            pass
        assert refused.value.response.status_code == 403


def test_a_client_that_leaves_is_no_fault(serve):
    running = serve()
    with running.connect() as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nhost: localhost\r\nx-request-id: gone-1\r\ncontent-type: application/json\r\n"
            b"content-length: 9\r\n\r\n1"
        )
    (found,) = until(lambda: entries(running, request_id="gone-1"))
    assert found["status"] == 499
    assert httpx.get(f"{running.url}/health/live").status_code == 200
