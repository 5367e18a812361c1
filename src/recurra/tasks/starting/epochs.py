"""A model with the weights of one of its epochs."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

from recurra._util.messages import listed
from recurra.errors import UsageError

SHOWN = 20


def epochs_of(estimator: Any) -> list[int]:
    """Returns the epochs whose weights are known, with that of the model itself.

    Raises:
        UsageError: the weights of the epochs were not kept.
    """
    kept = getattr(estimator, "epoch_weights_", {})
    if not kept:
        raise UsageError("the weights of the epochs were not kept; train with keep_epochs=True (--keep-epochs)")
    return sorted({*kept, estimator.best_epoch_})


def at_epoch(estimator: Any, epoch: int) -> Any:
    """Returns a copy of a fitted estimator with the weights of an epoch.

    Args:
        estimator: a fitted estimator.
        epoch: number of finished epochs; 0 for the weights before training.

    Raises:
        UsageError: the weights of this epoch were not kept.
    """
    known = epochs_of(estimator)
    if epoch not in known:
        there = listed([str(number) for number in known], SHOWN)
        raise UsageError(f"the weights of epoch {epoch} were not kept; there are those of {there}")
    found = copy(estimator)
    if epoch in estimator.epoch_weights_:
        found.network_ = deepcopy(estimator.network_)
        found.network_.load_state_dict(estimator.epoch_weights_[epoch])
    return found
