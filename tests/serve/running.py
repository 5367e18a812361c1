"""Server processes for the tests, on a free port of the loopback interface."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
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


def read_all(connection: socket.socket, request: bytes = b"") -> bytes:
    """Reads the answer to a request until its end, which must come before the timeout. A reset counts as the end."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise AssertionError(f"no end: {request[:1000]!r} {found[:1000]!r}") from None
    return found


def until(check, seconds: float = 10.0) -> Any:
    """Waits until a function returns something true, and returns it."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)
    return found


class Forked:
    """A process of the command line that is forked from one which has imported its modules: that saves 3 s of work.

    It has the methods of `subprocess.Popen` that the tests need.
    """

    _origin = multiprocessing.get_context("forkserver")
    _origin.set_forkserver_preload(["recurra.cli.app", "recurra.serve.app", "recurra.serve.process.runner"])

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._process = self._origin.Process(target=_command, args=(arguments, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Returns the exit code, or None."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit code."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutError(f"the process did not end in {timeout} s")
        return code


def _command(arguments: list[str], log: Path) -> None:
    """Runs the command line in this process."""
    for path, number in ((Path(os.devnull), 1), (log, 2)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), number)
    sys.argv = ["recurra", *arguments]
    from recurra.cli import main

    main()


class Serving:
    """A process of `recurra serve`.

    Args:
        folder: folder for its log.
        models: arguments for the models.
        options: further arguments.
        forked: whether the process is forked, see `Forked`. One with workers must be a new one.
    """

    def __init__(self, folder: Path, models: list[str], *options: str, forked: bool = False) -> None:
        self.log = folder / "serve.log"
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        command = ["serve", *models, "--port", "0", *options]
        self.process: Any
        if forked:
            self.log.touch()
            self.process = Forked(command, self.log)
        else:
            with self.log.open("ab") as log:
                whole = [sys.executable, "-m", "recurra", *command]
                self.process = subprocess.Popen(whole, stderr=log, stdout=subprocess.DEVNULL)
        found = until(lambda: re.search(r"http://127.0.0.1:(\d+) serves", self.text()) or self._ended(), 120)
        self.address = ("127.0.0.1", int(found[1]))
        self.url = f"http://127.0.0.1:{found[1]}"

    def _ended(self) -> None:
        assert self.process.poll() is None, self.text()

    def text(self) -> str:
        """The log since the start of this process."""
        with self.log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode()

    def workers(self) -> list[int]:
        """Numbers of the processes that the process has started."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def memory(self) -> int:
        """Bytes of memory of the process and its workers."""
        pages = sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [self.process.pid, *self.workers()]
        )
        return pages * os.sysconf("SC_PAGE_SIZE")

    def files(self) -> int:
        """Number of open files of the process."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 40.0) -> int:
        """Asks the process to end and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)
