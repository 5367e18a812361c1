"""What readers of numeric sequences return: summaries, classes and numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from recurra.data.columns.inputs import Arrays
from recurra.data.readers.sequence_file import SequenceFile, joined, labelled, without_values
from recurra.errors import DataError


def file(rows, targets=None, names=(), features=1):
    targets = None if targets is None else np.array(targets, object if None in targets or "a" in targets else None)
    return SequenceFile(Path("a.ts"), Arrays(rows, features), names, targets, lambda row: f"a.ts, line {row + 2}")


@pytest.mark.parametrize(
    ("rows", "names", "features", "summary"),
    [
        ([np.ones((2, 1)), np.ones((2, 1))], (), 1, "a.ts: 2 sequences, 2 steps, 1 feature"),
        ([np.ones((1, 2))], ("x", "y"), 2, "a.ts: 1 sequence, 1 step, 2 features (x, y)"),
        (
            [np.ones((1, 1)), np.full((3, 1), np.nan)],
            (),
            1,
            "a.ts: 2 sequences, 1–3 steps, 1 feature, 3 missing values",
        ),
        ([], (), 1, "a.ts: 0 sequences, 0 steps, 1 feature"),
    ],
)
def test_summaries(rows, names, features, summary):
    assert file(rows, None, names, features).summary == summary


def test_classes_and_numbers():
    rows = [np.ones((1, 1))] * 3
    assert labelled(file(rows, ["a", None, "1"]), False).tolist() == ["a", None, "1"]
    assert labelled(file(rows, [1.0, -2.0, np.nan]), False).tolist() == ["1", "-2", None]
    np.testing.assert_array_equal(
        labelled(
            file(
                rows,
                ["1", None, "2.5"],
            ),
            True,
        ),
        [1, np.nan, 2.5],
    )
    np.testing.assert_array_equal(labelled(file(rows, [1.5, np.nan, 2.0]), True), [1.5, np.nan, 2])
    defaults = file(rows)
    assert (defaults.ids, defaults.notes, defaults.spelling) == (None, (), None)
    for numbers in (False, True):
        with pytest.raises(DataError, match=r"a.ts has no targets"):
            labelled(defaults, numbers)
    with pytest.raises(DataError, match=r"^a\.ts, line 3: the target 0\.5 is a number, not a class"):
        labelled(file(rows, [1.0, 0.5, np.inf]), False)
    with pytest.raises(DataError, match=r"^a\.ts, line 4: the target -inf is not a finite number"):
        labelled(file(rows, [1.0, 2.0, -np.inf]), False)
    with pytest.raises(DataError, match=r"^a\.ts, line 2: the target 'a' is not a number"):
        labelled(file(rows, ["a", "b", None]), True)


@pytest.mark.parametrize("value", [file([])], ids=lambda value: type(value).__name__)
def test_files_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_sequences_without_a_value_are_named():
    rows = [np.full((2, 1), np.nan), np.ones((1, 1)), np.zeros((0, 1)), *[np.full((1, 1), np.nan)] * 4]
    found = without_values(Arrays(rows, 1), lambda row: f"a.ts, line {row + 2}")
    assert found == (
        "5 sequences without a value, all are missing: a.ts, line 2, a.ts, line 5, a.ts, line 6 and 2 more"
    )
    assert without_values(Arrays(rows[1:3], 1), str) == ""


def test_several_files_are_joined_in_order():
    one, other = file([np.ones((2, 1))], ["a"]), file([np.ones((1, 1)), np.zeros((3, 1))], ["b", None])
    found = joined(Path("folder"), [one, other])
    assert found.targets is not None
    assert (found.targets.tolist(), [len(row) for row in found.sequences.rows]) == (["a", "b", None], [2, 1, 3])
    assert [found.where(row) for row in range(3)] == ["a.ts, line 2", "a.ts, line 2", "a.ts, line 3"]
    assert found.notes == ("2 files (a.ts, a.ts)",)
    with pytest.raises(DataError, match=r"has 2 features, but a\.ts has 1"):
        joined(Path("folder"), [one, file([np.ones((2, 2))], ["a"], features=2)])
    with pytest.raises(DataError, match=r"has numbers as targets, but a\.ts has classes as targets"):
        joined(Path("folder"), [one, file([np.ones((2, 1))], [1.5])])
