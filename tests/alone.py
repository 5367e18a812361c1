"""Runs programs of tests with Ray.

Ray listens at all network interfaces. Each program therefore runs in network and process namespaces of its own, with
the loopback interface only. They also end all processes of Ray.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMESPACES = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Ray has sockets in it, whose paths are limited."""
    with tempfile.TemporaryDirectory(prefix="r") as name:
        yield Path(name)


def run_alone(program: Path, check: str, folder: Path, *arguments: str, seconds: float = 1500) -> dict[str, Any]:
    """Runs a program and returns what it wrote to the file `CHECK.json` in the folder.

    Args:
        program: it takes the arguments CHECK, FOLDER and the others.
        check: what it checks.
        folder: for its files.
        arguments: the others.
        seconds: time limit.
    """
    if not _can_be_alone():
        pytest.skip("needs network namespaces")
    inner = f'ip link set lo up && exec "{sys.executable}" "$@"'
    command = [*_NAMESPACES, "sh", "-c", inner, "sh", str(program), check, str(folder), *arguments]
    helpers = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": helpers}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / f"{check}.json").read_text())


def _can_be_alone() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_NAMESPACES, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0
