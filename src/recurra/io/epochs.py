"""Weights of several epochs in a model folder: one file of safetensors, read when an epoch is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from recurra._util.schema import FileError

from .folder import EPOCHS
from .read import blaming, locate
from .weights import check_header, read_weights


class StoredEpochs(Mapping[int, dict[str, Tensor]]):
    """Weights by epoch. Access reads the tensors of the epoch from the file.

    Args:
        folder: the model folder.
        expected: the tensors of the model by name, for their shapes and types.

    Raises:
        ModelFolderError: on access, if the file is damaged or does not fit the model.
    """

    def __init__(self, folder: Path, expected: Mapping[str, Tensor]) -> None:
        self.folder, self.expected = folder, expected
        self._epochs: list[int] | None = None

    def __getitem__(self, epoch: int) -> dict[str, Tensor]:
        """The tensors of an epoch by name."""
        if epoch not in self.epochs:
            raise KeyError(epoch)
        names = {_tensor(epoch, name): tensor for name, tensor in self.expected.items()}
        with blaming(self.folder):
            found = read_weights(self.folder, names, file=EPOCHS, partly=True)
        return {name: found[_tensor(epoch, name)] for name in self.expected}

    def __iter__(self) -> Iterator[int]:
        """Epochs, the first first."""
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def epochs(self) -> list[int]:
        """The epochs whose weights are in the file; none without a file."""
        if self._epochs is None:
            self._epochs = self._find() if (self.folder / EPOCHS).exists() else []
        return self._epochs

    def _find(self) -> list[int]:
        with blaming(self.folder):
            path = locate(self.folder, EPOCHS)
            try:
                check_header(path, EPOCHS)
                with safe_open(path, "pt") as file:
                    numbers = {name.partition("/")[0] for name in file.keys()}  # noqa: SIM118  (it is no mapping)
            except (SafetensorError, OSError, ValueError, OverflowError) as error:
                raise FileError(EPOCHS, f"is damaged or cut short ({error})") from None
            if not all(number.isdecimal() and len(number) < 10 for number in numbers):
                raise FileError(EPOCHS, "holds tensors that do not belong to an epoch")
            return sorted(map(int, numbers))


def _tensor(epoch: int, name: str) -> str:
    return f"{epoch}/{name}"
