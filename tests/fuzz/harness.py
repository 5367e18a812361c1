"""What every fuzz test promises, and the client of `server.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 10.0
"""Longest time that a command may take, in seconds."""
MEMORY = 2 << 30
"""Most memory that a command may take, in bytes."""
ALLOWED = {0, 2, 3, 4, 5}
"""Exit codes of the design without 1 (a failure of Recurra itself) and 130 (Ctrl-C)."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: exit code; negative for a signal.
        late: whether it was ended because it took too long.
        seconds: wall time.
        peak: largest resident memory in bytes.
        out: standard output.
        err: standard error.
    """

    code: int
    late: bool
    seconds: float
    peak: int
    out: str
    err: str

    def fault(self, allowed: set[int] = ALLOWED) -> str:
        """What breaks the promise; empty if nothing does."""
        if self.late:
            return f"no end after {self.seconds:.0f} s"
        if self.code not in allowed:
            return f"exit code {self.code}"
        if "Traceback (most recent call last)" in self.err or "panicked at" in self.err:
            return "a traceback"
        if self.code and not self.err.strip():
            return f"exit code {self.code} without a message"
        if self.peak > MEMORY:
            return f"{self.peak / 2**30:.1f} GiB of memory"
        return ""


class Server:
    """A warm process that runs commands in forked children."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": str(HERE)}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert json.loads(self._read()) == {"ready": True}

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, call: str, arguments: Any, folder: Path, seconds: float = SECONDS) -> Outcome:
        """Runs a call of `server.CALLS` in a folder."""
        request = {
            "call": call,
            "arguments": arguments,
            "folder": str(folder),
            "seconds": seconds,
            "logs": str(self.logs),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        found = json.loads(self._read())
        texts = [(self.logs / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr")]
        return Outcome(found["code"], found["late"], found["seconds"], found["peak"], *texts)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


class Fuzz:
    """Runs cases until the time of a test is over, and keeps the input of the first one that fails.

    Args:
        server: runs the commands.
        folder: an empty folder for the cases.
        seconds: time for all cases of the test.
        seed: of the first case; the case `n` of a seed is always the same.
        keep: folder for inputs that fail.
    """

    def __init__(self, server: Server, folder: Path, seconds: float, seed: int, keep: Path) -> None:
        self.server, self.folder, self.seconds, self.seed, self.keep = server, folder, seconds, seed, keep

    def cases(self, least: int = 10) -> Any:
        """Numbers of the cases: at least some, then as many as the time allows."""
        start, number = time.monotonic(), self.seed
        while number < self.seed + least or time.monotonic() - start < self.seconds:
            yield number
            number += 1

    def check(
        self, name: str, arguments: Any, folder: Path, *, allowed: set[int] = ALLOWED, call: str = "command"
    ) -> Outcome:
        """Runs a command; a fault fails the test and keeps the folder.

        A command that took too long runs once more, since the machine may be busy.
        """
        outcome = self.server.run(call, arguments, folder)
        if outcome.late:
            outcome = self.server.run(call, arguments, folder, 2 * SECONDS)
        fault = outcome.fault(allowed)
        if fault:
            kept = self.keep / name
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept, symlinks=True)
            lines = "\n".join(outcome.err.strip().splitlines()[-8:])
            raise AssertionError(f"{fault}\n{name}: {call} {arguments}\ninput kept in {kept}\n{lines}")
        return outcome
