"""Refuses a network that the memory of the machine cannot hold in training."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from recurra.errors import UsageError

COPIES = 4
"""Weights, their gradients, and the two moments of AdamW."""

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def refuse_too_large(network: torch.nn.Module) -> None:
    """Compares what training holds of the weights with the memory of the machine.

    Args:
        network: the untrained network, best on the device meta, where it takes no memory.

    Raises:
        UsageError: the weights do not fit.
    """
    count = sum(parameter.numel() for parameter in network.parameters())
    needed = COPIES * sum(p.numel() * p.element_size() for p in network.parameters())
    if needed > memory_of_machine():
        raise UsageError(
            f"the network would have {count:,} weights, and training them takes {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {memory_of_machine() / 1e9:,.0f} GB\n"
            "Choose a smaller hidden_size, fewer layers, or a smaller embedding_size or vocab_size."
        )


def memory_of_machine() -> int:
    """Bytes of memory that the machine has, or that its container may use."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return whole
