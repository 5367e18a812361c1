"""Parts of a job: results and errors of a worker, without a cluster."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from recurra.errors import DataError, EngineError
from recurra.training.workers.board import Starts
from recurra.training.workers.jobs import _Worker, run_job
from recurra.training.workers.options import Workers


class Squares:
    """Squares the numbers of the parts."""

    def run(self, number: int) -> int:
        if number == 3:
            raise DataError("a.csv, line 4: bad")
        if number == 4:
            raise KeyError("four")
        return number**2


def test_parts_in_this_process():
    assert list(run_job(Squares(), [2, 0], None)) == [4, 0]
    with pytest.raises(DataError, match=r"a\.csv, line 4: bad"):
        list(run_job(Squares(), [3], None))


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"^work with several workers needs ray.*: pip install 'recurra\[cluster\]'$"):
        list(run_job(Squares(), [0], Workers(2, 2)))


def test_a_worker_returns_results_and_errors(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    starts = Starts()
    worker = _Worker(Squares(), SimpleNamespace(count=SimpleNamespace(remote=starts.count)), 1, True)

    def result(number: int) -> object:
        return ray.cloudpickle.loads(worker({"part": np.array([number])})["result"][0])

    assert result(5) == 25
    found = result(3)
    assert isinstance(found, DataError)
    assert str(found).startswith("a.csv, line 4: bad\n(on the machine ")
    assert str(result(4)).startswith("KeyError: 'four'\n")
    for _ in range(9):
        assert result(5) == 25
    found = result(5)
    assert isinstance(found, EngineError)
    assert "10 workers ended with part 6; is there enough memory?" in str(found)
