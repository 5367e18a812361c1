"""The defaults on real Korean film reviews: small cut of the Naver sentiment movie corpus."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.data


def recurra(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "recurra", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory, data_dir):
    out, data = tmp_path_factory.mktemp("nsmc") / "M", data_dir / "nsmc"
    columns = ["--input", "document", "--target", "label"]
    valid = ["--valid", data / "small_test_5000.txt"]
    recurra("fit", "classify", data / "small_train_20000.txt", *columns, *valid, "--out", out)
    return out


def test_accuracy_with_the_defaults(model, data_dir):
    done = recurra("evaluate", model, data_dir / "nsmc" / "small_test_5000.txt", "--json")
    figures = json.loads(done.stdout)
    assert figures["n"] == 5000
    assert figures["accuracy"] >= 0.82
    assert figures["macro_f1"] >= 0.82


def test_all_of_the_naughty_strings_are_predicted(model, data_dir):
    text = (data_dir / "messy" / "blns.txt").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "recurra", "predict", str(model), "-"], input=text, capture_output=True, check=True
    )
    assert done.stdout.count(b"\n") == text.count(b"\n") + (not text.endswith(b"\n"))
