"""The process of `recurra serve`."""

from __future__ import annotations

import gc

import pytest

from recurra.serve.process import runner


@pytest.fixture
def collector():
    """Restores the garbage collector."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_garbage_collector_runs_rarely_and_leaves_out_the_objects_so_far(collector):
    runner.collect_rarely()
    assert gc.get_threshold()[0] == runner.COLLECT
    assert gc.get_freeze_count() > 10_000
