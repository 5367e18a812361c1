"""Runs recurra-web in node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = Path(__file__).parent / "web" / "calls.mjs"


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
    """Runs calls of recurra-web, see calls.mjs.

    Args:
        calls: each has the path of a model file as `model`, the name of a method as `call`, and its `inputs`.

    Returns:
        The result of each call; a call that fails gives `{"error": message}`.
    """
    command = [find_node(), str(PROGRAM)]
    given = json.dumps(list(calls), default=_plain)
    done = subprocess.run(command, input=given, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return str(value)
    plain = value.astype(object)
    plain[np.isnan(value)] = None
    return plain.tolist()


def tensor(found: dict[str, Any]) -> np.ndarray:
    """Returns a `Tensor` of recurra-web as an array; null is NaN."""
    return np.array(found["data"], dtype=np.float32).reshape(found["shape"])
