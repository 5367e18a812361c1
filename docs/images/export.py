"""Makes the pictures of exported pages: docs/images/export-*.png, each below 250 kB.

    python docs/images/export.py MODELS

MODELS is a folder for the models, which are trained on the samples of the package at the first call, in about a minute.
Needs Chromium, a Korean font, Pillow and the extra `dev`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT / "tests" / "serve")  # not this folder: its inspect.py hides the module of Python

import numpy as np  # noqa: E402
from browsing import chromium  # noqa: E402
from pictures import save  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

import recurra  # noqa: E402

SAMPLES = ROOT / "src" / "recurra" / "data" / "samples"
REVIEW = "배우들 연기는 좋은데 이야기가 너무 지루하다"


def reviews() -> Any:
    """Trains a classifier of film reviews."""
    with (SAMPLES / "nsmc" / "train.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    model = recurra.SequenceClassifier(hidden_size=32, embedding_size=48, epochs=4, random_state=0)
    return model.fit([row["document"] for row in rows], ["긍정" if row["label"] == "1" else "부정" for row in rows])


def kettles() -> Any:
    """Trains a regressor that estimates the water in a kettle while it heats."""
    import pandas

    columns = ["temperature", "watts"]
    table = pandas.read_csv(SAMPLES / "series" / "kettles_train.csv").sort_values(["kettle", "second"])
    groups = [rows for _, rows in table.groupby("kettle")]
    model = recurra.SequenceRegressor(
        cell="gru",
        hidden_size=24,
        bidirectional=False,
        learning_rate=0.01,
        epochs=80,
        n_iter_no_change=15,
        random_state=0,
    )
    return model.fit([rows[columns] for rows in groups], [rows["litres"].iloc[0] for rows in groups])


MODELS: dict[str, Any] = {"reviews": reviews, "kettles": kettles}


def main(models: Path) -> None:
    """Trains the models that are not in their folder, and makes the pictures."""
    pages = {}
    for name, train in MODELS.items():
        if not (models / name).exists():
            train().save(models / name)
    for name, model, title, examples in (
        ("english", "reviews", "Film reviews", [REVIEW]),
        ("korean", "reviews", "영화 리뷰", [REVIEW]),
        ("kettles", "kettles", "Water in a kettle", []),
    ):
        pages[name] = recurra.export(
            recurra.load(models / model), models / f"{name}.html", title=title, examples=examples
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = show(browser, pages["english"], 1280, 1500)
        save(page, "export-page")
        page = show(
            browser,
            pages["korean"],
            375,
            1500,
            color_scheme="dark",
            locale="ko-KR",
            device_scale_factor=2,
            is_mobile=True,
        )
        save(page, "export-phone")
        page = show(browser, pages["kettles"], 1280, 1180)
        draw(page)
        save(page, "export-signal")
        browser.close()


def show(browser: Browser, path: Path, width: int, height: int, **options: Any) -> Page:
    """Opens a page."""
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.goto(path.resolve().as_uri())
    page.wait_for_selector(".map")
    page.evaluate("R.set({order: 'activity', step: R.part().steps - 1})")
    page.wait_for_timeout(800)
    return page


def draw(page: Page) -> None:
    """Draws a temperature that rises to 100 degrees and stays there."""
    page.fill("#pad-steps", "40")
    page.click("#flat")
    box: Any = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 62, box["y"] + 158)
    page.mouse.down()
    for share in np.linspace(0, 1, 60):
        rise = min(1, share / 0.7) + 0.02 * np.sin(20 * share)
        page.mouse.move(box["x"] + 62 + share * (box["width"] - 84), box["y"] + 158 - 112 * rise)
    page.mouse.up()
    page.wait_for_timeout(800)
    page.evaluate("document.activeElement.blur()")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
