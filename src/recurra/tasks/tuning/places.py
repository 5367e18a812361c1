"""The processes that run trials: this one, or others on this machine."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from recurra.errors import EngineError

from .trial import Assignment, Outcome, Problem, Report, run_trial

PROCESS_BYTES, COPIES = 700 << 20, 4
"""Memory of a process without data, and copies of the data that it needs while it prepares them."""
MODULE = "recurra.tasks.tuning.worker"


class Place(Protocol):
    """Runs one trial at a time."""

    def ready(self) -> bool:
        """Returns True if a trial can start now."""
        ...

    def run(self, assignment: Assignment, report: Report) -> Outcome:
        """Runs a trial. The outcome is `"lost"` if its process ended."""
        ...

    def close(self) -> None:
        """Ends the process. `run` of another thread then returns."""
        ...


class Here:
    """This process, with all threads."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def ready(self) -> bool:
        """See `Place.ready`."""
        return True

    def run(self, assignment: Assignment, report: Report) -> Outcome:
        """See `Place.run`."""
        return run_trial(self.problem, assignment, report)

    def close(self) -> None:
        """See `Place.close`."""


class Process:
    """Another process on this machine, which is started again if it ended.

    Args:
        problem: pickled, see `pickled`.
        threads: number of its threads.
    """

    def __init__(self, problem: bytes, threads: int) -> None:
        self.problem, self.threads = problem, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """See `Place.ready`."""
        return True

    def run(self, assignment: Assignment, report: Report) -> Outcome:
        """See `Place.run`."""
        try:
            process = self._started()
            send(process.stdin, assignment)
            while not isinstance(found := receive(process.stdout), Outcome):
                send(process.stdin, report(*found))
            return found
        except (EOFError, OSError, pickle.UnpicklingError):
            with self._lock:
                self._end()
            return Outcome("lost")

    def _started(self) -> Any:
        with self._lock:
            if self._closed:
                raise EOFError
            if self._process is None:
                # another session: Ctrl-C in the terminal reaches the process that started it only
                self._process = subprocess.Popen(
                    [sys.executable, "-m", MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
                fresh = True
            else:
                fresh = False
            process = self._process
        if fresh:
            assert process.stdin is not None  # noqa: S101  (for the type checker)
            send(process.stdin, self.threads)
            process.stdin.write(self.problem)
            process.stdin.flush()
        return process

    def close(self) -> None:
        """See `Place.close`."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError, AttributeError):
                    pipe.close()  # type: ignore[union-attr]
            self._process = None


def send(pipe: Any, value: Any) -> None:
    """Writes a value to a pipe."""
    pickle.dump(value, pipe)
    pipe.flush()


def receive(pipe: Any) -> Any:
    """Reads the next value from a pipe.

    Raises:
        EOFError: the other side has ended.
    """
    return pickle.load(pipe)  # noqa: S301  (from a process of our own)


def pickled(problem: Problem) -> bytes:
    """Returns a problem as bytes. Classes of the user's own script, such as a cell, are contained.

    Raises:
        EngineError: the problem contains an object that other processes cannot receive.
    """
    import cloudpickle

    try:
        found = io.BytesIO()
        cloudpickle.dump(problem, found)
        return found.getvalue()
    except Exception as error:  # pickle raises errors of many kinds
        raise EngineError(f"the data cannot be sent to other processes: {error}; use workers=1") from None


def processes_for(cores: int, size: int) -> int:
    """Returns the number of processes that run trials: one for each core, if there is enough memory.

    Args:
        cores: number of cores.
        size: size of the data in bytes.
    """
    most = available_memory() // (PROCESS_BYTES + COPIES * size)
    return max(1, min(cores, most))


def available_memory() -> int:
    """Returns the available memory in bytes; a large number where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 1 << 62


def local_places(problem: Problem, workers: int | None, trials: int | None) -> Sequence[Place]:
    """Returns the processes of this machine that run trials.

    Args:
        problem: the part that all trials have in common.
        workers: their number; None to choose it.
        trials: number of trials; None if it is not limited.
    """
    cores, device = torch.get_num_threads(), problem.estimator.device
    gpu = device not in ("auto", "cpu") or (device == "auto" and torch.cuda.is_available())
    if workers == 1 or (workers is None and (gpu or cores == 1 or trials == 1)):
        return [Here(problem)]
    content = pickled(problem)
    count = workers or min(processes_for(cores, len(content)), trials or cores)
    if count == 1:
        return [Here(problem)]
    return [Process(content, max(1, cores // count)) for _ in range(count)]
