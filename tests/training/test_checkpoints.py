"""Checkpoint files: complete, checked, and without code."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
import torch

from recurra.errors import UsageError
from recurra.training.checkpoints import MAGIC, CheckedFiles


def test_a_file_is_a_mark_a_checksum_and_what_torch_saves(tmp_path):
    path = tmp_path / "last.ckpt"
    CheckedFiles().save_checkpoint({"a": torch.arange(3), "b": [1, "x"]}, path)
    content = path.read_bytes()
    start = len(MAGIC) + 32
    assert content.startswith(MAGIC)
    assert content[len(MAGIC) : start] == hashlib.blake2b(content[start:], digest_size=32).digest()
    for found in (torch.load(io.BytesIO(content[start:])), CheckedFiles().load_checkpoint(path)):
        assert (found["a"].tolist(), found["b"]) == ([0, 1, 2], [1, "x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or of an earlier version"),
        (MAGIC[:-1], "damaged or of an earlier version"),
        (b"x" + MAGIC[1:] + bytes(40), "damaged or of an earlier version"),
        (MAGIC + bytes(31), "damaged or of an earlier version"),
        (MAGIC + bytes(32), "its checksum does not match"),
        (MAGIC + hashlib.blake2b(b"y", digest_size=32).digest() + b"x", "its checksum does not match"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(UsageError, match=f"(?s){message}.*--overwrite"):
        CheckedFiles().load_checkpoint(tmp_path / "last.ckpt")


def test_what_is_not_there(tmp_path):
    path = tmp_path / "last.ckpt"
    with pytest.raises(UsageError, match=r"last\.ckpt cannot be read: No such file or directory"):
        CheckedFiles().load_checkpoint(path)
    CheckedFiles().remove_checkpoint(path)
    path.touch()
    CheckedFiles().remove_checkpoint(str(path))
    assert not path.exists()


def test_code_in_a_file_is_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    CheckedFiles().save_checkpoint({"a": Attack()}, tmp_path / "last.ckpt")
    with pytest.raises(UsageError, match="is damaged: it contains code"):
        CheckedFiles().load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "executed").exists()
