"""Training that continues from the model itself, and parts of a network that do not train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch

from recurra._util.messages import listed
from recurra.errors import UsageError
from recurra.tasks.params import params_of

from .weights import digest

ONE_PASS = {"epochs": 1, "max_minutes": None, "validation_fraction": 0.0, "warm_start": True}
"""Parameters of a call of `partial_fit`."""


def fit_one_pass(estimator: Any, *data: Any, **attributes: Any) -> None:
    """Trains an estimator for one pass over data, from its own weights if it is fitted.

    The random draws depend on the seed and on the weights, so that calls differ and a repetition gives the same bits.

    Args:
        estimator: the estimator; it stays as it is if an error occurs.
        *data: arguments of its `fit`.
        **attributes: further attributes of the estimator during the call.
    """
    twin, specs = copy(estimator), params_of(type(estimator))
    given = {name: value for name, value in ONE_PASS.items() if name in specs}
    if hasattr(estimator, "network_"):
        given["random_state"] = (estimator._seed() + int(digest(estimator.network_), 16)) % 2**31
    for name, value in {**given, **attributes, "one_pass": True}.items():
        setattr(twin, name, value)
    twin.fit(*data)
    taken = vars(twin).get("source_params_", {})
    learnt = {name: value for name, value in vars(twin).items() if name.endswith("_") and name not in specs}
    vars(estimator).update({name: getattr(twin, name) for name in taken} | learnt)


def freeze_names(freeze: Any) -> list[str]:
    """Returns the names in the parameter `freeze`.

    Raises:
        UsageError: it is neither a name nor a list of names.
    """
    if freeze is None:
        return []
    names: list[Any] = (
        freeze.split(",") if isinstance(freeze, str) else list(freeze if isinstance(freeze, Sequence) else [None])
    )
    if not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"freeze is a name or a list of names of parts of the network, got {freeze!r:.60}")
    return names


@contextmanager
def frozen(network: torch.nn.Module, freeze: Any) -> Iterator[None]:
    """Keeps the weights of parts of a network unchanged while the block trains it.

    Args:
        network: the network.
        freeze: names of parts, such as `"encoder"` or `"encoder.embedding"`; of several networks, the part of each.

    Raises:
        UsageError: the network has no such part, or nothing is left to train.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
        >>> with frozen(network, "0"):
        ...     print([weight.requires_grad for weight in network.parameters()])
        [False, False, True, True]
    """
    weights, chosen = dict(network.named_parameters()), set()
    for name in freeze_names(freeze):
        found = {weight for weight in weights if f".{name}." in f".{weight}."}
        if not found:
            parts = sorted({weight.rpartition(".")[0] for weight in weights})
            raise UsageError(
                f"freeze names {name!r:.60}, which the network does not have; its parts are {listed(parts, 20)}"
            )
        chosen |= found
    if chosen == weights.keys():
        raise UsageError("freeze leaves nothing to train")
    before = {name: weights[name].requires_grad for name in chosen}
    for name in chosen:
        weights[name].requires_grad_(False)
    try:
        yield
    finally:
        for name, value in before.items():
            weights[name].requires_grad_(value)
