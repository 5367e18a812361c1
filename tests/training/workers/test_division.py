"""Several processes train as one process does. They are connected by gloo, without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recurra.training.workers.division import Shares, Step
from recurra.training.workers.group import Group

PROGRAM = Path(__file__).with_name("gloo_checks.py")
pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def run(check: str, processes: int, folder: Path) -> list[dict[str, Any]]:
    """Runs a check of `gloo_checks.py` and returns what each process found."""
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(rank), str(processes), check, str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        for process in started:
            errors = process.communicate(timeout=300)[1]
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in started:
            process.kill()
    names = [folder / f"{check}-{processes}-{rank}.json" for rank in range(processes)]
    return [json.loads(name.read_text()) for name in names]


def test_losses_equal_those_of_one_process(tmp_path):
    (alone,) = run("equal", 1, tmp_path)
    first, second = run("equal", 2, tmp_path)
    assert first == second
    for task, expected in alone.items():
        losses = [[row["loss"] for row in answer["history"]] for answer in (first[task], expected)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), task


def test_a_run_continues_with_another_number_of_processes(tmp_path):
    run("resumed", 2, tmp_path)
    found = run("resumed", 3, tmp_path)
    (alone,) = run("equal", 1, tmp_path)
    for task, answer in found[0].items():
        assert answer["resumed"]
        expected = [row["loss"] for row in alone[task]["history"]]
        assert [row["loss"] for row in answer["history"]] == pytest.approx(expected, rel=1e-4), task
    assert set(found[0]) == {"classify", "generate"}


def test_all_processes_report_a_loss_that_is_not_finite(tmp_path):
    for answer in run("failing", 2, tmp_path):
        assert answer["error"].startswith("the loss became nan at step 1; use a smaller learning rate")


def test_the_clock_of_the_first_process_decides(tmp_path):
    first, second = run("timed", 2, tmp_path)
    assert first == second
    assert first["epochs"] >= 1


def test_fewer_sequences_than_processes(tmp_path):
    (alone,) = run("fewer", 1, tmp_path)
    first, second, third = run("fewer", 3, tmp_path)
    assert first == second == third
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-5)


@pytest.mark.parametrize("processes", [2, 3])
def test_sums_are_those_of_all_processes(tmp_path, processes):
    found = run("added", processes, tmp_path)
    given = [[[np.array(t, "float32") for t in step] for step in answer["given"]] for answer in found]
    for way in ("shared", "sent", "full"):
        assert all(answer[way] == found[0][way] for answer in found)
        assert all(answer[f"{way} memory"] == (way == "shared") for answer in found)
        for step, sums in enumerate(found[0][way]):
            for part, values in enumerate(sums):
                expected = sum(rank[step][part].astype("float64") for rank in given)
                np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert not found[0]["files"]


def test_a_slow_process_is_named():
    shares = Shares(Group(0, 3, ("a", "b", "c")))
    shares.add(Step(1.0, [10.0, 10.0, 10.0], [1.0, 1.0, 2.0], []))
    assert shares.slow() == ["worker 2 on c is slow: it computes 2.0 times as long as the median"]
    assert Shares(Group()).slow() == []
