"""Small trained models, and a server with all of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache

import pytest
from serve_helpers import LABELS, TEXTS, series, serving
from starlette.testclient import TestClient

from recurra import LanguageModel, SequenceClassifier


@pytest.fixture(scope="session", autouse=True)
def _certificates() -> Iterator[None]:
    """Loads the certificates once: that takes 20 ms, and each of the hundreds of clients would do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


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


@pytest.fixture(scope="module")
def client(
    sensor: SequenceClassifier, reviews: SequenceClassifier, both: SequenceClassifier, writer: LanguageModel
) -> Iterator[TestClient]:
    """A client of a server with all these models."""
    with serving({"sensor": sensor, "reviews": reviews, "both": both, "writer": writer}) as client:
        yield client
