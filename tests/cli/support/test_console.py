"""Tables fit the terminal."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from recurra.cli.support.console import show_table

HEADS = ("n", "precision", "logistic regression on TF-IDF", "정밀도", "가장 흔한 클래스")
NUMBERS = st.one_of(st.floats(0, 1).map("{:.4f}".format), st.integers(0, 10**7).map("{:,}".format), st.just(""))


@settings(deadline=None)
@given(st.data(), st.integers(24, 100))
def test_no_number_is_divided(data, width):
    heads = data.draw(st.lists(st.sampled_from(HEADS), min_size=1, max_size=9))
    rows = data.draw(st.lists(st.lists(NUMBERS, min_size=len(heads), max_size=len(heads)), min_size=1, max_size=4))
    names = ["accuracy", "macro average", "부정", "expected_calibration_error"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        shown = _shown("Each class", ["class", *heads], [[name, *row] for name, row in zip(names, rows, strict=False)])
    assert max(map(cell_len, shown.splitlines())) <= width
    # a character of a line of the table, or a space, stands between two cells
    found = sorted("".join(char if char not in "│┃" else " " for char in shown).split())
    for number in {cell for row in rows for cell in row} - {""}:
        assert found.count(number) == sum(row.count(number) for row in rows)


def _shown(*table) -> str:
    with redirect_stdout(StringIO()) as written:
        show_table(*table)
    return written.getvalue()


def test_a_wide_table_is_shown_in_parts(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "32")
    show_table("Many", ["model", *(f"fold {i}" for i in range(6))], [["lstm", *(f"0.{i}234" for i in range(6))]])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Many",
        "model┃fold 0┃fold 1┃fold 2",
        "━━━━━╇━━━━━━╇━━━━━━╇━━━━━━",
        "lstm │0.0234│0.1234│0.2234",
        "model┃fold 3┃fold 4┃fold 5",
        "━━━━━╇━━━━━━╇━━━━━━╇━━━━━━",
        "lstm │0.3234│0.4234│0.5234",
    ]
