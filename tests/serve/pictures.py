"""Pictures of pages: writes them with few colours and a limited size."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
MOST = 250_000
"""Greatest size of a picture in bytes."""


def save(page: Page, name: str) -> None:
    """Writes a picture of the window with 256 colours."""
    out = ROOT / "docs" / "images" / f"{name}.png"
    page.screenshot(path=out)
    Image.open(out).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        out, optimize=True
    )
    if out.stat().st_size > MOST:
        raise SystemExit(f"{out} has {out.stat().st_size:,} bytes, more than {MOST:,}")
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size:,} bytes")
