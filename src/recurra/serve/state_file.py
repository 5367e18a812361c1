"""The state of a session as a safetensors file, to move it to another server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from recurra.tasks.serving.stepper import StateSpec

from .problems import Problem, problem_of_validation

KEY = "recurra.session"
MAX_HEADER = 1 << 20


class StateInfo(msgspec.Struct, forbid_unknown_fields=True):
    """Everything of a session besides its tensors.

    Attributes:
        fingerprint: of the model.
        seq: number of the next step request.
        steps: time steps so far.
        rest: end of the text that later characters may still change.
    """

    fingerprint: str
    seq: int
    steps: int
    rest: str = ""


class SessionState(NamedTuple):
    """State of a session: tensors by name, `(1, …)`, and what is beside them."""

    tensors: dict[str, Tensor]
    info: StateInfo


def write_state(state: SessionState) -> bytes:
    """Returns the safetensors file of a state."""
    tensors = {name: tensor[0].contiguous() for name, tensor in state.tensors.items()}
    return write_tensors(tensors, {KEY: msgspec.json.encode(state.info).decode()})


def read_state(data: bytes, specs: Mapping[str, StateSpec], fingerprint: str) -> SessionState:
    """Reads a safetensors file for a model.

    Args:
        data: the file.
        specs: tensors of the state of the model.
        fingerprint: of the model.

    Raises:
        Problem: the file is damaged, belongs to another model, or has values that are not finite.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 or not 2 <= size <= min(len(data) - 8, MAX_HEADER):
            raise ValueError
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, dict])
        tensors = read_tensors(data)
        text = header["__metadata__"][KEY]
    except (SafetensorError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
        raise Problem(422, "the body is not a state that this server wrote: it must be a safetensors file") from None
    try:
        info = msgspec.json.decode(text, type=StateInfo)
    except msgspec.ValidationError as error:
        raise problem_of_validation(error) from None
    except msgspec.DecodeError:
        raise Problem(422, f"the key {KEY} of the metadata is not JSON") from None
    if info.fingerprint != fingerprint:
        raise Problem(409, "the state belongs to another model: weights or configuration differ")
    if set(tensors) != set(specs):
        raise Problem(422, f"the state must have the tensors {', '.join(specs)}")
    for name, spec in specs.items():
        found = tensors[name]
        if tuple(found.shape) != spec.shape or found.dtype != spec.dtype:
            kind = str(spec.dtype).removeprefix("torch.")
            raise Problem(422, f"the tensor {name} must have shape {spec.shape} and type {kind}")
        if found.is_floating_point() and bool(torch.isnan(found).any()):
            raise Problem(422, f"the tensor {name} has values that are not numbers")
    if not (0 <= info.seq < 1 << 62 and 0 <= info.steps < 1 << 62):
        raise Problem(422, "seq and steps of the state must not be negative")
    return SessionState({name: tensors[name].unsqueeze(0) for name in specs}, info)
