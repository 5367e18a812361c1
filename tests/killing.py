"""Ends training after a step, as a kill does: later callbacks and the saving of the model do not happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from recurra.training import callbacks


class KilledError(Exception):
    pass


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """The block trains, and its training ends after this number of steps; a checkpoint of the last one is kept."""
    original, count = callbacks.SaveRun.on_train_batch_end, [0]

    def killing(self, *arguments):
        original(self, *arguments)
        count[0] += 1
        if count[0] == steps:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.SaveRun, "on_train_batch_end", killing)
        with pytest.raises(KilledError):
            yield
