"""Fixtures for the tests of what looks inside."""

from __future__ import annotations

import pytest

from recurra.tasks.base import Estimator


@pytest.fixture
def untrained(monkeypatch):
    """`fit` learns tokens, scales and classes, but leaves the network as it was drawn: that takes no time."""

    def build(self, *_):
        self.network_ = self._build().eval()
        self.baselines_ = []

    monkeypatch.setattr(Estimator, "_train", build)
