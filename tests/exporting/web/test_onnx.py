"""ONNX files in node with onnxruntime-web, and tokens by recurra-web: no Python, no Recurra."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from javascript import PROGRAMS, find_node
from onnx_session import Session

import recurra
from recurra import LanguageModel, SequenceClassifier
from recurra.exporting.web import FOLDER

pytestmark = pytest.mark.slow
RUNTIME = "onnxruntime-web@1.30.0"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """A folder with onnxruntime-web."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
    if npm is None:
        pytest.skip("no npm: install it (Debian: npm) to run ONNX files in node")
    (folder / "package.json").write_text("{}")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", RUNTIME]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def run(runtime: Path, **job: Any) -> dict[str, Any]:
    given = json.dumps({"folder": str(runtime), "web": str(FOLDER), **job})
    command = [find_node(), str(PROGRAMS / "onnx.mjs")]
    done = subprocess.run(command, input=given, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reviews(name: str) -> tuple[list[str], list[str]]:
    lines = (files("recurra.data") / "samples" / "nsmc" / name).read_text(encoding="utf-8").splitlines()
    columns = [line.split("\t") for line in lines[1:]]
    return [row[1] for row in columns], [row[2] for row in columns]


@pytest.fixture(scope="module")
def model() -> SequenceClassifier:
    X, y = (part[:2000] for part in reviews("train.tsv"))
    return SequenceClassifier(hidden_size=16, epochs=2, learning_rate=0.01, verbose=0).fit(X, y)


@pytest.mark.parametrize("int8", [False, True])
def test_1000_reviews_have_the_labels_of_predict(int8, model, runtime, tmp_path):
    texts = reviews("test.tsv")[0][:1000]
    path = recurra.export(model, tmp_path / "reviews.onnx", int8=int8)
    found = run(runtime, model=str(path), texts=texts)
    assert len(texts) == 1000
    assert found["metadata"] == Session(path).texts
    same = np.array(found["answers"]) == model.predict(texts)
    assert same.all() if not int8 else same.mean() > 0.98
    assert len(set(found["answers"])) == 2


def test_seven_chunks_equal_one_call(runtime, tmp_path):
    options = {"epochs": 1, "hidden_size": 16, "num_layers": 2, "verbose": 0}
    model = LanguageModel(**options).fit("a cat sat on the mat\n" * 30)
    path = recurra.export(model, tmp_path / "text.onnx", required_inputs=True)
    tokens = np.random.default_rng(0).integers(0, 10, 50)
    chunks = [part.tolist() for part in np.array_split(tokens, 7)]
    pieces, whole = run(runtime, model=str(path), chunks=chunks)["scores"]
    assert len(whole) == 50 * (len(pieces) // 50)
    assert np.abs(np.array(pieces) - whole).max() <= 1e-5
