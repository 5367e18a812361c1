"""Makes the pictures of the page of `recurra serve`: docs/images/serve-*.png, each below 250 kB.

    python docs/images/serve.py DATA MODELS

DATA has the folders `nsmc` (small_train_20000.txt) and `ett` (ETTh1.csv). MODELS is a folder for the models, which are
trained at the first call, in a few minutes. Needs Chromium, a Korean font, Pillow and the extra `dev`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT / "tests" / "serve")  # not this folder: its inspect.py hides the module of Python

import numpy as np  # noqa: E402
from browsing import chromium, served  # noqa: E402
from pictures import save  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from recurra import Forecaster, SequenceClassifier  # noqa: E402

REVIEW = "배우들 연기는 좋은데 이야기가 너무 지루하다"


def reviews(data: Path) -> SequenceClassifier:
    """Trains a classifier of film reviews."""
    with (data / "nsmc" / "small_train_20000.txt").open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    model = SequenceClassifier(hidden_size=48, bidirectional=False, epochs=3, random_state=0)
    return model.fit([row[1] for row in rows], ["긍정" if row[2] == "1" else "부정" for row in rows])


def measurements(data: Path) -> np.ndarray:
    """Returns the oil temperature and the load of a transformer, for each hour."""
    with (data / "ett" / "ETTh1.csv").open(encoding="utf-8") as file:
        return np.array([[float(row["OT"]), float(row["HUFL"])] for row in csv.DictReader(file)])


def faults(data: Path) -> SequenceClassifier:
    """Trains a classifier of the newest step: normal, or a fault of a sensor that was put into real measurements."""
    values, random = measurements(data), np.random.default_rng(0)
    size, X, y = values.std(0), [], []
    for _ in range(4000):
        steps = random.integers(24, 97)
        begin = random.integers(0, len(values) - steps)
        window, kind, label = values[begin : begin + steps].copy(), random.integers(0, 6), "normal"
        if kind < 4:  # a fault that is active at the end, or over
            end = max(4, steps - (0 if random.random() < 0.6 else random.integers(6, 40)))
            first, sensor = max(1, end - random.integers(3, 16)), random.integers(0, 2)
            if kind == 0:
                window[first:end, sensor] = window[first - 1, sensor]
            elif kind < 3:
                window[first:end, sensor] += random.choice([-1, 1]) * random.uniform(2, 5) * size[sensor]
            else:
                window[first:end, sensor] += random.normal(size=end - first) * random.uniform(1.5, 3) * size[sensor]
            if end == steps:
                label = ("stuck", "offset", "offset", "noise")[kind]
        X.append(window)
        y.append(label)
    model = SequenceClassifier(hidden_size=32, bidirectional=False, pooling="last", epochs=8, random_state=0)
    return model.fit(X, y)


def temperature(data: Path) -> Forecaster:
    """Trains a forecaster of the oil temperature."""
    model = Forecaster(horizon=24, quantiles=(0.1, 0.5, 0.9), hidden_size=32, epochs=3, random_state=0)
    return model.fit([measurements(data)[:9000, 0]])


MODELS: dict[str, Any] = {"reviews": reviews, "sensor-faults": faults, "oil-temperature": temperature}


def main(data: Path, models: Path) -> None:
    """Trains the models that are not in their folder, and makes the pictures."""
    for name, train in MODELS.items():
        if not (models / name).exists():
            train(data).save(models / name)
    folders = {name: models / name for name in MODELS}
    with served(folders) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])

        def open_page(model: str, width: int, height: int, **options: Any) -> Page:
            page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
            page.goto(f"{url}#{model}")
            page.wait_for_selector("#work h2")
            return page

        page = open_page("reviews", 1280, 2480)
        typed(page)
        page.evaluate("R.set({order: 'likeness'})")
        save(page, "serve-desktop")
        page = open_page("reviews", 360, 1320, color_scheme="dark", locale="ko-KR", device_scale_factor=2)
        typed(page)
        save(page, "serve-phone")
        page = open_page("sensor-faults", 1280, 1800)
        stream(page)
        save(page, "serve-stream")
        browser.close()


def typed(page: Page) -> None:
    """Types a review and waits for the figures."""
    page.locator("#entry").press_sequentially(REVIEW, delay=20)
    page.wait_for_selector(".map")
    page.wait_for_selector(".bars")
    page.wait_for_timeout(1500)
    page.evaluate("document.activeElement.blur()")


def stream(page: Page) -> None:
    """Runs the live stream with some faults."""
    page.click("#simulate")
    page.fill("#rate", "30")
    page.fill("#faults", "0")
    page.click("#stream-start")
    for _ in range(4):
        page.wait_for_timeout(1700)
        page.click("#fault")
    page.wait_for_timeout(1500)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, document.querySelector('.stream').getBoundingClientRect().top + scrollY - 24)")
    page.wait_for_timeout(300)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
