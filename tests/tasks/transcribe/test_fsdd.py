"""Spoken digits of the Free Spoken Digit Dataset: classified, and written down in strings."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from recurra import SequenceClassifier, Transcriber

pytestmark = pytest.mark.data

SCRIPT = Path(__file__).parents[3] / "examples" / "digit_strings.py"


@pytest.fixture(scope="module")
def recordings(data_dir):
    folder = data_dir / "fsdd" / "recordings"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    return folder


def test_digits_by_the_official_split(recordings):
    paths = sorted(recordings.glob("*.wav"))
    parts = {True: [], False: []}
    for path in paths:
        parts[int(path.stem.split("_")[2]) < 5].append(path)
    train, test = parts[False], parts[True]
    assert (len(train), len(test)) == (900, 300)
    model = SequenceClassifier(verbose=0).fit(train, [path.name[0] for path in train])
    assert model.score(test, [path.name[0] for path in test]) >= 0.97


def test_strings_of_digits(recordings, tmp_path):
    command = [sys.executable, SCRIPT, recordings, "--out", tmp_path, "--train", "1200", "--test", "500"]
    subprocess.run(command, check=True, capture_output=True)

    def table(name):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [tmp_path / row["path"] for row in rows], [row["text"] for row in rows]

    model = Transcriber(epochs=16, n_iter_no_change=None, verbose=0).fit(*table("train.csv"))
    assert model.evaluate(*table("test.csv"))["cer"] <= 0.03
