"""Keeps the messages of libraries away from users."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIGHTNING = ("pytorch_lightning", "lightning.pytorch", "lightning", "lightning_fabric")


@contextmanager
def quiet_lightning(*others: str) -> Iterator[None]:
    """Hides Lightning's start-up notes and its hints on data loader workers inside the block.

    Args:
        *others: names of further `logging` loggers that are silent below an error.
    """
    loggers = [logging.getLogger(name) for name in (*LIGHTNING, *others)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
