"""Ratios, summaries and targets, on made-up times."""

from __future__ import annotations

import json

import pytest

from recurra.bench import hardware_limit, report, write
from recurra.bench.cases import Case, grid

ROOF = {"peak_gflops": 100.0, "bfloat16_gflops": 400.0, "peak_by": "hand", "bandwidth_by": "hand"}
ROOF["bandwidth_gbytes"] = {str(case.working_set): 50.0 for case in [*grid(), *grid(quick=True)]}


def result(times: dict[Case, dict[str, float]]) -> dict:
    rows = [
        {**c.as_dict(), "seconds": s, "rounds": {name: [t] for name, t in s.items()}, "peaks_gflops": [], "refused": {}}
        for c, s in times.items()
    ]
    return report.evaluate(
        {
            "date": "2000-01-01",
            "machine": {"processor": "abacus"},
            "versions": {"recurra": "1"},
            "threads": 2,
            "rounds": 1,
            "peers": ["recurra", "torch", "onnxruntime"],
            "roof": ROOF,
            "cores_used_by_others": 0.0,
            "greatest_difference": 1e-6,
            "cases": rows,
        }
    )


def passed(found: dict) -> dict[str, bool | None]:
    return {t["target"]: t["passed"] for t in found["targets"]}


def test_inference_is_held_against_the_faster_one():
    case = Case("inference", "LSTM", 1, 1, 64)
    (row,) = result({case: {"recurra": 2e-6, "torch": 8e-6, "onnxruntime": 3e-6}})["cases"]
    assert (row["against"], row["ratio"]) == ("onnxruntime", pytest.approx(1.5))


def test_training_is_held_against_torch_even_where_another_is_faster():
    case = Case("training", "GRU", 1, 100, 64)
    (row,) = result({case: {"recurra": 2e-6, "jax": 1e-6, "torch": 8e-6}})["cases"]
    assert (row["against"], row["ratio"]) == ("torch", pytest.approx(4))


def test_means_are_geometric_and_the_smallest_is_named():
    times = {
        Case("training", "LSTM", 1, 1, 64): {"recurra": 1.0, "torch": 8.0},
        Case("training", "LSTM", 32, 100, 64): {"recurra": 2.0, "torch": 1.0},
        Case("training", "RNN", 32, 100, 64): {"recurra": 1.0, "torch": 16.0},
    }
    found = result(times)["summary"]["training"]
    assert found["LSTM"] == pytest.approx(2)
    assert found["all"] == pytest.approx(4)
    assert (found["smallest"], found["smallest_case"]) == (0.5, "LSTM B32 T100 H64")
    assert "GRU" not in found


def test_targets_are_met_missed_or_not_measured():
    times = {
        Case("training", "LSTM", 32, 100, 256): {"recurra": 1.0, "torch": 3.5},
        Case("call", "LSTM", 1, 1, 64): {"recurra": 11e-6, "torch": 1e-3},
        Case("step", "LSTM", 1, 1, 64): {"recurra": 3e-6},
    }
    found = passed(result(times))
    assert found["training, geometric mean"] is True
    assert found["inference, geometric mean"] is None
    assert found["share of the hardware limit, training, B32 H≥256, smallest"] is False
    assert found["nn.LSTM(64, 64)(x), µs"] is False
    assert found["step of nn.LSTM(64, 64), µs"] is True


def test_rounded_weights_are_held_against_our_own_larger_ones():
    times = {
        Case("float32 session", "GRU", 1, 1, 256): {"recurra": 3e-6, "torch": 1e-6},
        Case("bfloat16 session", "GRU", 1, 1, 256): {"recurra": 2e-6, "torch": 1e-6},
        Case("int8 session", "GRU", 1, 1, 256): {"recurra": 1e-6, "torch": 1e-6},
    }
    found = result(times)["summary"]
    assert found["bfloat16 session"]["all"] == pytest.approx(1.5)
    assert found["int8 session"]["all"] == pytest.approx(2)


def test_hardware_limit_of_a_batch_is_arithmetic_and_of_a_single_sequence_reading():
    batch, single = Case("inference", "LSTM", 32, 100, 256), Case("inference", "LSTM", 1, 100, 256)
    assert hardware_limit.seconds(batch, ROOF) == pytest.approx(batch.flops / 100e9)
    assert batch.flops == 2 * 2 * 32 * 100 * 4 * 256**2
    assert hardware_limit.seconds(single, ROOF) == pytest.approx(101 * 4 * 4 * 256**2 / 50e9)
    training = Case("training", "LSTM", 32, 100, 256)
    assert hardware_limit.seconds(training, ROOF) == pytest.approx(3 * hardware_limit.seconds(batch, ROOF))
    halves = Case("bfloat16 training", "LSTM", 32, 100, 256)
    assert hardware_limit.seconds(halves, ROOF) == pytest.approx(hardware_limit.seconds(training, ROOF) / 4)


def test_a_share_of_the_limit_uses_the_peak_of_its_round():
    case = Case("inference", "GRU", 32, 100, 256)
    second = hardware_limit.seconds(case, ROOF)  # at 100 GF/s
    rounds, peaks = [second / 0.9, second / 0.4, second / 0.8], [100.0, 50.0, 100.0]
    assert hardware_limit.share(case, ROOF, rounds[0], rounds, peaks) == pytest.approx(0.8)
    assert hardware_limit.share(case, ROOF, rounds[0], rounds, []) == pytest.approx(0.9)


def test_the_quickest_round_is_shown_and_the_median_counts():
    case, step = Case("inference", "GRU", 32, 100, 256), Case("step", "LSTM", 1, 1, 64)
    second = hardware_limit.seconds(case, ROOF)  # at 100 GF/s
    found = result({case: {"recurra": second}, step: {"recurra": 5e-6}})
    found["cases"][0] |= {
        "rounds": {"recurra": [second / 0.9, second / 0.4, second / 0.8]},
        "peaks_gflops": [90.0, 100.0, 80.0],
    }
    found["cases"][1]["rounds"] = {"recurra": [6e-6, 3.5e-6, 5e-6]}
    shown = {t["target"].split(",")[0]: t for t in report.evaluate(found)["targets"] if t["quickest"] is not None}
    share, latency = shown["share of the hardware limit"], shown["step of nn.LSTM(64"]
    assert (share["quickest"], share["value"]) == (pytest.approx(0.9), pytest.approx(1.0))
    assert (latency["quickest"], latency["value"], latency["passed"]) == (pytest.approx(3.5), pytest.approx(5.0), False)


def test_a_busy_machine_is_named():
    found = result({Case("inference", "RNN", 1, 1, 64): {"recurra": 1.0, "torch": 1.0}})
    assert report.warnings(found) == report.warnings({**found, "cores_used_by_others": None}) == []
    busy = {**found, "cores_used_by_others": 1.26}
    assert "other programs used 1.3 cores" in report.warnings(busy)[0]
    assert report.warnings(busy)[0] in write.markdown(busy)


def test_the_best_of_several_limits_counts():
    low = {**ROOF, "peak_gflops": 90.0, "bandwidth_gbytes": {"1": 5.0, "2": 7.0}}
    high = {**ROOF, "peak_gflops": 95.0, "bandwidth_gbytes": {"1": 6.0, "2": 4.0}}
    found = hardware_limit.best([low, high])
    assert (found["peak_gflops"], found["bandwidth_gbytes"]) == (95.0, {"1": 6.0, "2": 7.0})


def test_files_and_picture(tmp_path):
    times = {c: {"recurra": 1e-5, "torch": 3e-5, "onnxruntime": 2e-5} for c in grid(quick=True)}
    found = result(times)
    out, readable = write.write_files(found, tmp_path / "new" / "figures.json")
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(json.dumps(found))
    assert "| LSTM B32 T100 H128 | 10.0 | 30.0 | 20.0 | 2.00 |" in readable.read_text(encoding="utf-8")
    for name in ("a.svg", "b.svg"):
        write.plot(found, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "B32 T100 H128" in (tmp_path / "a.svg").read_text(encoding="utf-8")
