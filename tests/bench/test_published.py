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


def test_the_readmes_table(result):
    times = {(r["mode"], r["cell"], r["batch"], r["steps"], r["hidden"]): r["seconds"] for r in result["cases"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (RNN|GRU|LSTM) B(\d+) T(\d+) H(\d+) \| (.*) \|$", readme, re.MULTILINE)
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
    assert f"geometric mean | {' | '.join(map(ratio, means))} |" in readme
    assert f"recurra bench --rounds {result['rounds']} " in readme


def test_the_tables_beside_it(result):
    shown = (ROOT / "benchmarks" / "results" / "recurrence.md").read_text(encoding="utf-8")
    for table in tables(result):
        assert table.markdown() in shown, table.title
