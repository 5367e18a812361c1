"""Sentences about what fades and grows."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from recurra.inspect.core.decay import Decay
from recurra.inspect.core.results import Reportable


@pytest.mark.parametrize(
    ("rate", "steps", "name"),
    [(0.8, 30, "vanishing"), (0.8, 5, "fading"), (0.99, 30, "steady"), (1.05, 30, "growing"), (1.5, 30, "exploding")],
)
def test_an_exponential_gives_its_rate_and_a_name(rate, steps, name):
    decay = Decay.of(3 * rate ** np.arange(steps))
    assert decay.rate == pytest.approx(rate)
    assert decay.name == name
    assert decay.sentence().startswith(f"{name}: the gradient {'halves' if rate < 1 else 'doubles'} every ")


def test_what_is_left_is_measured_and_not_extrapolated():
    values = np.where(np.arange(60) < 10, 0.9 ** np.arange(60), 0.9 ** np.arange(60) / 2)
    found = Decay.of(values).sentence()
    assert found.endswith(f"after 20 steps {50 * 0.9**20:.2g} % is left, after 59 steps {50 * 0.9**59:.2g} % is left")


def test_gaps_and_nothing():
    assert Decay.of(np.array([1.0, 0.5, np.nan, 0.125, np.nan])).rate == pytest.approx(0.5)
    assert Decay.of(np.array([1.0, 0.5, np.nan, 0.125, np.nan])).longest == 3
    assert Decay.of(np.zeros(4)).sentence() == "the gradient is 0 everywhere"
    assert Decay.of(np.array([1.0])).half_life is math.nan or math.isnan(Decay.of(np.array([1.0])).half_life)
    # nothing at the last step itself, as with a maximum over the steps: shares are of the greatest
    assert Decay.of(np.array([0.0, 4.0, 2.0])).left.tolist() == [0.0, 1.0, 0.5]


def test_json_has_no_infinity():
    class One(Reportable):
        verdict = "so"

        def rows(self):
            return [{"unit": "a", "half_life": math.inf, "n": np.int64(3)}]

    assert json.loads(One().to_json()) == {"verdict": "so", "rows": [{"unit": "a", "half_life": None, "n": 3}]}
    assert repr(One()) == "One: so\nunit  half_life  n\na     inf        3"
