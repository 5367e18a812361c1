"""Weights of another model in the shapes of a new network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra._util.messages import listed
from recurra._util.terminal import say
from recurra.errors import UsageError


def put(network: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies weights into a network. Weights that the network has in addition stay as they are.

    Raises:
        UsageError: a weight has another shape, or the network does not have it.
    """
    own = network.state_dict()
    for name, weight in weights.items():
        if name not in own or own[name].shape != weight.shape:
            shape = tuple(own[name].shape) if name in own else "none"
            raise UsageError(
                f"the model that training starts from does not fit these data: its {name} has the shape "
                f"{tuple(weight.shape)}, and {shape} is needed"
            )
    with torch.no_grad():
        for name, weight in weights.items():
            own[name].copy_(weight)


def with_classes(own: Tensor, known: Tensor, places: np.ndarray, axes: Sequence[int]) -> Tensor:
    """Returns weights of a network with more classes: those of the known ones, and new ones.

    Args:
        own: initial weights of the new network.
        known: weights of the model that knows fewer classes.
        places: number of each known class among the classes of the new network, `(classes,)`.
        axes: axes of both that belong to classes.

    Example:
        >>> with_classes(torch.zeros(3), torch.ones(2), np.array([0, 2]), [0]).tolist()
        [1.0, 0.0, 1.0]
    """
    index: list[Any] = [torch.arange(size) for size in known.shape]
    for axis in axes:
        index[axis] = torch.from_numpy(places)
    found = own.clone()
    found[torch.meshgrid(*index, indexing="ij")] = known
    return found


def joined_classes(known: np.ndarray, found: np.ndarray, verbose: bool) -> np.ndarray:
    """Joins the classes of a model with those of new data, sorted.

    Args:
        known: classes of the model that training starts from.
        found: classes of the new data.
        verbose: whether new classes are reported on standard error.

    Raises:
        UsageError: one of both has texts, and the other one numbers.
    """
    if len(known) and (known.dtype.kind in "US") != (found.dtype.kind in "US"):
        raise UsageError(
            f"the classes of the model that training starts from are such as {known[0].item()!r}, and those of the "
            f"data such as {found[0].item()!r}"
        )
    new = sorted(set(found.tolist()) - set(known.tolist()))
    if new and verbose:
        say(f"new classes, which the model that training starts from does not know: {listed(list(map(str, new)), 10)}")
    return np.union1d(known, found)


def digest(network: Any) -> str:
    """Returns a hash of the weights of a network."""
    found = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
