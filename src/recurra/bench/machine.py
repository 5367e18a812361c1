"""Facts about the machine and the software of a result."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .peers import PEERS


def processor() -> str:
    """Name of the processor, if the system provides it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
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


class Others:
    """Measures the use of the machine by other programs from now on; Linux only."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float | None:
        """Mean number of cores that other programs used; None if unknown."""
        now = self._now()
        if now is None or self._start is None:
            return None
        wall, busy, own = (new - old for new, old in zip(now, self._start, strict=True))
        return max(busy - own, 0.0) / max(wall, 1e-9)

    def _now(self) -> tuple[float, float, float] | None:
        """Wall seconds, busy seconds of all cores, and CPU seconds of this process with its finished children."""
        try:
            first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
        except OSError:
            return None
        user, nice, system, _, _, irq, soft, steal = map(int, first.split()[1:9])
        spent = os.times()
        own = spent.user + spent.system + spent.children_user + spent.children_system
        return time.monotonic(), (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK"), own


def versions(peers: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that the peers use."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys(["recurra", *(p for name in peers for p in PEERS[name])]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
