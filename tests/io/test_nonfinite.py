"""Weights that are NaN or infinite: not loaded unasked, not trained, and never behind a prediction."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from schema1 import inputs
from schema1.inputs import EXPECTED, FOLDERS

import recurra
from recurra.errors import DataError, ModelFolderError, NonFiniteError


def spoilt(tmp_path: Path, name: str, value: float = torch.nan) -> Path:
    """A folder in which every weight has a value."""
    shutil.copytree(FOLDERS / name, tmp_path / name)
    weights = load_file(tmp_path / name / "model.safetensors")
    save_file({k: torch.full_like(w, value) for k, w in weights.items()}, tmp_path / name / "model.safetensors")
    return tmp_path / name


@pytest.mark.parametrize("name", EXPECTED)
def test_a_model_is_loaded_on_request_only_and_predicts_nothing(tmp_path, name):
    if name in ("classify-sounds", "transcribe"):
        pytest.importorskip("kaldi_native_fbank")
    folder = spoilt(tmp_path, name)
    with pytest.raises(ModelFolderError, match="not finite numbers in the tensor"):
        recurra.load(folder)
    model = recurra.load(folder, allow_nonfinite=True)
    with pytest.raises(NonFiniteError, match="the output of the network is not finite") as caught:
        inputs.answers(name, model)
    assert caught.value.exit_code == 4


def labelled(name: str):
    return {
        "classify": lambda: (inputs.TEXTS, inputs.LABELS),
        "regress": lambda: (inputs.series(), np.arange(24.0).reshape(12, 2)),
        "tag": lambda: (inputs.SENTENCES, inputs.TAGS),
        "forecast": lambda: (inputs.table(),),
        "generate-texts": lambda: (inputs.TEXTS, inputs.LABELS),
        "translate": lambda: (["one two"] * 3, ["일 이"] * 3),
        "fill": lambda: (["the cat drinks milk"] * 3,),
        "transcribe": lambda: (inputs.sounds()[:4], ["ab", "ba", "a", "b"]),
    }[name]()


@pytest.mark.parametrize(
    "name", ["classify", "regress", "tag", "forecast", "generate-texts", "translate", "fill", "transcribe"]
)
def test_an_evaluation_reports_no_figures(tmp_path, name):
    if name == "transcribe":
        pytest.importorskip("kaldi_native_fbank")
    model = recurra.load(spoilt(tmp_path, name), allow_nonfinite=True)
    with pytest.raises(NonFiniteError):
        model.evaluate(*labelled(name))


def test_outputs_that_overflow_are_refused(tmp_path):
    model = recurra.load(spoilt(tmp_path, "classify", 3e38))  # every weight is finite
    with pytest.raises(NonFiniteError):
        model.predict_proba(inputs.TEXTS)


def test_one_bad_weight_is_named(tmp_path):
    folder = spoilt(tmp_path, "classify", 0.5)
    weights = load_file(folder / "model.safetensors")
    weights["head.weight"][0, 1] = -torch.inf
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelFolderError, match=r"holds 1 values .* tensor head\.weight: .*--allow-nonfinite"):
        recurra.load(folder)


def test_saving_says_so(tmp_path):
    model = recurra.load(FOLDERS / "classify")
    with torch.no_grad():
        model.network_.head.bias[1] = torch.nan
    with pytest.warns(UserWarning, match=r"saved with weight head\.bias\[1\] = nan"):
        model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m", allow_nonfinite=True).network_.head.bias[1].isnan()


def test_training_does_not_end_with_such_weights(monkeypatch):
    from recurra.training import loop

    def diverging(network, *rest, **options):
        with torch.no_grad():
            next(network.parameters()).fill_(torch.inf)

    monkeypatch.setattr(loop, "train", diverging)
    with pytest.raises(DataError, match=r"training ended with weight .* = inf; use a smaller learning rate"):
        inputs.MADE["classify"]()


def looked_at(name: str) -> tuple:
    return {
        "classify": lambda: (inputs.TEXTS[:2], inputs.LABELS[:2]),
        "classify-series": lambda: (inputs.series()[:2], ["a", "b"]),
        "regress": lambda: (inputs.series()[:2], [[1.0, 2.0], [3.0, 4.0]]),
        "tag": lambda: (inputs.SENTENCES[:2], inputs.TAGS[:2]),
        "forecast-arrays": lambda: (inputs.many(), None),
        "generate-texts": lambda: (inputs.TEXTS[:2], inputs.LABELS[:2]),
        "translate": lambda: (["one two"], None),
        "fill": lambda: (["the [ ] drinks milk"], None),
        "transcribe": lambda: (inputs.sounds()[:2], ["ab", "ba"]),
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        "classify",
        "classify-series",
        "regress",
        "tag",
        "forecast-arrays",
        "generate-texts",
        "translate",
        "fill",
        "transcribe",
    ],
)
def test_every_task_can_be_looked_into(tmp_path, name):
    if name == "transcribe":
        pytest.importorskip("kaldi_native_fbank")
    model = recurra.load(spoilt(tmp_path, name), allow_nonfinite=True)
    X, y = looked_at(name)
    assert all(part["hidden"].isnull().any() for part in recurra.trace(model, X).parts.values())
    card = recurra.inspect.health(model, X, y)
    assert card["finite numbers"].light == "red"
