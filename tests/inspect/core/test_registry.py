"""The registry of measures: a measure from outside appears on the page and in the documentation table."""

from __future__ import annotations

import sys

import pytest
import torch
from chromium import Chromium, find_chromium

import recurra.inspect
from recurra import nn
from recurra.errors import DataError, UsageError
from recurra.inspect import write_report
from recurra.inspect.core.registry import MEASURES, Measure, Section, Text, attempt, documentation_table, register


@pytest.fixture
def toy():
    import toy_measure

    yield
    del MEASURES["mean_state"], sys.modules[toy_measure.__name__]


def test_a_measure_from_outside_has_a_section_and_a_row(toy, tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: install one (Debian: chromium) or name it in $CHROMIUM")
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(1, 5, 3)
    found = write_report(layer, x, tmp_path / "page.html")
    browser = Chromium(program, tmp_path / "profile")
    try:
        browser.open(tmp_path / "page.html")
        sections = browser.run("[...document.querySelectorAll('main > section')].map((section) => section.id)")
        assert sections == ["input", "gates", "unit", "cell", "reach", "memory", "mean-state"]
        assert browser.run("document.querySelector('#mean-state h2').textContent") == "Mean state"
        assert browser.run("document.querySelector('#mean-state .lead').textContent") == "Mean of the hidden state."
        mean = float(found["hidden"].mean())
        assert browser.run("R.data.measured['mean-state']") == {"mean": pytest.approx(mean), "shown": [""]}
        words = browser.run("document.querySelector('#mean-state .hint').textContent")
        assert words == f"The mean is {mean:.3f}.".replace("-", "−")
        browser.run("document.getElementById('language').click()")
        assert browser.run("document.querySelector('#mean-state h2').textContent") == "상태의 평균"
        assert browser.run("document.querySelector('#mean-state .hint').textContent").startswith("평균은 ")
        assert browser.problems == []
    finally:
        browser.close()
    assert documentation_table()[-1] == ("mean_state", "Mean state", "Mean of the hidden state.")


def test_built_in_measures_are_public_and_have_both_languages():
    for name, measure in MEASURES.items():
        assert getattr(recurra.inspect, name) is measure.function
        assert name in recurra.inspect.__all__
        for text in (measure.title, measure.description):
            assert text.en
            assert any("가" <= letter <= "힣" for letter in text.ko), name


def test_a_name_can_be_registered_once():
    def gradient_reach(): ...

    def other(): ...

    words = Text("a", "b")
    for measure in (
        Measure(gradient_reach, words, words),
        Measure(other, words, words, Section("reach", id, dict, "")),
    ):
        with pytest.raises(UsageError, match=f"'{measure.name}' is already registered"):
            register(measure)
    assert "other" not in MEASURES


def test_a_measure_that_does_not_apply_gives_none():
    def fail(error):
        raise error

    assert attempt(lambda: 3) == 3
    assert attempt(lambda: fail(UsageError("no"))) is None
    assert attempt(lambda: fail(DataError("no"))) is None
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0)
