"""Fixtures for the tests of what looks inside."""

from __future__ import annotations

import pytest
from chromium import Chromium, find_chromium

from recurra.tasks.base import Estimator


@pytest.fixture
def untrained(monkeypatch):
    """`fit` learns tokens, scales and classes, but leaves the network as it was drawn: that takes no time."""

    def build(self, *_):
        self.network_ = self._build().eval()
        self.baselines_ = []

    monkeypatch.setattr(Estimator, "_train", build)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: install one (Debian: chromium) or name it in $CHROMIUM")
    found = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
