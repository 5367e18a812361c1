"""Fixtures of the tests of C files."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(params=["gcc", "clang"])
def compiler(request) -> str:
    """Each compiler of C, of Clang also one with a version in its name; the test skips if it is not installed."""
    names = [request.param, *(f"{request.param}-{version}" for version in range(30, 10, -1))]
    found = next(filter(shutil.which, names), None)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    return found
