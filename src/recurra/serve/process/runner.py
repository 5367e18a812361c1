"""Runs the server of `recurra serve` until a signal ends it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recurra.serve.settings import Settings

from . import logs
from .keys import Keys
from .listen import address_of, bind, is_loopback
from .server import Server


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
        from recurra.serve.app import create_app  # imports torch, so that errors above appear at once

        return run_app(
            create_app(models, settings), settings, listener, lambda url: say(f"{url} serves {', '.join(models)}")
        )


def run_app(app: Any, settings: Settings, listener: socket.socket, on_start: Callable[[str], None]) -> int:
    """Serves an application of `create_app`.

    Args:
        app: the application.
        settings: limits.
        listener: a bound socket.
        on_start: called with the URL when requests are answered.

    Returns:
        The exit code: 0 if all work ended in time, else 1.
    """
    logs.configure()
    return Server(app, settings).serve_on(listener, lambda: on_start(address_of(listener)))
