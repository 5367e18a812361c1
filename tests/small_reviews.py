"""A small file of reviews, and options with which a model of it is trained in a second."""

from __future__ import annotations

from pathlib import Path

GOOD, BAD = ["정말 재미있다", "최고의 영화", "so good"], ["정말 지루하다", "최악의 영화", "so bad"]
QUICK = ["--hidden-size", "8", "--embedding-size", "8", "--token-dropout", "0"]
QUICK += ["--epochs", "10", "--batch-size", "16", "--learning-rate", "0.03"]


def write_reviews(path: Path) -> Path:
    rows = [(t, "good") for t in GOOD] + [(t, "bad") for t in BAD]
    path.write_text("text,label\n" + "".join(f"{t},{label}\n" for t, label in rows * 20), encoding="utf-8")
    return path
