"""Whatever is changed in a model folder, it is refused, or its predictions are finite; `make test-fuzz` tries more."""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema1 import inputs
from schema1.inputs import EXPECTED, FOLDERS

import recurra
from fuzz.mutate import damage, damage_json, damage_safetensors
from recurra.errors import DataError, ModelFolderError, NonFiniteError, UsageError


def damage_file(path: Path, rng: random.Random) -> None:
    """Damages one file of a model folder: bits, cuts, values of JSON, or the header of the weights."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        content = damage_safetensors(content, rng)
    elif path.suffix == ".json" and rng.random() < 0.7:
        content = damage_json(content, rng)
    else:
        content = damage(content, rng)
    path.write_bytes(content)


def numbers(value: Any) -> list[float]:
    """All numbers in an answer."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, float) else []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(name=st.sampled_from(sorted(EXPECTED)), seed=st.integers(0, 2**32))
@settings(max_examples=60)  # the fuzz tier damages more of them
def test_refused_or_finite(name, seed):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, name)
        shutil.copytree(FOLDERS / name, folder)
        damage_file(rng.choice(sorted(folder.iterdir())), rng)
        try:
            model = recurra.load(folder)
        except ModelFolderError:
            return
        try:
            answers = inputs.answers(name, model)
        except (NonFiniteError, DataError, UsageError):  # a forecaster of other columns refuses the table
            return
    assert all(map(math.isfinite, numbers(answers)))
