"""Runs `recurra serve` under a mixed load and looks for growth: `python benchmarks/soak.py [--minutes 30]`.

Clients send predictions, NDJSON, steps, forks, states, deletions and errors, open WebSockets, and leave in the middle
of requests. Memory, open files and sessions of the server are sampled. The script fails if the median of the last fifth
of the samples is greater than that of the second fifth, beyond a small tolerance, or if the server logs a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from websockets.sync.client import connect

from recurra import SequenceClassifier

MEMORY, FILES, SESSIONS = 12e6, 12, 40
"""Tolerated growth: bytes, files, and sessions."""


class Soak:
    """The server, its load and the samples.

    Args:
        folder: folder for model, states and log.
        seconds: length of the run.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        rows = [np.random.default_rng(i).normal(size=(6, 2)) for i in range(40)]
        model = SequenceClassifier(hidden_size=32, bidirectional=False, epochs=1, verbose=0)
        model.fit(rows, ["up", "down"] * 20).save(folder / "sensor")
        self.log, self.end = folder / "log", 0.0
        command = [sys.executable, "-m", "recurra", "serve", str(folder / "sensor"), "--port", "0"]
        command += ["--state-dir", str(folder / "states"), "--max-live", "50", "--idle", "20"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        while not (found := re.search(r"http://127.0.0.1:(\d+) serves", self.log.read_text())):
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.1)
        self.url, self.port = f"http://127.0.0.1:{found[1]}", int(found[1])
        self.api = f"{self.url}/v1/models/sensor"
        self.counts: Counter[str] = Counter()
        self.samples: list[tuple[float, float, float]] = []
        self.failures: list[str] = []
        self.end = time.monotonic() + seconds

    def work(self, load: Callable[[httpx.Client, random.Random], None], seed: int) -> None:
        """Repeats a kind of load until the end."""
        chance = random.Random(seed)  # noqa: S311  (no secret)
        with httpx.Client(timeout=30, verify=False) as client:  # noqa: S501  (no TLS)
            while time.monotonic() < self.end:
                try:
                    load(client, chance)
                except Exception as error:
                    self.failures.append(f"{load.__name__}: {error!r}")
                    return
                self.counts[load.__name__] += 1

    def predict(self, client: httpx.Client, chance: random.Random) -> None:
        """Predictions as JSON and as NDJSON, and wrong ones."""
        inputs = [[[chance.random(), 1.0]] * chance.randrange(1, 20) for _ in range(chance.randrange(1, 9))]
        assert client.post(f"{self.api}/predict", json={"inputs": inputs}).status_code == 200  # noqa: S101
        lines = b"\n".join(json.dumps(one).encode() for one in [*inputs, "wrong"])
        headers = {"content-type": "application/x-ndjson"}
        assert client.post(f"{self.api}/predict", content=lines, headers=headers).status_code == 200  # noqa: S101
        assert client.post(f"{self.api}/predict", json={"inputs": [[["a"]]]}).status_code == 422  # noqa: S101

    def session(self, client: httpx.Client, chance: random.Random) -> None:
        """The life of a session, and of a fork. Some are left to expire."""
        answer = client.post(f"{self.api}/sessions")
        url = f"{self.api}/sessions/{answer.json()['session']}"
        for seq in range(chance.randrange(1, 6)):
            assert client.post(f"{url}/steps", json={"inputs": [[1, 2]], "seq": seq}).status_code == 200  # noqa: S101
        assert client.post(f"{url}/steps", json={"inputs": [[1, 2]], "seq": 99}).status_code == 409  # noqa: S101
        fork = f"{self.api}/sessions/{client.post(f'{url}/fork').json()['session']}"
        assert client.put(f"{fork}/state", content=client.get(f"{url}/state").content).status_code == 200  # noqa: S101
        client.delete(fork)
        if chance.random() < 0.95:
            client.delete(url)

    def stream(self, client: httpx.Client, chance: random.Random) -> None:
        """A WebSocket with temporary sessions; some are cut off."""
        with connect(f"ws{self.api[4:]}/stream") as opened:
            for _ in range(4):
                opened.send('{"open": {"keep": false}}')
                opened.recv(30)
            for seq in range(chance.randrange(1, 30)):
                opened.send(b"".join(struct.pack("<IIIff", handle, seq, 2, 0.5, seq) for handle in range(4)))
                opened.recv(30)
            if chance.random() < 0.3:
                opened.socket.close()

    def leave(self, client: httpx.Client, chance: random.Random) -> None:
        """Clients that leave in the middle of a request or of an answer."""
        body = json.dumps({"inputs": [[[1.0, 2.0]] * 500] * 5}).encode()
        head = b"POST /v1/models/sensor/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", self.port)) as opened:
            data = head + b"content-length: %d\r\n\r\n" % len(body) + body
            opened.sendall(data[: chance.randrange(1, len(data) + 1)])
        time.sleep(0.02)

    def sample(self) -> None:
        """Measures the server."""
        base = Path(f"/proc/{self.process.pid}")
        memory = int((base / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        found = re.search(r"recurra_sessions ([\d.]+)", httpx.get(f"{self.url}/metrics", timeout=30).text)
        self.samples.append((memory, len(list((base / "fd").iterdir())), float(found[1]) if found else 0))

    def run(self) -> int:
        """Runs the load; returns 1 if something grows or fails."""
        loads = [self.predict, self.session, self.stream, self.leave]
        threads = [threading.Thread(target=self.work, args=(load, i)) for i, load in enumerate(loads)]
        for thread in threads:
            thread.start()
        pause = max(0.5, (self.end - time.monotonic()) / 200)
        while time.monotonic() < self.end:
            time.sleep(pause)
            self.sample()
        for thread in threads:
            thread.join()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        fifth = len(self.samples) // 5
        second, last = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        text, grows = self.log.read_text(), False
        for i, (name, most) in enumerate((("memory in MB", MEMORY), ("open files", FILES), ("sessions", SESSIONS))):
            before, after = (statistics.median(one[i] for one in part) for part in (second, last))
            unit = 1e6 if i == 0 else 1
            grows |= after - before > most
            print(f"{name:14} {before / unit:10.1f} {after / unit:10.1f}")
        print(f"requests: {dict(self.counts)}; failures: {self.failures}; exit code: {code}")
        return int(grows or code != 0 or bool(self.failures) or "Traceback" in text)


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), given.minutes * 60)
        try:
            return soak.run()
        finally:
            soak.process.kill()
            soak.process.wait()


if __name__ == "__main__":
    sys.exit(main())
