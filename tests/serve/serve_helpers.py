"""Helpers of the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from recurra.serve import Settings, create_app

TEXTS = ["good film", "bad film", "so good", "so bad", "a good story", "a bad story"] * 6
LABELS = ["pos", "neg"] * 18


def series(count: int, features: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Random sequences of 1 to 8 steps."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(random.integers(1, 9), features)) for _ in range(count)]


@contextmanager
def serving(models: dict[str, Any], **settings: Any) -> Iterator[TestClient]:
    """Serves models in this process."""
    with TestClient(create_app(models, Settings(**settings)), raise_server_exceptions=False) as client:
        yield client
