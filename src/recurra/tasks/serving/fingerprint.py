"""Fingerprint of a model: equal for models whose stored states can be exchanged."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import torch

from recurra._util import strict_json
from recurra.tasks.base import Estimator
from recurra.tasks.params import params_of


def fingerprint(estimator: Estimator) -> str:
    """Returns a hexadecimal hash of the task, the parameters, the weights and the encoding of the inputs.

    The model card, metrics and the settings of the device have no influence.

    Args:
        estimator: a fitted model.
    """
    learnt, files = estimator._state()
    given = estimator._named_params()
    marks = params_of(type(estimator))
    params = {name: given[name] for name, mark in marks.items() if mark.fingerprint and _is_plain(given.get(name))}
    found = blake2b(digest_size=16)
    _add(found, strict_json.dump([estimator.task, params, learnt, sorted(files.items())]).encode())
    for name, tensor in sorted(estimator.network_.state_dict().items()):
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        _add(found, f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        _add(found, memoryview(raw.numpy()))
    return found.hexdigest()


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _add(found: blake2b, data: bytes | memoryview) -> None:
    """Adds data with its length, so that the borders between parts count."""
    found.update(len(data).to_bytes(8, "little"))
    found.update(data)
