"""Valid inputs of the services, by kind of model."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np


def sound(steps: int, rate: int = 8000) -> str:
    """A WAV file with noise in base64."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(np.random.default_rng(steps).integers(-9999, 9999, steps).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


INPUTS: dict[str, list[Any]] = {
    "texts": ["a good film", "", "bad", "unknown words ☃", "a.wav", "x" * 3000],
    "series": [[[1, 2.5]], [], [[None, 3], [4, None], [0.1, -7]]],
    "one feature": [[1, 2, None], [[1], [2]], [], [0.25]],
    "numbers": [[[1, 2]], [], [[3, None]] * 9],
    "running text": ["a cat", "", "☃", "on the mat\n" * 30],
    "labelled texts": ["a", {"text": "a", "condition": "pos"}, {"text": "a", "condition": None}, {"text": ""}],
}
INPUTS["sounds"] = INPUTS["speech"] = [sound(0), sound(500), sound(2000), {"sound": sound(500, 16000)}]
INPUTS["tags"] = ["Anna sleeps", "", [], ["New York", "sleeps", ""], " Ben  and\tAnna sing "]
INPUTS["tagged steps"] = INPUTS["series"]
INPUTS["translations"] = ["good day", "", "  bad night ☃", "day " * 60]
INPUTS["blanks"] = ["the [ ] drinks milk", "___ cat  [ ] water", "☃[ ]"]
INPUTS["numbers in time"] = [
    [1, 2, None, 4],
    [2.5],
    [[1], [2]],
    {"y0": [1, 2, 3]},
    [{"y0": 1}, {"y0": None}, {"y0": 2}],
]
INPUTS["several numbers in time"] = [[[1, 2], [3, None]], {"y0": [1], "y1": [2]}]
INPUTS["table"] = [
    {"date": ["2024-03-01", "2024-03-02"], "load": [1, 2], "rain": [None, 0.5]},
    [{"date": "2025-01-01", "load": 3.5, "rain": 1}, {"rain": 3, "date": "2025-01-02", "load": 3.5}],
    [{"date": "2025-01-01", "load": 3.5}],
    {"load": [1, 2, 3], "rain": [0, 0, 0], "date": ["2024-03-02", "2024-03-03", "2024-03-01"]},
]
INPUTS["shops"] = [
    {
        "day": [f"2024-05-{day:02}" for day in range(1, 11)],
        "shop": ["north"] * 5 + ["west"] * 5,
        "sold": [4, 5, None, None, None] * 2,
        "holiday": [0, 1, 0, 0, 1] * 2,
    },
    [{"day": f"2024-05-{i + 1:02}", "shop": "south", "sold": [2, None][i > 4], "holiday": 0} for i in range(9)],
]
