"""Connections of slow, greedy and broken clients."""

from __future__ import annotations

import contextlib
import socket
import time

import httpx
import pytest
from running import read_all, until

HEAD = b"GET /echo HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture
def hurried(serve):
    """A server that waits half a second for heads and bodies."""
    return serve(head_timeout=0.5, body_timeout=0.6, keep_alive=0.5, max_head=4096)


def closed_after(running, first: bytes, drops: bytes = b"") -> tuple[float, bytes]:
    """Sends bytes, then one more each 50 ms until the server closes. Returns the time and the answer."""
    with contextlib.closing(running.connect()) as connection:
        connection.sendall(first)
        begun, answer = time.monotonic(), b""
        connection.settimeout(0.05)
        while time.monotonic() - begun < 8:
            try:
                data = connection.recv(65_536)
                answer += data
                if not data:
                    break
            except TimeoutError:
                with contextlib.suppress(OSError):
                    connection.sendall(drops)
            except ConnectionResetError:
                break
        return time.monotonic() - begun, answer


@pytest.mark.parametrize(
    ("first", "drops"),
    [(b"", b""), (b"", b"\r\n"), (HEAD, b""), (HEAD, b"a"), (b"GET /a", b""), (b"GET /a", b"a")],
)
def test_slow_heads_are_cut_off(hurried, first, drops):
    seconds, answer = closed_after(hurried, first, drops)
    assert 0.3 < seconds < 3
    assert answer == b"" if not first + drops else answer.startswith(b"HTTP/1.1 408 ")


def test_slow_headers_are_cut_off(hurried):
    seconds, answer = closed_after(hurried, HEAD, b"a: b\r\n")
    assert 0.3 < seconds < 3
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("length", [b"content-length: 1000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"])
def test_slow_bodies_are_cut_off(hurried, length):
    drops = b"1" if b"length" in length else b"1\r\n1\r\n"
    seconds, answer = closed_after(hurried, POST + length, drops)
    assert 0.4 < seconds < 3
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_slow_second_heads_are_cut_off(hurried):
    """Bytes after an answer end the time for the next request; the time for its head then begins."""
    seconds, answer = closed_after(hurried, HEAD + b"\r\n", b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 0.3 < seconds < 3


def test_idle_connections_are_closed(hurried):
    seconds, answer = closed_after(hurried, HEAD + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 0.3 < seconds < 3


def test_a_slow_answer_is_not_the_fault_of_the_client(hurried):
    assert httpx.get(f"{hurried.url}/v1/a/slow?seconds=1.2").status_code == 200


@pytest.mark.parametrize("header", [b"a: " + b"b" * 5000, b"a: b\r\n" * 1000, b"a" * 5000 + b": b"])
def test_large_heads_are_refused(hurried, header):
    assert hurried.exchange(HEAD + header + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert hurried.exchange(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_head_at_the_limit_is_answered(hurried):
    assert hurried.exchange(HEAD + b"a: " + b"b" * 3900 + b"\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"]
)
def test_what_is_no_request_is_refused(hurried, data):
    assert hurried.exchange(data).startswith(b"HTTP/1.1 400 ")


def test_pipelined_requests_are_answered_in_order_and_limited(serve):
    running = serve()
    last = HEAD + b"connection: close\r\n\r\n"
    assert running.exchange((HEAD + b"\r\n") * 20 + last).count(b"HTTP/1.1 200 ") == 21
    before = running.memory()
    slow = b"GET /v1/a/slow?seconds=0.5 HTTP/1.1\r\nhost: localhost\r\n\r\n"
    running.exchange(slow + (HEAD + b"\r\n") * 5000)
    assert running.memory() - before < 8 << 20
    assert httpx.get(f"{running.url}/echo").status_code == 200


def test_connections_are_limited(serve):
    running = serve(max_connections=5, fresh=True)
    opened = [running.connect() for _ in range(5)]
    try:
        for connection in opened:
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with contextlib.closing(running.connect()) as further:
            answer = read_all(further)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in answer
    finally:
        for connection in opened:
            connection.close()
    until(lambda: running.exchange(HEAD + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 "))


def slow_reader(running, request: bytes) -> socket.socket:
    """A connection with a small buffer that sends a request and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(running.address)
    connection.sendall(request)
    return connection


BIG = b"GET /big?chunks=2000 HTTP/1.1\r\nhost: localhost\r\n\r\n"  # 131 MB each


@pytest.mark.slow
def test_slow_readers_do_not_fill_the_memory_and_are_cut_off(serve):
    running = serve(send_timeout=1.0, fresh=True)
    for _ in range(3):  # what the first requests allocate in any case
        httpx.get(f"{running.url}/big?chunks=5")
    before = running.memory()
    readers = [slow_reader(running, BIG) for _ in range(50)]
    try:
        most = 0
        end = time.monotonic() + 0.9
        while time.monotonic() < end:
            most = max(most, running.memory() - before)
            time.sleep(0.05)
        assert most < 50 << 20
        text = until(lambda: _metric(running, 'recurra_refused_total{reason="slow-reader"} 50.0'))
        assert text
    finally:
        for reader in readers:
            reader.close()


def test_a_slow_reader_of_a_small_answer_is_cut_off(serve):
    """The answer fits into the buffer of the server, so that only closing the connection has a deadline."""
    running = serve(send_timeout=0.5, keep_alive=0.3, send_queue=4_194_304, fresh=True)
    with slow_reader(running, b"GET /big?chunks=60 HTTP/1.1\r\nhost: localhost\r\n\r\n"):
        assert until(lambda: _metric(running, 'recurra_refused_total{reason="slow-reader"} 1.0'))


def _metric(running, line: str) -> bool:
    return line in httpx.get(f"{running.url}/metrics").text
