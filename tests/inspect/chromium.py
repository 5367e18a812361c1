"""A headless Chromium driven through the DevTools protocol over a pipe: no port, no further package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT = 120.0
"""Seconds for one answer: these machines stop for a while now and then."""


def find_chromium() -> str | None:
    """The browser's program, None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A browser with one tab; notes what the page logs, throws and asks the network for.

    Args:
        program: of the browser.
        profile: an empty folder for its files.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self.to = os.pipe()
        self.back, from_browser = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        flags += ["--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={profile}"]
        # the browser takes the pipes as its files 3 and 4, and this process may have others there
        ends = (fcntl.fcntl(to_browser, fcntl.F_DUPFD, 10), fcntl.fcntl(from_browser, fcntl.F_DUPFD, 10))
        start = "import os, sys; a, b, *c = sys.argv[1:]; os.dup2(int(a), 3); os.dup2(int(b), 4); os.execv(c[0], c)"
        command = [sys.executable, "-c", start, *map(str, ends), program, *flags, "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in ends:
            os.close(end)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.session = b"", 0, None
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.loaded = 0
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            if not select.select([self.back], [], [], WAIT)[0]:
                raise TimeoutError("the browser does not answer")
            block = os.read(self.back, 1 << 20)
            if not block:
                raise RuntimeError("the browser has ended")
            self.rest += block
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.problems.append(str([a.get("value") for a in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.problems.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Page.loadEventFired":
                self.loaded += 1

    def open(
        self, page: Path, width: int = 1280, height: int = 900, *, language: str = "en-US", **features: str
    ) -> None:
        """Opens a file in a window of this size; `features` are media features such as `prefers_color_scheme`."""
        self.problems.clear()
        self.call("Emulation.setUserAgentOverride", userAgent="Chromium", acceptLanguage=language)
        self.requests.clear()
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=chosen)
        self.resize(width, height)
        before = self.loaded
        self.call("Page.navigate", url=page.as_uri())
        end = time.monotonic() + WAIT
        while self.loaded == before and time.monotonic() < end:
            self._note(self._next())

    def resize(self, width: int, height: int = 900) -> None:
        """Makes the window as large as this."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]["exception"].get("description")))
        return found["result"].get("value")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of the first element that a selector finds, scrolled into the window."""
        return tuple(
            self.run(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                "e.scrollIntoView({block: 'center', behavior: 'instant'});"
                "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
            )
        )

    def point(self, selector: str, across: float, down: float, *, press: bool = False) -> None:
        """Moves the mouse to a share of an element's width and height; presses it there."""
        left, top, width, height = self.box(selector)
        where = {"x": left + across * width, "y": top + down * height}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **where)
        if press:
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where)

    def key(self, name: str) -> None:
        """Presses a key, such as `ArrowRight` or `2`."""
        text = {"text": name} if len(name) == 1 else {}
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=codes.get(name, 0), **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Keeps a picture of the window, or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self.process.terminate()
        self.process.wait(30)
        os.close(self.to)
        os.close(self.back)
