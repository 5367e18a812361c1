"""Folders written before there was a schema still load, and predict the same to the last bit.

`schema1/make.py` wrote them with the version of 2026-11-28.
"""

from __future__ import annotations

import json
import math

import pytest
from schema1 import inputs
from schema1.inputs import EXPECTED, FOLDERS

import recurra


def test_every_task_has_a_folder():
    assert {name.partition("-")[0] for name in EXPECTED} == set(recurra.tasks.ESTIMATORS)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_predicts_the_same(name):
    if name in ("classify-sounds", "transcribe"):
        pytest.importorskip("kaldi_native_fbank")
    found = inputs.answers(name, recurra.load(FOLDERS / name))
    assert_same(json.loads(json.dumps(found)), EXPECTED[name])


def assert_same(found, expected):
    """Equal, but for the rounding by which processors differ."""
    if isinstance(expected, list | dict):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            assert_same(found[key], expected[key])
    elif is_number(expected):
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    else:
        assert found == expected


def is_number(value):
    """True for a float, and for one in a text."""
    try:
        return isinstance(value, float) or (isinstance(value, str) and math.isfinite(float(value)))
    except ValueError:
        return False
