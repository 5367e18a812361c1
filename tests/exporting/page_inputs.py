"""Inputs, labels and names of columns for the tests of the exported page."""

from __future__ import annotations

import numpy as np

WORDS = ["정말", "재미있는", "영화", "최악", "good", "bad", "film", "ㅋㅋㅋ", "!", "재미없다", "🎬", "x"]
LABELS = ['</script><b>"bad"', "good & 'new' <!--"]
COLUMNS = ['speed "</script>', "brake, <b>&"]


def texts(count: int, seed: int = 0) -> list[str]:
    """Returns random sentences."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 30))) for _ in range(count)]


def series(count: int, seed: int = 0) -> list[np.ndarray]:
    """Returns random series of two columns; some values of the second are missing."""
    random = np.random.default_rng(seed)
    found = [100 + 7 * random.standard_normal((n, 2)) for n in random.integers(2, 40, count)]
    for row in found:
        row[random.random(len(row)) < 0.1, 1] = np.nan
    return found
