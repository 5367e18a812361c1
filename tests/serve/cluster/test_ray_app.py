"""The server on Ray Serve: two replicas, one of which is removed or killed.

Ray listens at all network interfaces. Each test therefore runs in network and process namespaces of its own, with the
loopback interface only. They also end all processes of Ray.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recurra.errors import UsageError
from recurra.serve import Settings, ray_app

PROGRAM = Path(__file__).with_name("ray_checks.py")
ALONE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster")


def _can_be_alone() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*ALONE, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def model(sensor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with sessions."""
    folder = tmp_path_factory.mktemp("models") / "sensor"
    sensor.save(folder)
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Ray has sockets in it, whose paths are limited."""
    with tempfile.TemporaryDirectory(prefix="r") as name:
        yield Path(name)


def check(name: str, model: Path, folder: Path) -> dict[str, Any]:
    """Runs a check of `ray_checks.py` and returns what it found."""
    if not _can_be_alone():
        pytest.skip("needs network namespaces")
    inner = f'ip link set lo up && exec "{sys.executable}" "$@"'
    command = [*ALONE, "sh", "-c", inner, "sh", str(PROGRAM), str(model), name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text())


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_sessions_continue_with_a_new_directory_and_after_a_replica_was_removed(model, folder):
    """Steps arrive meanwhile over several connections; all answers have the bits of the model."""
    found = check("removed", model, folder)
    assert (found["before"], found["after"], found["steps"]) == (2, 1, 96)


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_sessions_of_a_killed_replica_end(model, folder):
    found = check("killed", model, folder)
    assert found["ended"] == [[410, "its replica ended unexpectedly"]] * (8 - found["continued"])
    assert found["ended"]
    assert found["continued"]


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_sessions_of_a_killed_replica_continue_from_their_folder(model, folder):
    """All answers have the bits of the model."""
    assert check("kept", model, folder) == {"steps": 96, "folders": 2}


def test_workers_are_refused(model):
    with pytest.raises(UsageError, match="replicas"):
        ray_app(model, Settings(workers=2))
