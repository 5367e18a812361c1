"""Runs recurra-web in node and in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from chromium import find_chromium

from recurra.exporting.web import FOLDER

PROGRAMS = Path(__file__).parent / "web"
ROOT = Path(__file__).parents[2]


@cache
def find_node() -> str:
    """Returns the path of node, or skips the test."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node: install it (Debian: nodejs) to run the tests of recurra-web")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 18:
        pytest.skip(f"node {version.strip()} is older than 18: no WebAssembly with vectors by default")
    return found


def run(calls: Sequence[dict[str, Any]]) -> list[Any]:
    """Runs calls of recurra-web in node, see calls.mjs.

    Args:
        calls: each has the path of a model file as `model`, the name of a method as `call`, and its `inputs`.

    Returns:
        The result of each call; a call that fails gives `{"error": message}`.
    """
    given = {"engine": str(FOLDER / "engine.wasm"), "calls": _text(calls), "files": _files(calls)}
    command = [find_node(), str(PROGRAMS / "node.mjs")]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_in_chromium(calls: Sequence[dict[str, Any]]) -> list[Any]:
    """Runs calls like `run` in Chromium. It gets files of the repository and the model files, and nothing else."""
    from playwright.sync_api import Route, sync_playwright

    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: install one (Debian: chromium) or name it in $CHROMIUM")
    files = _files(calls)

    def answer(route: Route) -> None:
        path = unquote(urlsplit(route.request.url).path)
        if path == "/":
            route.fulfill(body="<!doctype html>", content_type="text/html")
        else:
            route.fulfill(path=path if path in files else f"{ROOT}{path}")

    script = """async ([calls, files]) => {
      const { run } = await import("/tests/exporting/web/calls.mjs");
      const read = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
      const contents = Object.fromEntries(await Promise.all(files.map(async (path) => [path, await read(path)])));
      return run(await read("/src/recurra/exporting/web/engine.wasm"), calls, contents);
    }"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", answer)
        page.goto("http://recurra.test/")
        found = page.evaluate(script, [_text(calls), files])
        browser.close()
    return json.loads(found)


RUNNERS = [run, pytest.param(run_in_chromium, marks=pytest.mark.slow)]
"""Both, as parameters of a test."""


def _text(calls: Sequence[dict[str, Any]]) -> str:
    return json.dumps(list(calls), default=_plain)


def _files(calls: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({str(call[name]) for call in calls for name in ("model", "file") if name in call})


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return str(value)
    plain = value.astype(object)
    plain[np.isnan(value)] = None
    return plain.tolist()


def tensor(found: dict[str, Any]) -> np.ndarray:
    """Returns a `Tensor` of recurra-web as an array; null is NaN."""
    return np.array(found["data"], dtype=np.float32).reshape(found["shape"])
