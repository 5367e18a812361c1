"""The benchmark of compiled cells: its rows, ratios and its check of the results."""

from __future__ import annotations

import pytest
import torch

from recurra.bench import cells, gate


def test_rows_have_times_and_ratios(monkeypatch):
    small = cells.Sizes(2, 3, 4)
    plan = [
        ("kernels", "lstm", small, ["kernel, inference", "kernel, training"]),
        ("cells", "mgu", small, ["LSTM", "loop"]),
        ("by unit", "mingru", small, ["LSTM"]),
    ]
    monkeypatch.setattr(cells, "_plan", lambda quick: plan)
    threads = torch.get_num_threads()
    told = []
    result = cells.measure(quick=True, threads=1, compiled_loop=False, tell=lambda *args: told.append(args))
    assert torch.get_num_threads() == threads
    assert told == [("timing lstm", 0, 3), ("timing mgu", 1, 3), ("timing mingru", 2, 3)]
    for row in result["cells"]:
        for name, ratio in row["ratios"].items():
            ours = "inference" if "inference" in name else "training"
            assert ratio == row["seconds"][name] / row["seconds"][ours] > 0
    (first, _, rows), (second, columns, _), (_, names, (by_unit,)) = cells.tables(result)
    assert (first, second) == ("kernels", "cells")
    assert rows[0][:2] == ["lstm", "B2 T3 H4"]
    assert columns[-2:] == ["× LSTM", "× loop"]
    limits = result["cells"][2]["limits"]
    assert names[-2:] == ["of the bandwidth", "of the peak"]
    assert len(by_unit) == len(names)
    assert all(0 < share < 1 for share in limits.values())


def test_nothing_is_reported_if_results_differ(monkeypatch):
    def call(cell, sizes, engine, mode, **options):
        return lambda: [torch.full((2,), 1.0 + (engine == "compiled"))]

    monkeypatch.setattr(cells, "_call", call)
    with pytest.raises(gate.GateError, match="mgu B1 T2 H3: the compiled cell and the reference loop differ"):
        cells._check("mgu", cells.Sizes(1, 2, 3))
