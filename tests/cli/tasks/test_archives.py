"""The defaults on sets of the UEA and UCR archives, by their official split."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.data


def recurra(*arguments: object) -> str:
    command = [sys.executable, "-m", "recurra", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["JapaneseVowels", "JapaneseVowels_eq"], ids=["ragged", "equal"])
def test_japanese_vowels(tmp_path, data_dir, name):
    folder = data_dir / "japanese_vowels"
    recurra("fit", "classify", folder / f"{name}_TRAIN.ts", "--out", tmp_path / "m")
    figures = json.loads(recurra("evaluate", tmp_path / "m", folder / f"{name}_TEST.ts", "--json"))
    assert figures["n"] == 370
    assert figures["accuracy"] >= 0.965
    assert len(recurra("predict", tmp_path / "m", folder / f"{name}_TEST.ts").splitlines()) == 370
