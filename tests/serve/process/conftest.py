"""Fixtures: servers in other processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running import Running


@pytest.fixture(scope="module")
def serve(tmp_path_factory) -> Iterator[Any]:
    """Starts servers with some settings; equal settings share one. They end with the module."""
    servers: dict[str, Running] = {}

    def start(*, fresh: bool = False, **settings: Any) -> Running:
        key = f"{len(servers)}" if fresh else json.dumps(settings)
        if key not in servers:
            servers[key] = Running(tmp_path_factory.mktemp("server"), settings)
        return servers[key]

    yield start
    for running in servers.values():
        running.process.kill()
        running.process.wait()
        running.process.stdout.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20) as found:
        yield found
