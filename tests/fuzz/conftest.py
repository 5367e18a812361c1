"""Options and fixtures of the fuzz tier."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Fuzz, Server

KEEP = Path(os.environ.get("RECURRA_FUZZ_KEEP", "fuzz-failures")).absolute()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A warm process."""
    found = Server(tmp_path_factory.mktemp("logs"))
    yield found
    found.close()


@pytest.fixture
def fuzz(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fuzz]:
    """A runner whose time is an equal share of `RECURRA_FUZZ_SECONDS`, for all fuzz tests together."""
    total = float(os.environ.get("RECURRA_FUZZ_SECONDS", "240"))
    tests = [item for item in request.session.items if item.get_closest_marker("fuzz")]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    seed = int(os.environ.get("RECURRA_FUZZ_SEED", "0")) * 1_000_000 + zlib.crc32(request.node.name.encode()) % 1000
    yield Fuzz(server, tmp_path, workers * total / len(tests), seed, KEEP)
    shutil.rmtree(tmp_path, ignore_errors=True)
