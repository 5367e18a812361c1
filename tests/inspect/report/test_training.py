"""The page over training: the data of each epoch, and the slider."""

from __future__ import annotations

import pytest
import torch
from report_subjects import ENGLISH, read_page

import recurra
from recurra import SequenceClassifier
from recurra.errors import UsageError
from recurra.inspect import write_training
from recurra.inspect.core.quantize import unpack

DATA = ["이 영화", "참 좋다", "영화 별로", "좋다 좋다"] * 4, ["x", "y"] * 8


@pytest.fixture(scope="module")
def models():
    def fitted(cell: str, epochs: int) -> SequenceClassifier:
        options = {"hidden_size": 4, "tokens": "word", "pooling": "last", "n_iter_no_change": None, "verbose": 0}
        return SequenceClassifier(cell=cell, epochs=epochs, keep_epochs=True, **options).fit(*DATA)

    return {"a": fitted("lstm", 3), "b": fitted("gru", 2)}


@pytest.fixture(scope="module")
def page(models, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "training.html"
    assert write_training(models["a"], ["영화 참 좋다"], path) == [0, 1, 2, 3]
    return path


def test_each_frame_is_the_trace_of_its_epoch(models, page):
    frames = read_page(page)["frames"]
    assert [frame["epoch"] for frame in frames] == [0, 1, 2, 3]
    for frame in frames:
        trace = recurra.trace(models["a"].at_epoch(frame["epoch"]), ["영화 참 좋다"])
        found = unpack(frame["data"]["parts"][0]["arrays"]["cell"])
        assert (found == trace["cell"].values[:, :, 0].swapaxes(-1, -2)).all()
    assert frames[0]["metrics"][0]["values"] == {}
    assert frames[2]["metrics"][0]["values"]["loss"] == models["a"].history_[1]["loss"]


SHOW = "(() => {{ const s = document.getElementById('epoch'); s.value = {}; s.dispatchEvent(new Event('input')); }})()"


def test_the_slider_changes_the_states(browser, page, models):
    browser.open(page)
    assert browser.run("[document.getElementById('epoch').max, document.getElementById('epoch').value]") == ["3", "3"]
    browser.run("R.set({step: 1, unit: 2}); scrollTo(0, 500)")
    shown = []
    for epoch in (3, 0, 2):
        browser.run(SHOW.format(epoch))
        trace = recurra.trace(models["a"].at_epoch(epoch), ["영화 참 좋다"])
        value = browser.run("R.value('hidden')")
        assert value == pytest.approx(float(trace["hidden"].values[0, 0, 0, 1, 2]), abs=1e-6)
        assert f"{value:.3f}".replace("-", "−") in browser.run("document.querySelector('#unit-lines').textContent")
        assert browser.run("[R.state.step, R.state.unit, scrollY]") == [1, 2, 500]
        shown.append((value, browser.run("document.querySelector('.epochs output').textContent").split(" ")[0]))
    assert len({value for value, _ in shown}) == 3
    assert [label for _, label in shown] == ["3", "before", "2"]
    assert browser.problems == []


def test_several_models_over_their_training(browser, models, tmp_path):
    assert write_training(models, ["영화 참 좋다"], tmp_path / "page.html") == [0, 1, 2, 3]
    browser.open(tmp_path / "page.html", 375, language="ko-KR")
    assert browser.run("document.documentElement.scrollWidth") <= 375
    browser.run(SHOW.format(3))
    last = torch.tensor(browser.run("R.set({part: 1, unit: 1, step: 2}), [R.value('hidden')]"))
    expected = recurra.trace(models["b"].at_epoch(2), ["영화 참 좋다"])["hidden"].values[0, 0, 0, 2, 1]
    torch.testing.assert_close(last[0].float(), torch.tensor(expected))
    names = {"Recurra", "tanh", "SVG", "PNG", "Python", "LSTM", "GRU"}
    assert set(browser.run(ENGLISH)) <= names
    assert browser.problems == []


def test_models_without_epochs(tmp_path):
    plain = SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(*DATA)
    with pytest.raises(UsageError, match="train with keep_epochs=True"):
        write_training(plain, ["영화"], tmp_path / "page.html")
    with pytest.raises(UsageError, match="shows estimators, not GRU"):
        write_training(torch.nn.GRU(2, 3), ["영화"], tmp_path / "page.html")  # type: ignore[arg-type]
