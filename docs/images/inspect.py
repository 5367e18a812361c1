"""Makes the pictures of `recurra inspect`: docs/images/inspect-*.png, each below 250 kB.

    python docs/images/inspect.py reviews "이 영화 정말 재미없다" vowels JapaneseVowels_TEST.ts rnn lstm gru

The first two models are what `recurra fit classify` made of film reviews and of the Japanese vowels
(docs/guides/classify.md). The last three are classifiers of the reviews with `--cell`, `--hidden-size 24`, `--epochs 2`
and `--pooling last`. Needs Chromium, a Korean font, and Pillow, which matplotlib brings along.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "inspect"))

from chromium import Chromium, find_chromium  # noqa: E402
from PIL import Image  # noqa: E402

MOST = 250_000
TOP = "document.querySelector('.bar').style.position = 'static'; scrollTo(0, 0)"
# one picture: its name, which model, width, colours, what is done first, and the part of the page
SHOTS = [
    ("inspect-text", 0, 1280, "light", "", None),
    ("inspect-cell", 0, 1280, "light", "R.set({stage: 3})", "#cell"),
    ("inspect-series", 1, 1280, "dark", "R.set({order: 'likeness'})", None),
    ("inspect-memory", 1, 1280, "light", "", "#memory"),
    ("inspect-comparison", 2, 1280, "light", "", "#compare"),
]
REVIEW = "배우들의 연기는 좋았지만 이야기가 너무 길고 지루해서 다시는 보고 싶지 않다"


def main(text_model: str, text: str, series_model: str, series: str, *cells: str) -> None:
    """Writes the pages and their pictures."""
    program = find_chromium()
    if program is None:
        raise SystemExit("no Chromium: install one (Debian: chromium) or name it in $CHROMIUM")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = [folder / "text.html", folder / "series.html", folder / "comparison.html"]
        inputs = [(text_model, text), (series_model, series, "--row", "40"), (*cells, REVIEW)]
        for arguments, page in zip(inputs, pages, strict=True):
            subprocess.run([sys.executable, "-m", "recurra", "inspect", *arguments, "--out", str(page)], check=True)
        browser = Chromium(program, folder / "profile")
        for shot in SHOTS:
            take(browser, pages, folder, *shot)
        browser.close()


def take(browser: Chromium, pages: list[Path], folder: Path, *shot: Any) -> None:
    """One picture: the head of the page, or one section of it."""
    name, page, width, theme, first, of = shot
    browser.open(pages[page], width, 1180, prefers_color_scheme=theme, prefers_reduced_motion="reduce")
    browser.run(f"{TOP}; {first}")
    raw = folder / "raw.png"
    if of is None:
        browser.screenshot(raw)
        picture = Image.open(raw)
    else:
        height = browser.run("document.documentElement.scrollHeight")
        browser.resize(width, height)
        left, top, wide, high = browser.run(
            f"(() => {{ const b = document.querySelector('{of}').getBoundingClientRect();"
            "return [b.left, b.top + scrollY, b.width, b.height]; })()"
        )
        browser.screenshot(raw)
        picture = Image.open(raw).crop((int(left) - 16, int(top) - 16, int(left + wide) + 16, int(top + high) + 8))
    out = ROOT / "docs" / "images" / f"{name}.png"
    picture = picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(out, optimize=True)
    if out.stat().st_size > MOST:
        raise SystemExit(f"{out} has {out.stat().st_size:,} bytes, more than {MOST:,}")
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
