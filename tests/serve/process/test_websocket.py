"""WebSockets of slow, greedy and broken clients."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import httpx
import pytest
from running import read_all, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY, PING, CONT = 1, 2, 9, 0


def frame(kind: int, data: bytes, *, end: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    head = bytes([kind | 0x80 * end])
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return head + size + b"\0\0\0\0" + data


def shaken(running, buffer: int = 0) -> socket.socket:
    """A connection after its handshake."""
    opened = socket.socket()
    if buffer:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    opened.settimeout(10)
    opened.connect(running.address)
    opened.sendall(SHAKE)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += opened.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return opened


def _metric(running, line: str) -> bool:
    return line in httpx.get(f"{running.url}/metrics").text


@pytest.mark.slow
def test_slow_readers_do_not_fill_the_memory_and_are_cut_off(serve):
    running = serve(send_timeout=1.0, fresh=True)
    with connect(running.url.replace("http", "ws") + "/socket", max_size=None) as opened:
        opened.send("flood 5")
        while opened.recv(5) != "flood 5":
            pass
    before = running.memory()
    readers = [shaken(running, 4096) for _ in range(50)]
    try:
        for reader in readers:
            reader.sendall(frame(TEXT, b"flood 2000"))  # 131 MB each
        most, end = 0, time.monotonic() + 0.9
        while time.monotonic() < end:
            most = max(most, running.memory() - before)
            time.sleep(0.05)
        assert most < 50 << 20
        until(lambda: _metric(running, 'recurra_refused_total{reason="slow-reader"} 50.0'))
    finally:
        for reader in readers:
            reader.close()


def test_a_flood_of_pings_without_reading_is_cut_off(serve):
    running = serve(send_timeout=30.0, send_queue=65_536, fresh=True)
    before = running.memory()
    with shaken(running, 4096) as reader, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(400):
            reader.sendall(frame(PING, b"x" * 120) * 500)
    until(lambda: _metric(running, 'recurra_refused_total{reason="slow-reader"} 1.0'))
    assert running.memory() - before < 16 << 20


def test_many_small_messages_wait_in_the_kernel(serve):
    """The application is busy with the first message; a read of 256 kB has 36,000 messages."""
    running = serve(fresh=True)
    before = running.memory()
    opened = [shaken(running) for _ in range(20)]
    for one in opened:
        one.sendall(frame(TEXT, b"sleep 1"))
    time.sleep(0.2)
    for one in opened:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.send(frame(TEXT, b"a") * 30_000)
    time.sleep(0.5)
    assert running.memory() - before < 20 << 20
    for one in opened:
        one.close()


def test_small_messages_in_one_read_are_all_answered(serve):
    running = serve()
    with shaken(running) as opened:
        opened.sendall(frame(TEXT, b"a") * 20_000 + frame(TEXT, b"z"))
        found = b""
        while not found.endswith(b"z"):
            found += opened.recv(65_536)
    assert found.count(b"a") == 20_000


def test_large_messages(serve):
    running = serve(max_message=100_000)
    with connect(running.url.replace("http", "ws") + "/socket", compression=None) as opened:
        opened.send("x" * 100_000)
        assert opened.recv(5) == "x" * 100_000
        opened.send("x" * 100_001)
        with pytest.raises(ConnectionClosed):
            opened.recv(5)
        assert opened.close_code == 1009


def test_fragments(serve):
    running = serve()
    with shaken(running) as opened:
        opened.sendall(frame(TEXT, b"a", end=False) + frame(CONT, b"b") + frame(TEXT, b"", end=False))
        assert opened.recv(100) == b"\x81\x02ab"
        opened.sendall(frame(CONT, b"", end=False) * 2000)
        assert read_all(opened)[:4] == b"\x88" + bytes([len(b"a message has more than 1024 frames") + 2]) + b"\x03\xf1"


def test_messages_are_not_compressed(serve):
    running = serve()
    with connect(running.url.replace("http", "ws") + "/socket") as opened:
        assert opened.protocol.extensions == []


def test_random_bytes_close_the_socket_only(serve):
    running = serve()
    for _ in range(50):
        with shaken(running) as opened, contextlib.suppress(OSError):
            opened.sendall(os.urandom(300))
            opened.shutdown(socket.SHUT_WR)
            read_all(opened)
    assert httpx.get(f"{running.url}/health/live").status_code == 200
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize(
    "head", [SHAKE[:-4] + b"\r\ncontent-length: 3\r\n\r\nabc", SHAKE.replace(b"/socket", b"/" + b"a" * 9000)]
)
def test_a_request_for_a_socket_that_is_not_valid_is_answered(serve, head):
    answer = serve().exchange(head)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 414 "))
