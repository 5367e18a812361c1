"""The figures in the README and in the docs are those of the published result."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from recurra.bench.report import evaluate, tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", name="result")
def _result() -> dict[str, Any]:
    return evaluate(json.loads((ROOT / "benchmarks" / "results" / "recurrence.json").read_text(encoding="utf-8")))


def ratio(value: float) -> str:
    return f"{value:.1f} ×"


def test_the_table_of_results(result):
    times = {(r["mode"], r["cell"], r["batch"], r["steps"], r["hidden"]): r["seconds"] for r in result["cases"]}
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (RNN|GRU|LSTM) B(\d+) T(\d+) H(\d+) \| (.*) \|$", page, re.MULTILINE)
    assert len(lines) == 12
    columns = [
        ("training", "torch"),
        ("bfloat16 training", "torch"),
        ("inference", "torch"),
        ("inference", "onnxruntime"),
    ]
    for cell, batch, steps, hidden, shown in lines:
        expected = []
        for mode, peer in columns:
            seconds = times.get((mode, cell, int(batch), int(steps), int(hidden)))
            expected.append(ratio(seconds[peer] / seconds["recurra"]) if seconds else "–")
        assert shown.split(" | ") == expected, (cell, batch, steps, hidden)
    found = result["summary"]
    means = [found["training"]["all"], found["bfloat16 training"]["all"], *found["inference"]["by_peer"].values()]
    assert f"geometric mean | {' | '.join(map(ratio, means))} |" in page
    assert f"recurra bench --rounds {result['rounds']} " in page
    halves = [times[key] for key in times if key[0] == "bfloat16 training"]
    full = [times[("training", *key[1:])] for key in times if key[0] == "bfloat16 training"]
    gains = [one["recurra"] / half["recurra"] for one, half in zip(full, halves, strict=True)]
    assert f"{min(gains):.1f} to {max(gains):.1f} × our float32" in page


@pytest.mark.parametrize(("name", "unit"), [("README.md", " ×"), ("README.ko.md", "배")])
def test_the_tables_of_the_readmes(result, name, unit):
    cases = {(r["mode"], r["cell"], r["batch"], r["steps"], r["hidden"]): r for r in result["cases"]}
    readme = (ROOT / name).read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) × (\d+), (\d+) \| (.*) \|$", readme, re.MULTILINE)
    assert len(lines) == 4
    for batch, steps, hidden, shown in lines:
        expected = []
        for cell in ("LSTM", "GRU", "RNN"):
            for mode in ("training", "inference"):
                seconds = cases[(mode, cell, int(batch), int(steps), int(hidden))]["seconds"]
                expected.append(ratio(seconds["torch"] / seconds["recurra"]))
        assert shown.split(" | ") == expected, (batch, steps, hidden)
    found = result["summary"]
    means = [found["training"]["all"], *found["inference"]["by_peer"].values()]
    assert re.findall(rf"(\d\.\d){unit}(?! \|)", readme) == [f"{mean:.1f}" for mean in means]


def test_the_tables_beside_it(result):
    shown = (ROOT / "benchmarks" / "results" / "recurrence.md").read_text(encoding="utf-8")
    for table in tables(result):
        assert table.markdown() in shown, table.title
