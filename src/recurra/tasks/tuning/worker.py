"""Program of a process that runs trials: it reads them from standard input and writes results to standard output."""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import Any

import torch

from recurra.tasks.tuning.places import receive, send
from recurra.tasks.tuning.trial import Problem, run_trial


def main() -> None:
    """Runs trials until standard input ends, which also ends a running trial."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not reach the results
    torch.set_num_threads(receive(sys.stdin.buffer))
    problem: Problem = receive(sys.stdin.buffer)
    given: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(given,), daemon=True).start()

    def report(step: int, score: float) -> bool:
        send(answers, (step, score))
        return given.get()

    while True:
        send(answers, run_trial(problem, given.get(), report))


def _read(given: queue.Queue[Any]) -> None:
    """Reads messages; ends the process when the other side has ended."""
    try:
        while True:
            given.put(receive(sys.stdin.buffer))
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main()
