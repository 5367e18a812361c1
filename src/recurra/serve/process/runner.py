"""Runs the server of `recurra serve` until a signal ends it."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from recurra.errors import RecurraError
from recurra.serve.settings import Settings

from . import logs
from .forward import Forward, address_of_worker
from .keys import Keys
from .listen import address_of, bind, is_loopback
from .server import Server
from .workers import Workers, listen_privately

SWITCH = 0.001
"""Seconds until a thread of Python lets another one run. The event loop would wait for the engine thread for 5 ms."""
COLLECT = 50_000
"""New objects until Python searches for unreachable cycles. The objects of a few dozen running requests reach its
default, 700, again and again: the searches cost as much as the rest of a request."""


def run(models: Mapping[str, Path], settings: Settings, host: str, port: int, say: Callable[[str], None]) -> int:
    """Serves models.

    Args:
        models: model folders by name.
        settings: limits.
        host: name or address of an interface.
        port: 0 for a free one.
        say: writes a message for a person.

    Returns:
        The exit code: 0 if all work ended in time, else 1.

    Raises:
        RecurraError: the address, the key file, a model folder or the state folder cannot be used.
    """
    listener = bind(host, port)  # before the models are loaded, which takes longer
    with listener:
        if settings.keys is None:
            if not is_loopback(listener):
                say(f"warning: everyone who reaches {host} can use the server; give a key file with --keys")
        else:
            Keys(settings.keys)

        def make(worker: tuple[int, int]) -> Any:
            from recurra.serve.app import create_app  # imports torch, so that errors above appear at once

            share_cores(settings.workers)
            app = create_app(models, settings, worker=worker)
            collect_rarely()
            return app

        def announce() -> None:
            say(f"{address_of(listener)} serves {', '.join(models)}")

        if settings.workers > 1:
            return run_workers(make, settings, listener, announce, say)
        return run_app(make((0, 1)), settings, listener, announce)


def run_workers(
    make: Callable[[tuple[int, int]], Any],
    settings: Settings,
    listener: socket.socket,
    on_start: Callable[[], None],
    say: Callable[[str], None],
) -> int:
    """Serves an application in several processes.

    Args:
        make: makes the application of a worker from its number and the number of workers.
        settings: limits.
        listener: a bound socket, which all workers share.
        on_start: called when all workers answer requests.
        say: writes a message for a person.

    Returns:
        The exit code: 0 if all work ended in time.

    Raises:
        RecurraError: the state folder cannot be used.
    """
    with ExitStack() as stack:
        if settings.state_dir is not None:
            from recurra.serve.store import claimed

            stack.enter_context(claimed(settings.state_dir))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recurra-")))  # of mode 0700
        count = settings.workers

        def work(number: int, on_ready: Callable[[], None], parent: int) -> int:
            try:
                app = make((number, count))
            except RecurraError as error:
                say(f"error: {error}")
                return error.exit_code
            private = listen_privately(str(address_of_worker(folder, number)))
            logs.configure()
            server = Server(Forward(app, folder, number, count), settings, private, parent)
            return server.serve_on(listener, on_ready)

        return Workers(count, work, say).run(on_start)


def share_cores(processes: int) -> None:
    """Limits the threads of the libraries. One core of this process is left to the event loop.

    The tokenizers run on the engine thread: their own threads would wait for each other longer than short texts take.

    Args:
        processes: number of worker processes.
    """
    import torch

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.setswitchinterval(SWITCH)
    torch.set_num_threads(min(torch.get_num_threads(), max(1, _cores() // processes - 1)))


def collect_rarely() -> None:
    """Makes the garbage collector of this process cheap: it searches rarely, and not among the objects so far."""
    gc.collect()
    gc.freeze()  # modules and models stay until the end
    gc.set_threshold(COLLECT)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_app(app: Any, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> int:
    """Serves an application of `create_app`.

    Args:
        app: the application.
        settings: limits.
        listener: a bound socket.
        on_start: called when requests are answered.

    Returns:
        The exit code: 0 if all work ended in time, else 1.
    """
    logs.configure()
    return Server(app, settings).serve_on(listener, on_start)
