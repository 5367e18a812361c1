"""Runs commands in forked copies of a process that has already imported everything: about 50 ms instead of 3 s each.

`python server.py` reads one JSON request per line: `{"call": NAME, "arguments": …, "folder": PATH, "seconds": S}`.
It answers with one line: exit code or signal, wall time and peak memory of the child.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

ADDRESS_SPACE = 12 << 30
"""Stops a child before it takes the memory of the machine, in bytes. The tests allow much less."""


def command(arguments: list[str]) -> None:
    """Runs `recurra` with these arguments."""
    from recurra import cli

    sys.argv = ["recurra", *arguments]
    cli.main()


def layer(arguments: int) -> None:
    """Compares one random layer with torch's."""
    from layers import compare

    compare(arguments)


def killed(arguments: list) -> None:
    """Runs `recurra` and kills it when a file was written for the n-th time."""
    words, name, times = arguments
    threading.Thread(target=_kill_after, args=(Path(name), times), daemon=True).start()
    command(words)


def _kill_after(path: Path, times: int) -> None:
    seen: set[int] = set()
    while len(seen) < times:
        with contextlib.suppress(FileNotFoundError):
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


CALLS = {"command": command, "killed": killed, "layer": layer}


def warm_up() -> None:
    """Imports what commands need, and starts no thread: a fork copies only the thread that calls it."""
    for name in (
        "recurra.cli",
        "recurra.training.loop",
        "recurra.tasks.restore",
        "recurra.inspect",
        "recurra.nn",
        "scipy.signal",
    ):
        importlib.import_module(name)
    for task in importlib.import_module("recurra.tasks.registry").tasks():
        task.load()
    importlib.import_module("torch").set_num_threads(1)


def child(request: dict) -> None:
    """Never returns."""
    os.setsid()
    os.chdir(request["folder"])
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name if number == 0 else str(Path(request["logs"]) / name), flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, m, encoding="utf-8") for n, m in ((0, "r"), (1, "w"), (2, "w")))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    code = 0
    try:
        CALLS[request["call"]](request["arguments"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def answer(request: dict) -> dict:
    """Forks, waits for the child and ends it when its time is over."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(request)
    late = False
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if not late and time.monotonic() - start > request["seconds"]:
            late = True
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    seconds = time.monotonic() - start
    return {"code": os.waitstatus_to_exitcode(status), "late": late, "seconds": seconds, "peak": usage.ru_maxrss << 10}


def main() -> None:
    """Answers requests until standard input ends."""
    warm_up()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
