"""The tagger's defaults on real Korean sentences: the Universal Dependencies treebank UD_Korean-GSD."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.data


def recurra(*arguments: object) -> str:
    command = [sys.executable, "-m", "recurra", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_parts_of_speech(tmp_path, data_dir):
    """A third of the training sentences, so that it takes less than a minute."""
    folder, train = data_dir / "ud_korean_gsd", tmp_path / "train.conllu"
    sentences = (folder / "ko_gsd-ud-train.conllu").read_text(encoding="utf-8").split("\n\n")
    train.write_text("\n\n".join(sentences[:1500]) + "\n\n", encoding="utf-8")
    options = ["--target", "upos", "--epochs", 8, "--valid", folder / "ko_gsd-ud-dev.conllu", "--out", tmp_path / "M"]
    recurra("fit", "tag", train, *options)
    figures = json.loads(recurra("evaluate", tmp_path / "M", folder / "ko_gsd-ud-test.conllu", "--json"))
    assert figures["n"] == 11_677
    assert figures["accuracy"] >= 0.88
    assert figures["unseen_word_accuracy"] >= 0.83
