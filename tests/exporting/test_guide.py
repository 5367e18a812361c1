"""The guide about export: its commands and programs run, in their order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from javascript import find_node

import recurra

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "export.md"
PROGRAMS = {
    "npm": "npm",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi and libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
"""Programs that the guide runs, with their Debian packages."""


@pytest.mark.slow
def test_programs_of_the_guide(tmp_path):
    """A program is written to the file that its first line names."""
    find_node()
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: install it (Debian: {package}) to run the programs of the guide")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    printed = {}
    for language, code in blocks:
        if language == "bash":
            command, environment = ["bash", "-e", "-c", code], {**os.environ, "PATH": path}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr
            printed[code.splitlines()[-1]] = done.stdout
        elif language != "text":
            name = re.search(r"[\w.-]+\.\w+", code.splitlines()[0])
            assert name is not None
            (tmp_path / name[0]).write_text(code, encoding="utf-8")
    assert (tmp_path / "reviews.html").stat().st_size < 1_500_000
    assert set(printed["python read_reviews.py"].split()) <= {"0", "1"}
    assert len(printed["python read_reviews.py"].split()) == 2
    assert printed["node reviews.mjs"] == printed["python read_reviews.py"]
    (shown,) = (text for line, text in printed.items() if line.endswith("./kettle"))
    x = np.array([[26.2, 1558], [36.5, 1560], [44.9, 1551]])
    model: Any = recurra.load(tmp_path / "kettles")
    wanted = model.predict([x[:1], x[:2], x])
    assert [float(line.split()[0]) for line in shown.splitlines()] == pytest.approx(wanted, abs=6e-4)
    (emulated,) = (text for line, text in printed.items() if line.endswith("kettle.elf"))
    assert [float(line.split()[0]) for line in emulated.splitlines()] == pytest.approx(wanted, abs=6e-4)
    (estimate,) = (text for line, text in printed.items() if line.endswith("./kettle-openvino"))
    assert float(estimate) == pytest.approx(wanted[-1], abs=6e-4)
    assert shown.splitlines()[0].split()[1] == "litres"
    assert "[0] temperature\n  [1] watts\n" in (tmp_path / "kettle.c").read_text(encoding="utf-8")
    for program in ("node main.mjs", "node steps.mjs"):
        assert [float(line) for line in printed[program].splitlines()] == pytest.approx(wanted, abs=6e-4)
    writer: Any = recurra.load(tmp_path / "plays")
    assert "ROMEO:" + printed["node write.mjs"] == writer.generate("ROMEO:", 80, seed=1)
