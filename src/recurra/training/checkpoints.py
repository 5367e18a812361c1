"""Checkpoint files with a checksum: written completely or not at all, read without executing anything."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins import CheckpointIO

from recurra._util.atomic import reason, written
from recurra.errors import ModelFolderError, UsageError

MAGIC = b"recurra checkpoint 1\n"
_DIGEST = 32


class CheckedFiles(CheckpointIO):
    """Lightning's access to checkpoint files.

    A file consists of `MAGIC`, the BLAKE2b checksum of the rest, and what `torch.save` writes.

    Args:
        writes: whether this process writes checkpoints; of several processes one does.
    """

    def __init__(self, *, writes: bool = True) -> None:
        self.writes = writes

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint; an earlier one is replaced at the end.

        Raises:
            ModelFolderError: the file cannot be written.
        """
        if not self.writes:
            return
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with written(path, ModelFolderError) as partial, partial.open("wb") as file:
            file.write(MAGIC)
            file.write(_checksum(content.getbuffer()))
            file.write(content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads a checkpoint after a comparison with its checksum. No code in the file is executed.

        Raises:
            UsageError: the file is damaged, or has no checksum.
        """
        hint = "train from the beginning with --overwrite (in Python: remove the file)"
        try:
            content = memoryview(Path(path).read_bytes())
        except OSError as error:
            raise UsageError(f"the checkpoint {path} cannot be read: {reason(error)}") from None
        start = len(MAGIC) + _DIGEST
        if content[: len(MAGIC)] != MAGIC or len(content) < start:
            raise UsageError(f"the checkpoint {path} is damaged or of an earlier version\n{hint}")
        if content[len(MAGIC) : start] != _checksum(content[start:]):
            raise UsageError(f"the checkpoint {path} is damaged: its checksum does not match\n{hint}")
        try:
            return torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise UsageError(f"the checkpoint {path} is damaged: it contains code\n{hint}") from None

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _checksum(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def step_of(path: Path | None) -> int:
    """Returns the training step of a checkpoint; 0 without one."""
    if path is None or not path.exists():
        return 0
    return int(CheckedFiles().load_checkpoint(path)["global_step"])
