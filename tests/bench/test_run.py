"""The harness, through all its processes, on tiny cases."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from recurra.bench import gate, machine, processes, report
from recurra.bench import run as runs
from recurra.bench.cases import GATES, Case, numbers
from recurra.bench.peers import load, missing
from recurra.bench.timing import seconds_per_call
from recurra.errors import UsageError


@pytest.mark.slow
def test_a_run_from_roof_to_targets():
    cases = [Case("training", "GRU", 2, 3, 8), Case("inference", "GRU", 1, 1, 8)]
    said = []
    plan = runs.Plan(["torch"], cases, rounds=1, threads=1, seconds=0.01)
    result = report.evaluate(runs.run(plan, lambda *step: said.append(step)))
    json.dumps(result)
    assert result["greatest_difference"] < 1e-4
    for row in result["cases"]:
        assert len(row["rounds"]["recurra"]) == len(row["rounds"]["torch"]) == 1
        assert row["ratio"] > 0
        assert row["roof"] > 0
        assert len(row["peaks_gflops"]) == (row["batch"] > 1)
    assert said[-1][1:] == (8, 8)


def probes_of(peer, case: Case) -> dict[str, np.ndarray]:
    ready = peer.prepare(case)
    with ready.context():
        for _ in range(2):
            ready.call()
        results = ready.results(ready.call())
    return {name: gate.probe(array) for name, array in results.items()}


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
@pytest.mark.parametrize(("mode", "batch", "steps"), [("training", 3, 5), ("inference", 3, 5), ("inference", 1, 1)])
def test_the_usual_peers_compute_the_same(name, cell, mode, batch, steps):
    if missing(name):
        pytest.skip(f"{name} is not installed")
    case = Case(mode, cell, batch, steps, 8)
    ours, theirs = load("recurra", 1), load(name, 1)
    if theirs.refuses(case):
        pytest.skip(f"{name} has no {mode}")
    probes = [probes_of(peer, case) for peer in (ours, theirs)]
    assert len(probes[0].keys() & probes[1].keys()) >= (4 if mode == "training" else 1)
    assert gate.compare(case, name, *probes) < 1e-5


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("mode", ["float32 session", "bfloat16 session", "int8 session", "step"])
def test_our_streams_compute_what_torch_does(mode, cell):
    case = Case(mode, cell, 1, 1, 32)
    ours, torch = load("recurra", 1), load("torch", 1)
    if ours.refuses(case):
        pytest.skip(str(ours.refuses(case)))
    gate.compare(case, "torch", *(probes_of(peer, case) for peer in (ours, torch)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jax", "keras"])
def test_the_other_peers_compute_the_same(name):
    if missing(name):
        pytest.skip(f"{name} is not installed")
    shapes = [("training", 3, 5, 8), ("inference", 3, 5, 8), ("inference", 1, 1, 8), ("float32 session", 1, 1, 8)]
    cases = [Case(mode, cell, *shape) for mode, *shape in shapes for cell in GATES]
    result = runs.run(runs.Plan([name], cases, rounds=1, threads=1, seconds=0.001))
    assert result["greatest_difference"] < 1e-5
    assert all(name in row["seconds"] for row in result["cases"] if row["mode"] in ("training", "inference"))


def test_the_gate_refuses_a_wrong_peer():
    case = Case("training", "LSTM", 2, 3, 8)
    x = numbers(case).x
    right = {"output": gate.probe(x), "gradient of input": gate.probe(x)}
    gate.compare(case, "peer", right, {"output": gate.probe(x * (1 + 1e-6))})
    swapped = x.copy()
    swapped[..., [0, 1]] = swapped[..., [1, 0]]
    for wrong in (swapped, x * 1.01, np.full_like(x, np.nan), x[:1]):
        with pytest.raises(gate.GateError, match="gradient of input of peer"):
            gate.compare(case, "peer", right, {**right, "gradient of input": gate.probe(wrong)})
    with pytest.raises(gate.GateError, match="nothing to compare"):
        gate.compare(case, "peer", right, {})


def test_a_wrong_peer_is_not_timed(monkeypatch):
    asked = []

    def worker(plan, order, peer=None, cases=(), progress=None):
        asked.append(order["do"])
        for i, _ in enumerate(cases):
            np.savez(f"{order['folder']}/{peer}-{i}.npz", output=np.full(5, float(peer == "torch")))
        return [{"saved": ""} for _ in cases]

    monkeypatch.setattr(runs, "_worker", worker)
    with pytest.raises(gate.GateError):
        runs.run(runs.Plan(["torch"], [Case("inference", "RNN", 1, 1, 8)]))
    assert asked == ["gate", "gate"]


def test_peers_are_chosen_by_name():
    assert runs.choose_peers("torch, torch") == ["torch"]
    assert "torch" in runs.choose_peers(None)
    assert set(runs.choose_peers(None)) <= set(runs.USUAL)
    with pytest.raises(UsageError, match="no peer 'numpy'"):
        runs.choose_peers("numpy")
    with pytest.raises(UsageError, match="at least one peer"):
        runs.choose_peers("")


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(runs, "missing", lambda name: ["jax"] if name in ("jax", "keras") else [])
    assert "jax" not in runs.choose_peers("all")
    with pytest.raises(UsageError, match="pip install jax"):
        runs.choose_peers("jax")


def test_a_dead_process_says_why():
    command = [sys.executable, "-c", "import sys; sys.exit('out of luck')"]
    with pytest.raises(processes.WorkerError, match="out of luck"):
        list(processes.lines(command, 1))


def test_what_others_use():
    others = machine.Others()
    sum(range(3_000_000))
    found = others.cores()
    assert found is None or 0 <= found <= (os.cpu_count() or 1) + 0.5


def test_slices_hold_every_case_once():
    plan = runs.Plan()
    assert [case for part in plan.slices for case in part] == list(plan.cases)
    assert max(map(len, plan.slices)) <= runs.SLICE


def test_seconds_per_call():
    calls = []
    found = seconds_per_call(lambda: calls.append(sum(range(1000))), 0.01)
    assert 1e-7 < found < 1e-2
    assert len(calls) > 10


@pytest.mark.slow
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "recurra", "bench", "--quick", "--json", "--out", tmp_path / "r.json"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert {"training", "inference"} <= result["summary"].keys()
    assert len(result["targets"]) == 11
    said = [line for line in done.stderr.splitlines() if not line.startswith("warning: other programs")]
    assert said == [f"written: {tmp_path / 'r.json'}", f"written: {tmp_path / 'r.md'}"]
