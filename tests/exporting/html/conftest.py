"""Small models, their pages, and a browser that opens them as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Tab, open_browser
from page_inputs import COLUMNS, LABELS, series, texts
from playwright.sync_api import Browser

from recurra import SequenceClassifier, SequenceRegressor
from recurra.exporting import export


@pytest.fixture(scope="session")
def reviews() -> SequenceClassifier:
    """A classifier of texts that reads in one direction. Its labels contain HTML."""
    X = texts(80)
    model = SequenceClassifier(
        hidden_size=12, embedding_size=7, tokens="bpe", bidirectional=False, epochs=2, random_state=0
    )
    return model.fit(X, [LABELS["영화" in text] for text in X])


@pytest.fixture(scope="session")
def both() -> SequenceClassifier:
    """A classifier of texts with two layers that reads in both directions."""
    X = texts(60)
    model = SequenceClassifier(
        cell="gru", hidden_size=6, embedding_size=5, num_layers=2, bidirectional=True, epochs=1, random_state=0
    )
    return model.fit(X, ["영화" in text for text in X])


@pytest.fixture(scope="session")
def sensor() -> SequenceRegressor:
    """A regressor of series. The names of its columns contain HTML."""
    import pandas

    X = series(60)
    frames = [pandas.DataFrame(row, columns=COLUMNS) for row in X]
    model = SequenceRegressor(cell="gru", hidden_size=9, epochs=2, bidirectional=False, random_state=0)
    return model.fit(frames, [row[-1, 0] for row in X])


@pytest.fixture(scope="session")
def pages(reviews, both, sensor, tmp_path_factory) -> dict[str, Path]:
    """The page of each model."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"reviews": (reviews, ["good film", "bad 영화"]), "both": (both, []), "sensor": (sensor, [])}
    return {
        name: export(model, folder / f"{name}.html", examples=examples) for name, (model, examples) in found.items()
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with open_browser() as found:
        yield found


@pytest.fixture
def tab(browser, pages) -> Iterator[Callable[..., Tab]]:
    """Opens the page of a model from its file. Checks at the end that nothing went wrong and nothing was requested."""
    tabs: list[Tab] = []

    def open_tab(model: str, **options: Any) -> Tab:
        found = options.pop("path", None) or pages[model]
        tabs.append(Tab(browser, found.as_uri(), "", ready=".answer-panel", **options))
        return tabs[-1]

    yield open_tab
    for one in tabs:
        one.close()
    for one in tabs:
        assert one.problems == []
        assert [url for url in one.requests if not url.startswith((one.url, "data:", "blob:"))] == []
