"""Helpers of the browser tests: a server in a thread, and a tab that notes what goes wrong."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from recurra.serve import Settings, create_app

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT = 30_000
"""Milliseconds that a test waits for something; a busy machine can be slow."""


def chromium() -> str:
    """Returns the program of the browser; skips the tests without one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install one (Debian: chromium) or name it in $CHROMIUM")
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Starts a browser. Fixtures of it belong to one module: a process may run Playwright once at a time."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def served(models: dict[str, Any], **settings: Any) -> Iterator[str]:
    """Serves models on a free port of the loopback interface, in a thread; yields the address of the page."""
    app = create_app(models, Settings(**settings))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def until(page: Page, expression: str) -> None:
    """Waits until an expression is true in the page. (`wait_for_function` needs `eval`, which the policy forbids.)"""
    end = time.monotonic() + TIMEOUT / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(20)


class Tab:
    """A tab of the browser with its own storage.

    Args:
        browser: the browser.
        url: address of the page.
        model: model that is chosen.
        width: width of the window.
        go: whether the page is opened at once.
        ready: selector to wait for.
        **options: of the browser context, such as `locale`.

    Attributes:
        problems: errors and warnings of the console, and exceptions.
        requests: addresses of all requests and sockets.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        model: str,
        *,
        width: int = 1280,
        go: bool = True,
        ready: str = "#work h2",
        **options: Any,
    ) -> None:
        self.url, self._model, self._ready = url, model, ready
        self._context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self._context.set_default_timeout(TIMEOUT)
        self.page = self._context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"{error}\n{error.stack}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url.replace("ws", "http", 1)))
        if go:
            self.go()

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def go(self) -> None:
        """Opens the page."""
        self.page.goto(f"{self.url}#{self._model}")
        self.page.wait_for_selector(self._ready)

    def close(self) -> None:
        """Closes the tab."""
        self._context.close()
