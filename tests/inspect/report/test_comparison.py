"""The page that compares models: the data, and what a browser shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from report_subjects import ENGLISH, WORDS, read_page, words_subject

from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import gradient_reach, write_comparison
from recurra.inspect.core.quantize import unpack

KINDS = ("RNN", "LSTM", "GRU")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    return path, write_comparison({kind: words_subject(kind) for kind in KINDS}, path=path, title="이 영화")


def test_the_page_holds_the_traces_and_gradients_of_all_models(page):
    data = read_page(page[0])
    assert [(part["name"], part["cell"]) for part in data["parts"]] == [(kind, kind.lower()) for kind in KINDS]
    for part in data["parts"]:
        for name in page[1][part["name"]]:
            expected = page[1][part["name"]][name].values[:, :, 0].swapaxes(-1, -2)
            assert (unpack(part["arrays"][name]) == expected).all()
        expected = gradient_reach(words_subject(part["name"])).parts[""]["gradient"].values
        assert data["measured"]["reach"]["parts"][part["name"]]["all"] == pytest.approx(expected, rel=1e-4)
    assert data["comparison"][0]["answer"] == "bad <i>(90 %)</i>"


def test_layers_are_named_by_their_cells(tmp_path):
    layers = [nn.GRU(3, 4, batch_first=True), nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 5, batch_first=True)]
    found = write_comparison(layers, torch.randn(2, 7, 3), tmp_path / "page.html", row=1)
    assert list(found) == ["GRU", "LSTM", "GRU 2"]
    assert [len(part["units"]) for part in read_page(tmp_path / "page.html")["parts"]] == [4, 4, 5]


def test_a_small_budget_leaves_out_units_of_one_model(tmp_path):
    layers = {"small": nn.GRU(3, 4, batch_first=True), "large": nn.GRU(3, 512, batch_first=True)}
    write_comparison(layers, torch.randn(1, 1000, 3), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    notes = read_page(tmp_path / "page.html")["notes"]
    assert {(note["model"], note["say"]) for note in notes} == {("large", "precision"), ("large", "units")}


def test_models_that_cannot_be_compared(tmp_path):
    def reads(*steps: str):
        found = words_subject("GRU")
        return type(found)(**{**vars(found), "steps": [list(steps)]})

    layer = nn.GRU(3, 4, batch_first=True)
    with pytest.raises(UsageError, match="2 to 6 models, not 1"):
        write_comparison([layer], torch.randn(1, 5, 3), tmp_path / "page.html")
    short = {"a": words_subject("GRU"), "b": type(words_subject())(**vars(words_subject("RNN")))}
    object.__setattr__(short["b"], "batch", short["b"].batch._replace(values=torch.randn(1, 5, 3)))
    with pytest.raises(UsageError, match="different numbers of steps: a 7, b 5; compare models with the same tokens"):
        write_comparison(short, path=tmp_path / "page.html")
    with pytest.raises(UsageError, match="step 2 is '영화' for a and '영' for b"):
        write_comparison({"a": words_subject(), "b": reads("이", "영", *WORDS[2:])}, path=tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_three_cells_share_the_step(browser, page):
    path, found = page
    browser.open(path)
    titles = browser.run("[...document.querySelectorAll('#compare figure h3')].map((title) => title.textContent)")
    assert titles == list(KINDS)
    assert browser.run("document.querySelectorAll('.map').length") == 1 + 6 + 4
    rows = browser.run("[...document.querySelectorAll('.models tbody tr')].map((row) => row.textContent)")
    assert [row.split("bad")[0] for row in rows] == [f"{kind}{kind}6" for kind in KINDS]
    browser.point("#map-forget-1 .plot", 3.5 / len(WORDS), 4.5 / 6, press=True)
    assert browser.run("[R.state.part, R.state.unit, R.state.step]") == [1, 4, 3]
    browser.point("#map-update-2 .plot", 3.5 / len(WORDS), 1.5 / 6, press=True)
    assert browser.run("[R.state.part, R.state.unit, R.state.step, R.units[1]]") == [2, 1, 3, 4]
    assert (
        browser.run("document.querySelectorAll('.stages [data-stage]').length") == 4
    )  # the cell of the selected model
    for i, (kind, unit) in enumerate(zip(KINDS, (browser.run("R.units[0]"), 4, 1), strict=True)):
        text = browser.run(f"document.querySelector('#unit-lines-{i}').textContent")
        assert f"{found[kind]['hidden'].values[0, 0, 0, 3, unit]:.3f}".replace("-", "−") in text
        columns = browser.run("[...document.querySelectorAll('.column:not(.ghost)')].map((c) => c.style.transform)")
        assert len({column[:14] for column in columns}) == 1
    lines = browser.run("document.querySelector('#gradient-reach svg').textContent")
    assert all(kind in lines for kind in KINDS)
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [path.as_uri()]


def test_the_gradients_are_shares_of_the_last_step(browser, page):
    browser.open(page[0])
    browser.point("#gradient-reach svg", 0.99, 0.5)
    shown = browser.run("[...document.getElementById('tip').children].map((line) => line.textContent)")
    for kind, line in zip(KINDS, shown[1:], strict=True):
        gradient = gradient_reach(words_subject(kind)).parts[""]["gradient"].values[0, 0]
        assert float(line.split()[1]) == pytest.approx(gradient[-1] / gradient[0], rel=0.01)
    assert np.all(gradient > 0)


def test_a_phone_in_korean(browser, page):
    browser.open(page[0], 375, language="ko-KR")
    assert browser.run("document.documentElement.scrollWidth") <= 375
    assert browser.run("document.querySelector('#compare h2').textContent") == "나란히 비교"
    names = {"Recurra", "tanh", "SVG", "PNG", "Python", "script", "Whn", *KINDS, "bad", "Win"}
    assert set(browser.run(ENGLISH)) <= names
