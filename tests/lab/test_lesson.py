"""What the experiment on forgetting concludes from its losses."""

from __future__ import annotations

import math
import re

import pytest

from recurra import lab
from recurra.lab.lesson import lesson


def rows(**losses: tuple[float, ...]) -> list[dict]:
    """Rows at the lags 10, 20, … of each cell; the loss of a constant prediction is 2."""
    return [
        {"cell": cell, "lag": lag, "loss": 2 * share, "baseline": 2.0}
        for cell, shares in losses.items()
        for lag, share in zip((10, 20, 30), shares, strict=False)
    ]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (
            {"RNN": (0.1, 0.5, 0.95), "LSTM": (0.01, 0.3, 0.1)},
            "conclusion: RNN learned lag 10 and is at chance at lag 30",
        ),
        ({"RNN": (0.1, 0.95), "LSTM": (0.01, 0.1), "GRU": (0.5, 0.5)}, "conclusion: .*; LSTM, GRU learned both"),
        ({"RNN": (0.97, 0.95), "LSTM": (0.01, 0.1)}, "too short; RNN did not learn lag 10;"),
        ({"RNN": (0.9, 0.9), "LSTM": (0.6, 0.1)}, "too short; RNN, LSTM did not learn lag 10;"),
        ({"RNN": (0.1, 0.95), "LSTM": (0.01, 0.7), "GRU": (0.1, 0.1)}, "too short; LSTM did not learn lag 20;"),
        ({"RNN": (0.1, math.nan), "LSTM": (0.01, math.nan)}, "too short; LSTM did not learn lag 20;"),
        ({"RNN": (0.1, 0.7), "LSTM": (0.01, 0.01)}, "the lags are too short; RNN is better than chance at lag 20"),
        ({"RNN": (0.1,), "LSTM": (0.01,)}, "one lag"),
    ],
)
def test_the_sentence_follows_from_the_losses(losses, words):
    found = lesson(rows(**losses), {"LSTM", "GRU"})
    assert found is not None
    assert re.search(words, found)
    assert found.startswith("conclusion") == words.startswith("conclusion")


def test_no_comparison_no_sentence():
    assert lesson(rows(RNN=(0.1, 0.9)), {"LSTM"}) is None
    assert lesson(rows(LSTM=(0.1, 0.9)), {"LSTM"}) is None


def test_a_run_of_a_few_steps_says_that_it_is_too_short():
    result = lab.vanishing(lags=(10, 12), cells=("rnn", "gru"), parameters=300, learning_rates=(0.01,), steps=5)
    assert result.notes[0] == "no conclusion: this run is too short; RNN, GRU did not learn lag 10; give more --steps"


@pytest.mark.slow
def test_the_quick_version_shows_the_lesson():
    assert lab.vanishing(**lab.QUICK["vanishing"]).notes[0].startswith("conclusion: RNN learned lag 10")
