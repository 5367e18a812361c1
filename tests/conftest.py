"""Fixtures that every tier shares."""

from __future__ import annotations

import gc
import os

# two spinning thread pools on a busy machine make small kernels many times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")
# messages are compared in English; tests of other languages change the environment themselves
os.environ["LANGUAGE"] = "en"

from pathlib import Path

import pytest
import torch
from hypothesis import settings

# these machines are noisy: a slow example is no failure
settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")

if not torch.accelerator.is_available():
    # for devices that are not there, torch keeps the seed with a trace of the stack, which takes most of `manual_seed`
    torch.cuda.manual_seed_all = torch.xpu.manual_seed_all = torch.mtia.manual_seed_all = lambda seed: None


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from looking at the tests themselves: a million objects that stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets (see tests/README.md), or a skip with its reason."""
    folder = Path(os.environ.get("RECURRA_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist; set RECURRA_DATA to the folder that holds it")
    return folder
