"""Training on Ray: the result is that of one process, also if workers and machines end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from alone import folder, needs_ray, run_alone
from recurra import SequenceClassifier
from recurra.errors import EngineError, UsageError

PROGRAM = Path(__file__).with_name("ray_checks.py")
KILLS, NODES = os.environ.get("RECURRA_KILLS", "1 1").split()
"""Workers and machines that are killed during a run."""
__all__ = ["folder"]


def check(name: str, folder: Path) -> dict[str, Any]:
    """Runs a check of `ray_checks.py` and returns what it found."""
    more = int(KILLS) + int(NODES) - 2
    return run_alone(PROGRAM, name, folder, KILLS, NODES, seconds=1500 + 300 * more)


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_two_workers_equal_one_process(folder):
    answer = check("local", folder)
    assert answer["together"]["losses"] == pytest.approx(answer["alone"]["losses"], rel=1e-6)
    assert answer["together"]["metrics"] == pytest.approx(answer["alone"]["metrics"], rel=1e-5)
    assert answer["logged"] == answer["together"]["losses"]
    assert min(answer["speeds"]) > 0
    assert str(answer["together"]["metrics"]["accuracy"]) in answer["final"].split(",")
    assert not answer["connected"]


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_survives_killed_workers_and_machines(folder):
    answer = check("killed", folder)
    assert answer["together"]["losses"] == pytest.approx(answer["alone"]["losses"], rel=1e-5)
    assert answer["together"]["metrics"] == pytest.approx(answer["alone"]["metrics"], rel=1e-5)


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_a_machine_that_arrives_during_the_run_is_used(folder):
    assert check("added", folder) == {"before": 1, "after": 2}


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_one_process_continues_what_ctrl_c_ended(folder):
    answer = check("command", folder)
    assert answer["code"] == 130, answer["said"]
    assert "Traceback" not in answer["said"]
    assert "--resume continues the run" in answer["said"]
    assert 0 < answer["step"] < 600 * 9
    assert answer["resumed"] == 0, answer["end"]
    assert "best epoch" in answer["end"]


@needs_ray
@pytest.mark.slow
@pytest.mark.cluster
def test_errors_are_one_sentence(folder):
    answer = check("errors", folder)
    assert answer["address"] == "the cluster 127.0.0.1:1 cannot be reached: Connection refused"
    assert answer["loss"].startswith("the loss became ")


@pytest.mark.parametrize("workers", [0, -1, "x", "2:1", 1.5, True, (1, 2, 3)])
def test_numbers_of_workers_that_cannot_be(workers):
    with pytest.raises(UsageError, match="workers"):
        SequenceClassifier(epochs=1, verbose=0).fit(["a", "b"], ["x", "y"], workers=workers)


def test_a_cluster_needs_a_shared_folder():
    from recurra.training.workers.options import Workers

    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="all machines share"):
        SequenceClassifier(epochs=1, verbose=0).fit(
            ["a", "b"] * 9, ["x", "y"] * 9, workers=Workers(2, 2, "10.0.0.1:6379")
        )


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"needs ray.*: pip install 'recurra\[cluster\]'"):
        SequenceClassifier(epochs=1, verbose=0).fit(["a", "b"] * 9, ["x", "y"] * 9, workers=2)
