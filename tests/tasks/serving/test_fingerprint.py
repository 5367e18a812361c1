"""Fingerprints change with everything that changes the meaning of a stored state."""

from __future__ import annotations

import pytest
import torch

import recurra
from recurra import SequenceClassifier
from recurra.tasks.serving.fingerprint import fingerprint


@pytest.fixture(scope="module")
def model():
    texts = ["a b", "c d", "a a", "d c"] * 3
    return SequenceClassifier(tokens="word", hidden_size=8, epochs=1, random_state=0, verbose=0).fit(
        texts, [0, 1, 0, 1] * 3
    )


def test_a_saved_model_has_the_same_fingerprint(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = recurra.load(tmp_path / "model")
    loaded.set_params(verbose=1, engine="reference")
    assert fingerprint(loaded) == fingerprint(model)
    assert len(fingerprint(model)) == 32


@pytest.mark.parametrize("name", ["weights", "encoding", "parameters"])
def test_a_change_is_seen(model, tmp_path, name):
    model.save(tmp_path / "model")
    other = recurra.load(tmp_path / "model")
    if name == "weights":
        tensor = next(iter(other.network_.state_dict().values()))
        with torch.no_grad():
            tensor.reshape(-1)[0] += 1
    elif name == "encoding":
        other.encoder_ = type(other.encoder_).from_files(
            other.encoder_.to_config(), {k: v.replace('"a"', '"z"') for k, v in other.encoder_.to_files().items()}
        )
    else:
        other.set_params(cell="gru")
    assert fingerprint(other) != fingerprint(model)
