"""Processes of the timed peers. Each peer has its own, because thread pools in one process disturb each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from recurra.errors import RecurraError

Name = TypeVar("Name")


class WorkerError(RecurraError):
    """A timed process failed; the message contains the end of its output."""


def environment(threads: int) -> dict[str, str]:
    """Returns environment variables that give every known thread pool the same size."""
    count = str(threads)
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")  # NPROC: XLA
    eigen = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {eigen}".strip()
    return {**os.environ, **dict.fromkeys(pools, count), "XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "3"}


def lines(command: Sequence[str], threads: int, order: Any = None) -> Iterator[dict[str, Any]]:
    """Runs a process and yields each line of JSON as soon as the process writes it.

    Args:
        command: command line of the process.
        threads: size of its thread pools.
        order: written to its standard input as JSON.

    Raises:
        WorkerError: the process failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(threads)
        )
        assert process.stdin is not None  # noqa: S101  (a pipe)
        assert process.stdout is not None  # noqa: S101  (a pipe)
        try:
            with suppress(BrokenPipeError), process.stdin as stdin:  # already dead; its exit code is checked below
                stdin.write(json.dumps(order))
            for line in process.stdout:
                yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if code:
            errors.seek(0)
            reason = errors.read().strip().splitlines()[-1:] or [f"exit code {code}"]
            raise WorkerError(f"{' '.join(command[1:])} failed: {reason[0]}")


def worker(order: dict[str, Any], threads: int) -> Iterator[dict[str, Any]]:
    """Sends an order to a new process, see `worker.py`; yields its results."""
    yield from lines([sys.executable, "-m", "recurra.bench.worker"], threads, order | {"threads": threads})


def script(path: str, *arguments: object, threads: int) -> dict[str, Any]:
    """Runs a Python script in a new process; returns the last line of JSON of its output."""
    *_, last = lines([sys.executable, path, *map(str, arguments)], threads)
    return last


def turns(names: Sequence[Name], rounds: int) -> Iterator[Name]:
    """Yields every name once per round, in alternating order.

    Example:
        >>> list(turns("ab", 3))
        ['a', 'b', 'b', 'a', 'a', 'b']
    """
    for i in range(rounds):
        yield from names if i % 2 == 0 else reversed(names)
