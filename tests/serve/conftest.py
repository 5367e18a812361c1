"""Small trained models, and applications that serve them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from recurra import LanguageModel, SequenceClassifier
from recurra.serve import Settings, create_app

TEXTS = ["good film", "bad film", "so good", "so bad", "a good story", "a bad story"] * 6
LABELS = ["pos", "neg"] * 18


def series(count: int, features: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Random sequences of 1 to 8 steps."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(random.integers(1, 9), features)) for _ in range(count)]


@pytest.fixture(scope="session")
def sensor() -> SequenceClassifier:
    """A classifier of numeric series in one direction, which has sessions."""
    X = series(40)
    y = ["up" if row[:, 0].mean() > 0 else "down" for row in X]
    model = SequenceClassifier(hidden_size=5, num_layers=2, bidirectional=False, pooling="mean", epochs=2, verbose=0)
    return model.fit(X, y)


@pytest.fixture(scope="session")
def reviews() -> SequenceClassifier:
    """A classifier of texts."""
    model = SequenceClassifier(hidden_size=6, tokens="word", epochs=2, verbose=0)
    return model.fit(TEXTS, LABELS)


@pytest.fixture(scope="session")
def both() -> SequenceClassifier:
    """A bidirectional classifier, which has no sessions."""
    return SequenceClassifier(hidden_size=4, bidirectional=True, epochs=1, verbose=0).fit(series(20), ["a", "b"] * 10)


@pytest.fixture(scope="session")
def writer() -> LanguageModel:
    """A language model."""
    return LanguageModel(hidden_size=12, bptt=8, epochs=3, verbose=0).fit("a cat sat on the mat\n" * 40)


@contextmanager
def serving(models: dict[str, Any], **settings: Any) -> Iterator[TestClient]:
    """Serves models in this process."""
    with TestClient(create_app(models, Settings(**settings)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(
    sensor: SequenceClassifier, reviews: SequenceClassifier, both: SequenceClassifier, writer: LanguageModel
) -> Iterator[TestClient]:
    """A client of a server with all these models."""
    with serving({"sensor": sensor, "reviews": reviews, "both": both, "writer": writer}) as client:
        yield client
