"""Signals: running work ends, new work is refused, and the exit code is 0."""

from __future__ import annotations

import signal
import threading
import time

import httpx
import pytest
from running import until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def test_answers(serve, client):
    running = serve()
    assert client.post(f"{running.url}/echo", json=[1]).json()["bytes"] == 3
    assert client.get(f"{running.url}/health/ready").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_without_work_ends_with_0(serve, number):
    running = serve(fresh=True)
    begun = time.monotonic()
    assert running.stop(number) == 0
    assert time.monotonic() - begun < 5
    assert running.process.stdout.read().strip() == "saved=True"
    assert [entry["message"] for entry in running.logs()] == ["shutdown begins", "shutdown ends"]


@pytest.mark.slow  # clients try to connect again for a second
def test_shutdown_under_load_loses_no_accepted_request(serve):
    running = serve(fresh=True, drain_delay=0.5)
    answers: list[httpx.Response] = []
    lost: list[Exception] = []
    stop = threading.Event()

    def work() -> None:
        with httpx.Client(timeout=20) as session:
            while not stop.is_set():
                try:
                    answers.append(session.get(f"{running.url}/v1/a/slow?seconds=0.05"))
                except httpx.ConnectError:
                    return  # the listener was closed: nothing was accepted
                except httpx.RemoteProtocolError as error:
                    lost.append(error)
                    return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 20)
    running.process.send_signal(signal.SIGTERM)
    with httpx.Client() as session:
        ready = until(lambda: session.get(f"{running.url}/health/ready").status_code == 503)
        assert ready
        before = len(answers)
        until(lambda: len(answers) > before + 8)  # still answered while load balancers notice
    assert running.process.wait(20) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
    assert lost == []


def test_a_connection_made_before_the_shutdown_may_send_its_request_late(serve):
    running = serve(fresh=True)
    with running.connect() as silent, running.connect() as halfway:
        halfway.sendall(b"GET /v1/a/slow?seconds=0 HTTP/1.1\r\n")
        time.sleep(0.1)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.8)
        silent.sendall(b"GET /v1/a/slow?seconds=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        halfway.sendall(b"host: localhost\r\n\r\n")
        for connection in (silent, halfway):
            assert connection.recv(12) == b"HTTP/1.1 503"
    assert running.process.wait(20) == 0


def test_streams_and_sockets_end_in_order(serve):
    running = serve(fresh=True)
    with (
        httpx.stream("GET", f"{running.url}/big?chunks=6&seconds=0.1", timeout=20) as stream,
        connect(running.url.replace("http", "ws") + "/socket") as socket,
    ):
        chunks = stream.iter_raw()
        size = len(next(chunks))
        socket.send("sleep 0.3")
        time.sleep(0.05)
        running.process.send_signal(signal.SIGTERM)
        assert socket.recv(5) == "sleep 0.3"
        with pytest.raises(ConnectionClosed):
            socket.recv(5)
        assert socket.close_code == 1001
        assert size + sum(map(len, chunks)) == 6 * 65_536
    assert running.process.wait(20) == 0


def test_work_that_does_not_end_is_cut_off(serve):
    running = serve(fresh=True, grace=0.5)
    with running.connect() as connection:
        connection.sendall(b"GET /v1/a/slow?seconds=60 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.2)
        begun = time.monotonic()
        assert running.stop() == 1
        assert 0.4 < time.monotonic() - begun < 3
    assert "work was cut off" in running.log.read_text()


def test_a_second_signal_ends_at_once(serve):
    running = serve(fresh=True)
    with running.connect() as connection:
        connection.sendall(b"GET /v1/a/slow?seconds=60 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.2)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert running.process.poll() is None
        assert running.stop() == 128 + signal.SIGTERM


def test_hangup_without_keys_is_harmless(serve):
    running = serve()
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "SIGHUP without a key file" in running.log.read_text())
    assert httpx.get(f"{running.url}/health/live").status_code == 200
