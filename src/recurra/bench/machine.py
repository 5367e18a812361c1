"""What a result has to say about where and with what it was measured."""

from __future__ import annotations

import os
import platform
import time
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


class Others:
    """How much of the machine other programs use from now on; Linux only."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float | None:
        """Cores that they kept busy, as a mean; None where the system does not tell."""
        now = self._now()
        if now is None or self._start is None:
            return None
        wall, busy, own = (new - old for new, old in zip(now, self._start, strict=True))
        return max(busy - own, 0.0) / max(wall, 1e-9)

    def _now(self) -> tuple[float, float, float] | None:
        """Seconds on the clock, of all cores at work, and of this process with its finished children."""
        try:
            first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
        except OSError:
            return None
        user, nice, system, _, _, irq, soft, steal = map(int, first.split()[1:9])
        spent = os.times()
        own = spent.user + spent.system + spent.children_user + spent.children_system
        return time.monotonic(), (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK"), own


def versions(peers: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that the peers stand on."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys(["recurra", *(p for name in peers for p in PEERS[name])]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
