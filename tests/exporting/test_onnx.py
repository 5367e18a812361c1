"""`recurra.export(model, "model.onnx")`: the file, its options and what is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx_session import Session

import recurra
from recurra import SequenceClassifier, nn
from recurra.errors import UsageError


@pytest.fixture(scope="module")
def model():
    options = {"hidden_size": 24, "tokens": "word", "epochs": 8, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}
    texts = ["good film", "bad film", "very good", "very bad"] * 20
    return SequenceClassifier(**options).fit(texts, ["up", "down"] * 40)


def test_a_layer(tmp_path):
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    path = recurra.export(layer, tmp_path / "layer.onnx")
    found = Session(path)(x=x.numpy(), lengths=np.array([5, 2]))
    assert np.abs(found["scores"] - layer(x, lengths=[5, 2])[0].detach().numpy()).max() <= 1e-5
    assert set(found) == {"scores", "state.hidden.0.next", "state.cell.0.next"}


def test_int8_of_a_classifier(model, tmp_path):
    paths = [recurra.export(model, tmp_path / f"{int8}.onnx", int8=int8) for int8 in (False, True)]
    floats, integers = (Session(path)(tokens=np.array([[2, 3], [1, 4]]), lengths=np.array([2, 2])) for path in paths)
    assert np.abs(floats["probabilities"] - integers["probabilities"]).max() < 0.05
    assert (floats["labels"] == integers["labels"]).all()
    assert np.abs(floats["scores"] - integers["scores"]).max() > 0
    assert json.loads(Session(paths[0]).texts["labels"]) == ["down", "up"]


@pytest.mark.parametrize("opset", [16, 99])
def test_versions_of_operators_that_are_not_supported(opset, tmp_path):
    with pytest.raises(UsageError, match=f"opset is from 17 to {onnx.defs.onnx_opset_version()}, not {opset}"):
        recurra.export(nn.GRU(3, 4), tmp_path / "net.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


def test_objects_that_are_not_models(tmp_path):
    with pytest.raises(UsageError, match=r"export takes a fitted estimator or a torch.nn.Module, not list"):
        recurra.export([], tmp_path / "net.onnx")


def test_without_the_packages_of_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"export to ONNX needs onnxruntime: pip install 'recurra\[export\]'"):
        recurra.export(nn.GRU(3, 4), tmp_path / "net.onnx")
