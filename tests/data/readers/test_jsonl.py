"""Reading the columns of JSON Lines files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from recurra.data.files import table as module
from recurra.data.readers.tables import ReadOptions, read_table
from recurra.errors import DataError

SKIP = ReadOptions(skip_bad_rows=True)

Write = Callable[..., Path]


def test_json_values_keep_their_kinds(write: Write) -> None:
    lines = [
        {
            "text": "a",
            "n": 1,
            "x": 1,
            "b": True,
            "list": [1],
            "mix": 1,
            "big": 2**70,
            "obj": {"p": 1},
            "none": None,
        },
        {
            "text": None,
            "n": 2,
            "x": 2.5,
            "b": False,
            "list": [2.5],
            "mix": "two",
            "big": 1,
            "obj": {"q": "x"},
        },
        {},
        {"late": "z", "list": [], "mix": True, "x": 2**60 + 1},
    ]
    file = read_table(write("".join(json.dumps(line) + "\n\n" for line in lines), "a.jsonl"))
    assert file.table.to_pydict() == {
        "text": ["a", None, None, None],
        "n": [1, 2, None, None],
        "x": [1.0, 2.5, None, float(2**60 + 1)],
        "b": [True, False, None, None],
        "list": [[1.0], [2.5], None, []],
        "mix": ["1", "two", None, "true"],
        "big": [str(2**70), "1", None, None],
        "obj": [{"p": 1, "q": None}, {"p": None, "q": "x"}, None, None],
        "none": [None] * 4,
        "late": [None, None, None, "z"],
    }
    assert file.table.schema.field("none").type == pa.string()
    assert [file.line_of(row) for row in range(4)] == [1, 3, 5, 7]
    assert file.summary.startswith("a.jsonl: 4 rows, JSON Lines, UTF-8, columns text, n, x,")


def test_json_kinds_are_told_over_the_whole_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    values = [1, 2, 3, 4, 5, "six"]
    path = write("".join(json.dumps({"v": value}) + "\n" for value in values), "a.jsonl")
    assert read_table(path).table["v"].to_pylist() == ["1", "2", "3", "4", "5", "six"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "a"', "Expecting ',' delimiter at column"),
        ("[1, 2]", "not an object of names and values"),
        ('{"text": "\\ud800"}', "half of a surrogate pair"),
        ("[" * 100_000, "recursion"),
        ('{"n": ' + "1" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_bad_json_lines(write: Write, line: str, problem: str) -> None:
    path = write('{"text": "good 😀"}\n\n' + line + '\n{"text": "\\ud83d\\ude00"}\n', "a.jsonl")
    with pytest.raises(DataError, match=rf"a\.jsonl, line 3: .*{problem}(.|\n)*--skip-bad-rows"):
        read_table(path)
    file = read_table(path, options=SKIP)
    assert (file.table["text"].to_pylist(), file.skipped) == (["good 😀", "😀"], 1)
    assert file.line_of(1) == 4


def test_json_columns_are_chosen(write: Write) -> None:
    path = write('{"a": 1, "b": [1]}\n{"b": 2, "c": "x"}\n', "a.jsonl")
    assert read_table(path, ["3", "a"]).table.to_pydict() == {"c": [None, "x"], "a": [1, None]}
    with pytest.raises(DataError, match=r'line 2, column b: "2"\nhas another type than the values above'):
        read_table(path, ["b"])
    with pytest.raises(DataError, match=r'has no column "d".*\nIts columns are: a, b, c'):
        read_table(path, ["d"])
    with pytest.raises(DataError, match="line 1"):
        read_table(write('{"a": [1, "x"]}\n', "b.jsonl"))
    with pytest.raises(DataError, match="line 2, column a"):
        read_table(write('{"a": [1]}\n{"a": [' + "9" * 30 + "]}\n", "b.jsonl"))
    with pytest.raises(DataError, match="is empty"):
        read_table(write("{}\n\n", "c.jsonl"))


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, 2], pa.int64(), [1, 2]),
        ([2**63 - 1, -(2**63)], pa.string(), [str(2**63 - 1), str(-(2**63))]),
        ([2**63 - 1], pa.int64(), [2**63 - 1]),
        ([2**63], pa.string(), [str(2**63)]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([2.5, 1], pa.float64(), [2.5, 1.0]),
        ([None, 1], pa.int64(), [None, 1]),
        ([1, None], pa.int64(), [1, None]),
        ([True, False], pa.bool_(), [True, False]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["a", 1.5], pa.string(), ["a", "1.5"]),
        ([None], pa.string(), [None]),
        ([[1], [2.5]], pa.list_(pa.float64()), [[1.0], [2.5]]),
        ([[], ["a"]], pa.list_(pa.string()), [[], ["a"]]),
    ],
)
def test_a_column_has_the_type_that_holds_its_values(write: Write, values, kind, found) -> None:
    table = read_table(write("".join(json.dumps({"v": value}) + "\n" for value in values), "a.jsonl")).table
    assert (table.schema.field("v").type, table["v"].to_pylist()) == (kind, found)


@pytest.mark.parametrize("values", [[[1], "a"], ["a", [1]], [{"a": 1}, 5], [[1], ["a"]]])
def test_values_of_unlike_kinds_are_named(write: Write, values) -> None:
    with pytest.raises(DataError, match=r"^a\.jsonl, line 2, column v: "):
        read_table(write("".join(json.dumps({"v": value}) + "\n" for value in values), "a.jsonl"))


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_objects(write: Write, indent: int | None) -> None:
    rows = [{"text": "a]", "n": [1, 2]}, {"text": "b,", "n": []}, {"late": True}]
    file = read_table(write(json.dumps(rows, indent=indent), "a.json"))
    assert file.table.to_pydict() == {
        "text": ["a]", "b,", None],
        "n": [[1, 2], [], None],
        "late": [None, None, True],
    }
    assert file.where(1) == ("a.json, line 1" if indent is None else "a.json, line 9")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1},\n 2]', "line 2: not an object of names and values"),
        ('[{"a": 1},\n {"a": }]', "line 2: the array is not valid JSON: Expecting value"),
        ('[{"a": 1}\n {"a": 2}]', "line 1: there is no comma after this value"),
        ('[{"a": 1},\n', "the array is not valid JSON"),
        ('[{"a": 1}]\n{}', "there is text after the end of the array"),
        ("[]", "is empty"),
    ],
)
def test_a_damaged_array(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write(content, "a.json"))
