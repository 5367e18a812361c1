"""Reads weights from safetensors. The header is compared with the tensors of the model before a tensor is read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from recurra._util.schema import FileError

from .folder import WEIGHTS
from .read import locate

MAX_HEADER = 16 << 20

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "BOOL": torch.bool,
}


def read_weights(
    folder: Path,
    expected: Mapping[str, Tensor] | None = None,
    *,
    allow_nonfinite: bool = False,
    file: str = WEIGHTS,
    partly: bool = False,
) -> dict[str, Tensor]:
    """Reads the tensors of a model folder.

    Args:
        folder: the model folder.
        expected: the tensors of the model by name, for their shapes and types; they may be on the device `meta`. None
            to read all tensors of the file without a comparison.
        allow_nonfinite: True to accept NaN and infinite values.
        file: name of the file in the folder.
        partly: whether the file holds other tensors too, which are not read.

    Raises:
        FileError: the file is missing, damaged, holds other tensors, or values that are not finite.
    """
    path = locate(folder, file)
    try:
        check_header(path, file)
        with safe_open(path, "pt") as stored:
            names = [name for name in stored.keys() if not partly or expected is None or name in expected]  # noqa: SIM118
            if expected is not None:
                _compare({name: stored.get_slice(name) for name in names}, expected, file)
            found = {}
            for name in names:
                found[name] = tensor = stored.get_tensor(name)
                if not allow_nonfinite and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    count = int((~tensor.isfinite()).sum())
                    raise FileError(
                        file,
                        f"holds {count:,} values that are not finite numbers in the tensor {name}: train the model "
                        "again, or look inside with --allow-nonfinite (in Python, allow_nonfinite=True)",
                    )
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise FileError(file, f"is damaged or cut short ({error})") from None
    return found


def check_header(path: Path, name: str) -> None:
    """Raises `FileError` if the file `name` at a path does not begin with a header of safetensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) < 8:
        raise FileError(name, "is damaged or cut short: it has no header")
    length = struct.unpack("<Q", start)[0]
    if length > min(MAX_HEADER, size - 8):
        raise FileError(name, f"is damaged or cut short: its header has {length:,} bytes of {size - 8:,}")


def _compare(slices: Mapping[str, object], expected: Mapping[str, Tensor], file: str) -> None:
    for name, tensor in expected.items():
        if name not in slices:
            raise FileError(file, f"lacks the tensor {name}, which {_CONFIGURED}")
        found: object = slices[name]
        shape, kind = tuple(found.get_shape()), found.get_dtype()  # type: ignore[attr-defined]
        if shape != tuple(tensor.shape):
            raise FileError(file, f"holds {name} of shape {shape}, where shape {tuple(tensor.shape)} {_CONFIGURED}")
        if _TYPES.get(kind) != tensor.dtype:
            raise FileError(file, f"holds {name} of type {kind}, where {tensor.dtype} is needed")
    extra = next((name for name in slices if name not in expected), None)
    if extra is not None:
        raise FileError(file, f"holds the tensor {extra:.80}, which is not part of the model in config.json")


_CONFIGURED = "follows from config.json"
