"""Load generator of `serving.py`: closed-loop clients over HTTP or WebSocket, with little work per answer.

It shares the cores with the server that it measures. It therefore has its own minimal parsers, one process and one
thread. Each connection (or session) sends its next request when the answer to the last one has arrived.

Usage: python benchmarks/serving_load.py http PORT PATH TEXTS [--connections 64] [--seconds 5]
       python benchmarks/serving_load.py raw PORT PATH STEPS [--connections 64] [--seconds 5]
       python benchmarks/serving_load.py records PORT PATH STEPS [--connections 4] [--sessions 16] [--seconds 5]

TEXTS has one text per line. STEPS is a file of numpy, `(sessions, steps, features)` in float32. `raw` sends each step
as one message, and a socket is a session; `records` uses the protocol of `recurra serve`. The last line of the output
is JSON: answers per second, latencies in milliseconds, the first answers, and the number of errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import uvloop

FIRST = 64
"""Answers that are returned, to compare them with the model."""
HEAD = struct.Struct("<III")


class Clock:
    """Latencies of the answers after the warm-up, and the number of all answers."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.answers = self.errors = 0
        self.counting = False
        self.message = ""

    def answered(self, sent: float) -> float:
        """Records an answer to a request; returns the present time."""
        now = perf_counter()
        self.answers += 1
        if self.counting:
            self.latencies.append(now - sent)
        return now

    def failed(self, message: str) -> None:
        """Counts an error, and keeps the message of the first."""
        self.errors += 1
        self.message = self.message or message[:500]


class Http(asyncio.Protocol):
    """One keep-alive connection that sends requests one after the other.

    Args:
        requests: complete requests.
        start: number of the first request.
        clock: where to record.
        keep: list for the bodies of the first answers; None to discard them.
    """

    def __init__(self, requests: list[bytes], start: int, clock: Clock, keep: list[Any] | None) -> None:
        self.requests, self.next, self.clock, self.keep = requests, start, clock, keep
        self.buffer, self.sent = b"", 0.0

    def connection_made(self, transport: Any) -> None:
        """Sends the first request."""
        self.transport = transport
        self.send(perf_counter())

    def send(self, now: float) -> None:
        """Sends the next request."""
        self.sent = now
        self.transport.write(self.requests[self.next])
        self.next = (self.next + 1) % len(self.requests)

    def data_received(self, data: bytes) -> None:
        """Parses an answer; sends the next request when it is complete."""
        self.buffer = data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        at = data.find(b"ontent-", 0, end)
        while at >= 0 and data[at + 7 : at + 14].lower() != b"length:":
            at = data.find(b"ontent-", at + 7, end)
        if at < 0:
            self.clock.failed(f"an answer without content-length: {data[:end]!r}")
            self.transport.abort()
            return
        if len(data) < end + 4 + int(data[at + 14 : data.find(b"\r", at)]):
            return
        self.buffer = b""
        if data[9:12] != b"200":
            self.clock.failed(data.decode(errors="replace"))
        elif self.keep is not None and len(self.keep) < FIRST:
            self.keep.append(json.loads(data[end + 4 :]))
        self.send(self.clock.answered(self.sent))

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts a connection that the server closed."""
        if exc is not None:
            self.clock.failed(f"connection lost: {exc}")


class Socket(asyncio.Protocol):
    """Base of the WebSocket clients: handshake and frames. Frames to the server have the mask 0."""

    def __init__(self, host: str, path: str, clock: Clock) -> None:
        key = b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"]
        self.hello = "\r\n".join([*lines, "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]).encode()
        self.clock, self.buffer, self.open = clock, b"", False

    def connection_made(self, transport: Any) -> None:
        """Sends the handshake."""
        self.transport = transport
        transport.write(self.hello)

    def write(self, payload: bytes, opcode: int = 2) -> None:
        """Sends one frame."""
        size = len(payload)
        head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
        self.transport.write(head + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        """Parses the handshake and frames."""
        data = self.buffer + data if self.buffer else data
        begin, size = 0, len(data)
        if not self.open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.buffer = data
                return
            if data[9:12] != b"101":
                self.clock.failed(data.decode(errors="replace"))
                self.transport.abort()
                return
            self.open, begin = True, end + 4
            self.opened()
        while begin + 2 <= size:
            opcode, length, body = data[begin] & 15, data[begin + 1], begin + 2
            if length == 126:
                length, body = int.from_bytes(data[begin + 2 : begin + 4], "big"), begin + 4
            elif length == 127:
                length, body = int.from_bytes(data[begin + 2 : begin + 10], "big"), begin + 10
            if size < body + length:
                break
            self.frame(opcode, data[body : body + length])
            begin = body + length
        self.buffer = data[begin:]

    def frame(self, opcode: int, payload: bytes) -> None:
        """Handles a complete frame."""
        if opcode == 2:
            self.answered(payload)
        elif opcode == 9:
            self.write(payload, 10)
        elif opcode == 8:
            self.clock.failed(f"closed by the server: {payload[2:].decode(errors='replace')}")
            self.transport.abort()
        elif opcode == 1:
            self.text(payload)

    def opened(self) -> None:
        """Called after the handshake."""
        raise NotImplementedError

    def answered(self, payload: bytes) -> None:
        """Called with each binary message."""
        raise NotImplementedError

    def text(self, payload: bytes) -> None:
        """Called with each message of text."""
        self.clock.failed(f"unexpected text: {payload.decode(errors='replace')}")


class Raw(Socket):
    """One session per socket; a message is one step of float32 values, and its answer too."""

    def __init__(self, host: str, path: str, clock: Clock, steps: np.ndarray, keep: list[Any] | None) -> None:
        super().__init__(host, path, clock)
        self.steps, self.keep, self.next = [step.tobytes() for step in steps[0]], keep, 0

    def opened(self) -> None:
        """Sends the first step."""
        self.send(perf_counter())

    def send(self, now: float) -> None:
        """Sends the next step."""
        self.sent = now
        self.write(self.steps[self.next % len(self.steps)])
        self.next += 1

    def answered(self, payload: bytes) -> None:
        """Sends the next step."""
        if self.keep is not None and len(self.keep) < FIRST:
            self.keep.append(np.frombuffer(payload, "<f4").tolist())
        self.send(self.clock.answered(self.sent))


class Records(Socket):
    """Many sessions per socket; a message is records of handle, sequence number, count and float32 values."""

    def __init__(self, host: str, path: str, clock: Clock, steps: np.ndarray, keep: list[Any] | None) -> None:
        super().__init__(host, path, clock)
        count = steps.shape[-1]
        self.steps = [[step.tobytes() for step in session] for session in steps]
        self.keep, self.count = keep, count
        self.sessions: dict[int, list[Any]] = {}  # by handle: its steps, the next number, when the last one was sent

    def opened(self) -> None:
        """Opens the sessions."""
        for _ in self.steps:
            self.write(b'{"open": {"keep": false}}', 1)

    def text(self, payload: bytes) -> None:
        """Reads the handle of a new session; sends the first step of all when the last one is open."""
        found = json.loads(payload)
        if "opened" not in found:
            super().text(payload)
            return
        self.sessions[found["opened"]] = [self.steps[len(self.sessions)], 0, 0.0]
        if len(self.sessions) == len(self.steps):
            self.first = min(self.sessions)
            self.send(list(self.sessions), perf_counter())

    def send(self, handles: list[int], now: float) -> None:
        """Sends the next step of some sessions in one message."""
        parts = []
        for handle in handles:
            session = self.sessions[handle]
            steps, seq, _ = session
            parts += (HEAD.pack(handle, seq, self.count), steps[seq % len(steps)])
            session[1], session[2] = seq + 1, now
        self.write(b"".join(parts))

    def answered(self, payload: bytes) -> None:
        """Reads records, and sends the next steps of their sessions."""
        begin, handles, now = 0, [], perf_counter()
        while begin < len(payload):
            handle, _, count = HEAD.unpack_from(payload, begin)
            begin += HEAD.size
            if self.keep is not None and handle == self.first and len(self.keep) < FIRST:
                self.keep.append(np.frombuffer(payload, "<f4", count, begin).tolist())
            begin += 4 * count
            handles.append(handle)
            self.clock.answered(self.sessions[handle][2])
        self.send(handles, now)


async def drive(make: Callable[[int], asyncio.Protocol], args: argparse.Namespace, clock: Clock) -> float:
    """Opens all connections, waits for the warm-up, measures; returns the measured seconds."""
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(lambda i=i: make(i), "127.0.0.1", args.port) for i in range(args.connections)]
    await asyncio.sleep(args.warm_up)
    clock.counting, start = True, perf_counter()
    await asyncio.sleep(args.seconds)
    clock.counting, seconds = False, perf_counter() - start
    for transport, _ in pairs:
        transport.abort()
    return seconds


def clients(args: argparse.Namespace, clock: Clock, first: list[Any]) -> Callable[[int], asyncio.Protocol]:
    """Returns a function that makes the client of a connection, by its number."""
    host = f"127.0.0.1:{args.port}"
    if args.protocol == "http":
        requests = []
        for text in args.file.read_text(encoding="utf-8").splitlines():
            body = json.dumps({"inputs": [text], "proba": True}, ensure_ascii=False).encode()
            head = f"POST {args.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return lambda i: Http(requests, i * 61 % len(requests), clock, None if i else first)
    steps = np.load(args.file)

    def make(i: int) -> asyncio.Protocol:
        own = np.roll(steps, -i * args.sessions, axis=0)[: args.sessions]
        kind = Raw if args.protocol == "raw" else Records
        return kind(host, args.path, clock, own, None if i else first)

    return make


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=("http", "raw", "records"))
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("file", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--sessions", type=int, default=1, help="sessions per socket")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm-up", type=float, default=1)
    args = parser.parse_args()
    clock, first = Clock(), []
    seconds = uvloop.run(drive(clients(args, clock, first), args, clock))
    latencies = np.array(clock.latencies or [np.inf]) * 1e3
    found = {"rate": len(clock.latencies) / seconds, "answers": clock.answers, "first": first}
    found |= {"errors": clock.errors, "message": clock.message}
    print(json.dumps({**found, "p50": np.percentile(latencies, 50), "p99": np.percentile(latencies, 99)}))


if __name__ == "__main__":
    main()
