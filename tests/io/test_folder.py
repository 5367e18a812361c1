"""Model folders: complete or not at all, and every damage is named."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from recurra.errors import ModelFolderError
from recurra.io import SCHEMA_VERSION, ModelFolder, read_folder, write_folder
from recurra.io import folder as module


@pytest.fixture
def content() -> ModelFolder:
    weights = {"w": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    return ModelFolder({"task": "classify", "files": ["card.md"]}, weights, {"card.md": "한국어\n"})


def test_round_trip(tmp_path, content):
    write_folder(tmp_path / "m", content)
    found = read_folder(tmp_path / "m")
    assert found.config["task"] == "classify"
    assert found.config["schema_version"] == SCHEMA_VERSION
    assert found.files == content.files
    for name, tensor in content.weights.items():
        assert torch.equal(found.weights[name], tensor)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_an_older_model_is_replaced_as_a_whole(tmp_path, content):
    write_folder(tmp_path / "m", content)
    (tmp_path / "m" / "left over").write_text("x")
    write_folder(tmp_path / "m", ModelFolder({"task": "regress"}, {}, {}))
    assert read_folder(tmp_path / "m").config["task"] == "regress"
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_failing_write_leaves_the_older_model(tmp_path, content, monkeypatch):
    write_folder(tmp_path / "m", content)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(ModelFolderError, match="No space left"):
        write_folder(tmp_path / "m", ModelFolder({"task": "regress"}, {}, {}))
    assert read_folder(tmp_path / "m").config["task"] == "classify"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_other_peoples_files_are_not_replaced(tmp_path, content):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    with pytest.raises(ModelFolderError, match="not a Recurra model"):
        write_folder(tmp_path / "photos", content)
    with pytest.raises(ModelFolderError, match="is a file"):
        write_folder(tmp_path / "photos" / "a.jpg", content)
    assert (tmp_path / "photos" / "a.jpg").read_text() == "x"


def edit(path, **changes):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: (m / "config.json").unlink(), "config.json is missing"),
        (lambda m: (m / "config.json").write_text('{"format":'), "damaged"),
        (lambda m: (m / "config.json").write_text("[]"), "does not describe a Recurra model"),
        (lambda m: edit(m, format="other"), "does not describe a Recurra model"),
        (lambda m: edit(m, schema_version=SCHEMA_VERSION + 1), "newer version"),
        (lambda m: edit(m, schema_version="1"), "no valid schema_version"),
        (lambda m: (m / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda m: (m / "model.safetensors").write_bytes(b""), "cut short"),
        (lambda m: (m / "model.safetensors").write_bytes((m / "model.safetensors").read_bytes()[:-3]), "cut short"),
        (lambda m: (m / "model.safetensors").write_bytes(pickle.dumps({"w": 1})), "damaged"),
        (lambda m: (m / "card.md").unlink(), "card.md is missing"),
        (lambda m: edit(m, files=["../outside.md"]), "incomplete"),
    ],
)
def test_damage_is_named(tmp_path, content, damage, message):
    (tmp_path / "outside.md").write_text("x")
    write_folder(tmp_path / "m", content)
    damage(tmp_path / "m")
    with pytest.raises(ModelFolderError, match=message) as error:
        read_folder(tmp_path / "m")
    assert len(str(error.value).splitlines()) <= 3


def test_a_missing_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(ModelFolderError, match="recurra fit"):
        read_folder(tmp_path / "none")
