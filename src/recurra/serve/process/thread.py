"""Serves an application in a thread of this process, for notebooks, examples and tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recurra.errors import RecurraError

from .listen import address_of, bind
from .server import Server


class _ThreadServer(Server):
    """A server without signal handlers, which only the main thread may have."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles no signals."""
        yield


@contextmanager
def running(app: Any, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves an application of `create_app` in a thread while the block runs.

    Args:
        app: the application.
        host: address of an interface.
        port: 0 for a free one.

    Yields:
        The address of the server.

    Raises:
        RecurraError: the address cannot be used, or the application does not start.

    Example:
        >>> from recurra import SequenceRegressor
        >>> from recurra.serve import Client, create_app, running
        >>> model = SequenceRegressor(hidden_size=4, epochs=1, verbose=0).fit([[1.0, 2.0], [3.0]] * 8, [1.0, 2.0] * 8)
        >>> with running(create_app({"sums": model})) as url, Client(url) as client:
        ...     client.models()
        [{'name': 'sums', 'task': 'regress', 'title': 'Sequence regressor'}]
    """
    started, failures = threading.Event(), []
    with bind(host, port) as listener:
        server = _ThreadServer(app, app.state.server.settings)

        def serve() -> None:
            try:
                server.serve_on(listener, started.set)
            except BaseException as error:  # handed to the caller
                failures.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=serve, name="recurra-server", daemon=True)
        thread.start()
        started.wait()
        if failures:
            raise RecurraError(f"the server did not start: {failures[0]}") from failures[0]
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()
