"""Installation: a build that fails is reported, and the package works without the engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = """#!/bin/sh
case "$*" in *engine.cpp*) echo "engine.cpp:7:1: error: broken on purpose" >&2; exit 1;; esac
exec c++ "$@"
"""
# an editable installation of the package would be found before the unpacked wheel
RECURRA = """
import sys
sys.meta_path = [f for f in sys.meta_path if "recurra" not in type(f).__module__]
sys.path.insert(0, sys.argv.pop(1))
from recurra import cli
cli.main()
"""


def test_lightning_with_malware_is_excluded():
    """Advisory GHSA-w37p-236h-pfx3."""
    from packaging.requirements import Requirement

    wanted = map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    (lightning,) = (r for r in wanted if r.name == "pytorch-lightning")
    allowed = [v for v in ("2.5.9", "2.6.0", "2.6.1", "2.6.2", "2.6.3", "2.6.4") if v in lightning.specifier]
    assert allowed == ["2.6.0", "2.6.1", "2.6.4"]


@pytest.mark.slow
def test_an_engine_that_does_not_compile_is_reported(tmp_path):
    """pip installs the package all the same, says so at the end, and `recurra doctor` shows the compiler's error."""
    compiler, log = tmp_path / "broken-c++", tmp_path / "log.txt"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir", "-w", tmp_path, ROOT]
    command += ["-C", f"build-dir={tmp_path / 'build'}"]
    with log.open("w") as file:
        done = subprocess.run(command, env={**os.environ, "CXX": str(compiler)}, stdout=file, stderr=file)
    output = log.read_text()
    assert done.returncode == 0, output[-3000:]
    said = [line.strip() for line in output.splitlines()]
    assert any(line.startswith("Recurra: compiling the C++ engine") for line in said)
    at = next(i for i, line in enumerate(said) if line.startswith("Recurra: the C++ engine was not built"))
    assert said[at + 1] == "engine.cpp:7:1: error: broken on purpose"
    assert not any("Building CXX" in line for line in said[at:])

    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    assert not list((tmp_path / "unpacked").rglob("_engine*"))
    run = [sys.executable, "-c", RECURRA, tmp_path / "unpacked", "doctor"]
    done = subprocess.run([*run, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    native = json.loads(done.stdout)["native engine"]
    assert native["built"] is False
    assert native["why not"] == "its compilation failed: engine.cpp:7:1: error: broken on purpose"
    assert "broken on purpose" in Path(native["output of the build"]).read_text()
    done = subprocess.run(run, capture_output=True, text=True)
    assert "broken on purpose" in re.sub(r"[\s│]+", " ", done.stdout)
