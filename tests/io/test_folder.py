"""Model folders: complete or not at all, and every damage is named."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import ModelFolderError
from recurra.io import SCHEMA_VERSION, ModelFolder, read_folder, read_weights, write_folder
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
        assert torch.equal(read_weights(found.path)[name], tensor)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_an_older_model_is_replaced_and_the_users_files_are_kept(tmp_path, content):
    write_folder(tmp_path / "m", content)
    (tmp_path / "m" / "notes.txt").write_text("mine")
    (tmp_path / "m" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "data" / "deep" / "train.csv").write_text("mine too")
    (tmp_path / "m" / "link").symlink_to("notes.txt")
    write_folder(tmp_path / "m", ModelFolder({"task": "regress"}, {}, {}))
    assert read_folder(tmp_path / "m").config["task"] == "regress"
    names = sorted(p.name for p in (tmp_path / "m").iterdir())
    assert names == ["config.json", "data", "link", "model.safetensors", "notes.txt"]  # without the old card.md
    assert (tmp_path / "m" / "data" / "deep" / "train.csv").read_text() == "mine too"
    assert (tmp_path / "m" / "link").readlink().name == "notes.txt"
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


def test_a_link_to_a_folder_is_followed(tmp_path, content):
    (tmp_path / "disk").mkdir()
    (tmp_path / "m").symlink_to("disk")
    for task in ("classify", "regress"):  # the first time into an empty folder, the second time over a model
        write_folder(tmp_path / "m", ModelFolder({"task": task}, {}, {}))
        assert (tmp_path / "m").is_symlink()
        assert read_folder(tmp_path / "disk").config["task"] == task
    (tmp_path / "n").symlink_to("later")
    write_folder(tmp_path / "n", content)
    assert (tmp_path / "n").is_symlink()
    assert read_folder(tmp_path / "later").files == content.files


def test_a_mount_point_and_the_current_folder_are_refused_at_once(tmp_path, content, monkeypatch):
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    for path in (".", tmp_path / "m", "/"):
        with pytest.raises(ModelFolderError, match="choose a folder in it"):
            write_folder(path, content)
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.path.ismount", lambda path: path == tmp_path / "m")
        with pytest.raises(ModelFolderError, match="choose a folder in it"):
            write_folder("m", content)
    write_folder("m", content)


def test_a_model_of_another_project_is_not_replaced(tmp_path, content):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelFolderError, match="not a Recurra model"):
        write_folder(tmp_path / "bert", content)
    assert (tmp_path / "bert" / "config.json").read_text() == '{"model_type": "bert"}'


def test_other_peoples_files_are_not_replaced(tmp_path, content):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    with pytest.raises(ModelFolderError, match="not a Recurra model"):
        write_folder(tmp_path / "photos", content)
    with pytest.raises(ModelFolderError, match="is a file"):
        write_folder(tmp_path / "photos" / "a.jpg", content)
    assert (tmp_path / "photos" / "a.jpg").read_text() == "x"
