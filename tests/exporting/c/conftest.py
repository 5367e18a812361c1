"""Fixtures of the tests of C files."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(params=["gcc", "clang"])
def compiler(request) -> str:
    """Each compiler of C; the test skips where it is not installed."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param
