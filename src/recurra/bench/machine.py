"""What a result has to say about where and with what it was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .peers import PEERS


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # no Linux
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """Processor, architecture, cores and system."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "system": platform.system(),
    }


def versions(peers: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that the peers stand on."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys(["recurra", *(p for name in peers for p in PEERS[name])]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
