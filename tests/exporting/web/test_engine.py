"""engine.wasm: its size, imports and bytes."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from recurra.exporting.web import FOLDER

ROOT = Path(__file__).parents[3]
BUILD = ROOT / "csrc" / "wasm"


def test_the_hash_is_that_of_the_file():
    found = hashlib.sha256((FOLDER / "engine.wasm").read_bytes()).hexdigest()
    assert (BUILD / "engine.wasm.sha256").read_text().split() == [found, "engine.wasm"]


def test_the_engine_is_small():
    assert len(gzip.compress((FOLDER / "engine.wasm").read_bytes())) < 64_000


def test_the_sources_give_the_same_bytes(tmp_path):
    if shutil.which("em++") is None:
        pytest.skip("no em++: install Debian's emscripten to rebuild engine.wasm")
    version = subprocess.run(["em++", "--version"], capture_output=True, text=True, check=True).stdout
    if " 3.1.6 " not in version:
        pytest.skip(f"other versions of emscripten give other bytes than 3.1.6: {version.splitlines()[0]}")
    built = tmp_path / "engine.wasm"
    subprocess.run(["sh", str(BUILD / "build.sh"), str(built)], check=True, timeout=120)
    assert built.read_bytes() == (FOLDER / "engine.wasm").read_bytes(), "run `make wasm`"
