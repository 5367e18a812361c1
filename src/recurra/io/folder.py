"""A model is a folder: weights as safetensors, everything else as JSON or Markdown. Loading executes nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_tensors
from torch import Tensor

from recurra._util import strict_json
from recurra._util.atomic import reason, replaced, unwritable
from recurra.errors import ModelFolderError

SCHEMA_VERSION = 1
"""Version of the format. It increases if older versions of Recurra cannot read the folder; they then report it."""

FORMAT = "recurra"
CONFIG, WEIGHTS, CURVE = "config.json", "model.safetensors", "learning_curve.png"
EPOCHS = "epochs.safetensors"
"""Weights of several epochs, if the run kept them. The tensors are named `epoch/name`."""
MAX_FILES = 16
"""Largest number of text files in addition to the configuration."""


def max_bytes(name: str) -> int:
    """Returns the largest size of a text file in bytes: 64 MB for JSON, which is parsed as a whole; else 256 MB."""
    return (64 if name.endswith(".json") else 256) << 20


@dataclass(frozen=True)
class ModelFolder:
    """Content of a model folder.

    Attributes:
        config: the data that rebuilds the estimator. `write_folder` adds `schema_version` and `format`.
        weights: the network's tensors by name.
        files: further text files by name (`tokenizer.json`, `metrics.json`, `README.md`).
        epochs: weights of epochs by their numbers, if the run kept them.
    """

    config: dict[str, Any]
    weights: dict[str, Tensor]
    files: dict[str, str]
    epochs: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict)


def write_folder(path: str | Path, folder: ModelFolder) -> None:
    """Writes a model folder, complete or not at all. An older model at `path` is replaced; a link is followed.

    Files in the folder that do not belong to the older model are kept.

    Raises:
        ModelFolderError: `path` exists and is not a model folder, or cannot be written.
    """
    check_target(path)
    target = Path(os.path.realpath(path))
    config = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **folder.config}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in folder.weights.items()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target) as partial:
            _write(partial / WEIGHTS, save_tensors(weights, metadata={"format": "pt"}))
            if folder.epochs:
                _write(partial / EPOCHS, save_tensors(_by_epoch(folder.epochs), metadata={"format": "pt"}))
            for name, text in {CONFIG: dumps(config), **folder.files}.items():
                _write(partial / name, _readable(name, text))
            if target.is_dir():
                _keep_others(target, partial)
    except OSError as error:
        raise unwritable(ModelFolderError, f"the model cannot be written to {path}", error) from None


def _by_epoch(epochs: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the tensors of all epochs with their names in the file."""
    return {f"{epoch}/{name}": tensor.contiguous() for epoch in epochs for name, tensor in epochs[epoch].items()}


def _readable(name: str, text: str) -> bytes:
    """Returns the bytes of a text file, or raises `ModelFolderError` if `read_folder` would refuse them."""
    content = text.encode()
    if len(content) > max_bytes(name):
        raise ModelFolderError(f"the model cannot be written: {name} takes more than {max_bytes(name) >> 20} MB")
    try:
        if name.endswith(".json"):
            strict_json.check_size(text)
    except ValueError as error:
        raise ModelFolderError(f"the model cannot be written: {name}: {error}") from None
    return content


def check_target(path: str | Path) -> None:
    """Raises `ModelFolderError` if writing a model to `path` would destroy something that is not a model."""
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            if os.path.ismount(target) or target.samefile(os.curdir):  # a mount point cannot be renamed
                raise ModelFolderError(f"{path} cannot be replaced by a model folder; choose a folder in it")
            if any(target.iterdir()) and not is_model(target):
                raise ModelFolderError(f"{path} exists and is not a Recurra model; choose another folder")
        elif target.exists():
            raise ModelFolderError(f"{path} is a file; choose another name for the model folder")
    except OSError as error:
        raise ModelFolderError(f"the model cannot be written to {path}: {reason(error)}") from None


def is_model(path: str | Path) -> bool:
    """Returns whether a folder contains a Recurra model of any version."""
    return _read_json(Path(path) / CONFIG).get("format") == FORMAT


def own_files(path: Path) -> set[str]:
    """Returns the names of the files that belong to the model in a folder; none if it contains no model."""
    if not is_model(path):
        return set()
    return {CONFIG, WEIGHTS, EPOCHS, CURVE, *map(str, _read_json(path / CONFIG).get("files", []))}


def _keep_others(old: Path, new: Path) -> None:
    """Links files that do not belong to the old model into the new folder."""
    own = own_files(old)
    for entry in old.iterdir():
        if entry.name not in own and not (new / entry.name).exists():
            _link(entry, new / entry.name)


def _link(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        for entry in source.iterdir():
            _link(entry, target / entry.name)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(source, target, follow_symlinks=False)


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; an empty one if the file is missing or holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def dumps(value: Any) -> str:
    """Returns strict JSON as in our files: indented, with readable Korean and a newline at the end."""
    return strict_json.dump(value, indent=2) + "\n"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
