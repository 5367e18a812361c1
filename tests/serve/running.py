"""Server processes for the tests, on a free port of the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "process" / "small_app.py"


class Running:
    """A server process."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            command = [sys.executable, SCRIPT, json.dumps(settings)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.process.wait()
            self.process.stdout.close()
            raise AssertionError(self.log.read_text())
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """Opens a connection."""
        return socket.create_connection(self.address, timeout)

    def exchange(self, data: bytes) -> bytes:
        """Sends bytes and reads until the server closes the connection."""
        with closing(self.connect()) as connection:
            connection.sendall(data)
            return read_all(connection)

    def memory(self) -> int:
        """Bytes of memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def logs(self) -> list[dict[str, Any]]:
        """Entries of the log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


def read_all(connection: socket.socket) -> bytes:
    """Reads until the end. A reset counts as the end."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def until(check, seconds: float = 10.0) -> Any:
    """Waits until a function returns something true, and returns it."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)
    return found
