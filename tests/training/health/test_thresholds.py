"""Signs of health and their lights."""

from __future__ import annotations

import dataclasses

import pytest

from recurra.training.health.thresholds import DEAD, worst


@pytest.mark.parametrize("value", [DEAD, DEAD.light(0.0)], ids=lambda value: type(value).__name__)
def test_signs_and_lights_do_not_change(value):
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.name = "other"


def test_the_worst_of_some_lights():
    green, yellow, red = (DEAD.light(value) for value in (0.0, 0.2, 0.7))
    assert [worst(lights) for lights in ([green], [yellow, green], [green, red, yellow], [])] == [
        "green", "yellow", "red", "green",
    ]  # fmt: skip
