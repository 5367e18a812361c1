"""The socket on which the server listens, with clear errors."""

from __future__ import annotations

import errno
import os
import socket

from recurra.errors import RecurraError, UsageError


def bind(host: str, port: int) -> socket.socket:
    """Opens a socket at an address. It does not listen yet, so that clients are refused until the models are loaded.

    Args:
        host: name or address of an interface of this machine.
        port: 0 for a free one.

    Raises:
        UsageError: the host cannot be resolved, or is not an address of this machine.
        RecurraError: the port is in use, or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host!r:.200} cannot be resolved: {getattr(error, 'strerror', error)}") from None
    family, kind, protocol, _, address = found[0]
    try:
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RecurraError(f"no socket can be opened for {host}: {error.strerror}") from None
    try:
        if os.name == "posix":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise _explained(error, host, port) from None
    opened.setblocking(False)
    return opened


def address_of(listener: socket.socket) -> str:
    """Returns the URL of a listening socket, with its real port."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Returns whether only programs of this machine can connect."""
    host = listener.getsockname()[0]
    return host == "::1" or host.startswith("127.")


def _explained(error: OSError, host: str, port: int) -> RecurraError:
    if error.errno == errno.EADDRINUSE:
        return RecurraError(
            f"port {port} of {host} is in use; choose another one with --port, or --port 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return RecurraError(f"port {port} needs the rights of an administrator; choose one from 1024, such as 8000")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"--host {host} is not an address of this machine")
    return RecurraError(f"the server cannot listen at {host}, port {port}: {error.strerror}")
