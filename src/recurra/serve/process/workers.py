"""Several worker processes with one listening socket. The parent starts, restarts and ends them.

The parent imports no torch and has no threads, so that `fork` is safe, also for a worker that is started again.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

MAX_FAILURES = 5
"""Restarts of a worker in a row. A worker that ran for `STABLE` seconds begins to count anew."""
STABLE = 60.0
FIRST_DELAY = 0.5
"""Seconds before the first restart in a row; each further delay is twice as long."""


class _Worker(NamedTuple):
    number: int
    started: float
    ready: int


class Workers:
    """The worker processes.

    Args:
        count: number of workers.
        work: runs a worker until it ends, and returns its exit code. Its arguments are the number of the worker, a
            function to call when it answers requests, and a file that ends when the parent ends.
        say: writes a message for a person.
    """

    def __init__(
        self, count: int, work: Callable[[int, Callable[[], None], int], int], say: Callable[[str], None]
    ) -> None:
        self._count, self._work, self._say = count, work, say
        self._alive: dict[int, _Worker] = {}
        self._failures = [0] * count
        self._leaving = False
        self._lifeline = os.pipe()

    def run(self, on_start: Callable[[], None]) -> int:
        """Runs the workers until a signal ends them.

        Args:
            on_start: called when all workers answer requests.

        Returns:
            0 if all workers ended with 0. The code of a worker that cannot start, or 1, otherwise.
        """
        before = {number: signal.signal(number, self._on_signal) for number in _signals()}
        try:
            for number in range(self._count):  # one after the other, so that an error is written once
                code = self._wait_ready(self._start(number))
                if code is not None:
                    return self._end(code)
            if not self._leaving:
                on_start()
            return self._watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._lifeline[1])

    def _watch(self) -> int:
        """Restarts workers that die, until all have ended."""
        worst = 0
        while self._alive:
            pid, status = os.waitpid(-1, 0)
            worker = self._alive.pop(pid, None)
            if worker is None:
                continue
            os.close(worker.ready)
            code = os.waitstatus_to_exitcode(status)
            if self._leaving:
                worst = worst or int(code != 0)
            elif not self._restart(worker, code):
                return self._end(1)
        return worst

    def _restart(self, worker: _Worker, code: int) -> bool:
        """Starts a worker again after a delay. Returns False if it failed too often."""
        failures = 0 if time.monotonic() - worker.started > STABLE else self._failures[worker.number]
        self._failures[worker.number] = failures + 1
        if failures >= MAX_FAILURES:
            self._say(f"error: worker {worker.number} ended {failures + 1} times; the server ends")
            return False
        self._say(f"warning: worker {worker.number} ended with code {code} and is started again")
        end = time.monotonic() + FIRST_DELAY * 2**failures
        while time.monotonic() < end and not self._leaving:
            time.sleep(0.05)
        if not self._leaving:
            self._start(worker.number)
        return True

    def _start(self, number: int) -> int:
        """Starts a worker and returns the id of its process."""
        readable, writable = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _signals())  # until the worker has its handlers
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
            os.close(writable)
            self._alive[pid] = _Worker(number, time.monotonic(), readable)
            return pid
        code = 1
        try:
            os.setpgrp()  # Ctrl+C in a terminal reaches the parent only, which passes it on
            os.close(readable)
            os.close(self._lifeline[1])
            for handled in _signals():
                signal.signal(handled, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
            code = self._work(
                number, lambda: os.close(writable) if os.write(writable, b"r") else None, self._lifeline[0]
            )
        except BaseException as error:
            self._say(f"error: worker {number}: {type(error).__name__}: {error}")
        finally:
            os._exit(code)

    def _wait_ready(self, pid: int) -> int | None:
        """Waits until a worker answers requests. Returns its exit code if it ends before."""
        if os.read(self._alive[pid].ready, 1):
            return None
        os.close(self._alive.pop(pid).ready)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code > 0 else 1

    def _end(self, code: int) -> int:
        """Ends all workers."""
        self._on_signal(signal.SIGTERM, None)
        self._watch()
        return code

    def _on_signal(self, number: int, frame: object) -> None:
        """Passes a signal on."""
        self._leaving = self._leaving or number in (signal.SIGTERM, signal.SIGINT)
        for pid in list(self._alive):
            os.kill(pid, number)


def _signals() -> list[signal.Signals]:
    return [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def listen_privately(path: str) -> socket.socket:
    """Opens a Unix domain socket for the other workers. A socket file of an earlier process is replaced."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):  # noqa: PTH110
        os.unlink(path)  # noqa: PTH108
    opened.bind(path)
    opened.setblocking(False)
    return opened
