"""Compares text with a file that is checked in."""

from __future__ import annotations

import os
from pathlib import Path


def check(file: Path, text: str) -> None:
    """Fails if the text differs from the file. With RECURRA_UPDATE=1 in the environment, writes the file instead."""
    if os.environ.get("RECURRA_UPDATE") == "1":
        file.write_text(text, encoding="utf-8")
    known = file.read_text(encoding="utf-8")
    assert text == known, f"{file.name} has changed; if this is intended, run this test with RECURRA_UPDATE=1"
