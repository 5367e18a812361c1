"""JSON that every program can read, from every writer of this project."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from recurra._util import strict_json

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"a": NAN, "b": [INF, -INF, 1.5], "c": {"d": (NAN, "NaN")}},
            '{"a": null, "b": [null, null, 1.5], "c": {"d": [null, "NaN"]}}',
        ),
        (NAN, "null"),
        (np.float64(NAN), "null"),
        ({"한": "글"}, '{"한": "글"}'),
        (1e308, "1e+308"),
    ],
)
def test_dump_is_strict(value, expected):
    assert strict_json.dump(value) == expected


def test_dump_makes_texts_of_other_values():
    assert (
        strict_json.dump({"a": NAN, "t": np.datetime64("2024-01-01")}, default=str) == '{"a": null, "t": "2024-01-01"}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[NaN]", "NaN is not a JSON number"),
        ("[Infinity]", "Infinity is not"),
        ("1e400", "out of range"),
        ("-1e400", "out of range"),
        (str(2**63), "out of range"),
        ("1" * 5000, "out of range"),
        ('{"a": {"b": 1, "b": 1}}', 'the key "b" occurs twice'),
        ("[1,]", "line 1, column"),
        ('{"a"\n: }', "line 2, column"),
        ("", "line 1, column 1"),
        (r'["\ud83d"]', "half of a character"),
        (r'["\ude00\ud83d"]', "half of a character"),
        (r'["\ud83dx"]', "half of a character"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" + "{}," * 1_000_000 + "{}]", "more than 1,000,000 lists"),
        ("[" + "1," * 2_000_001 + "1]", "more than 2,000,000 values"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        strict_json.parse(text)


def test_parse():
    assert strict_json.parse('{"a": [1, -2.5, true, null, "x"]}') == {"a": [1, -2.5, True, None, "x"]}
    assert strict_json.parse(r'["\ud83d\ude00", "\\ud83d"]') == ["😀", r"\ud83d"]
    assert strict_json.parse(str(2**63 - 1)) == 2**63 - 1
    assert math.isnan(strict_json.parse("[NaN]", nonfinite=True)[0])


def test_the_command_line_writes_null(capsys, tmp_path):
    from recurra.cli.support.console import show_json
    from recurra.cli.support.rows import write_rows

    show_json({"r2": NAN})
    assert json.loads(capsys.readouterr().out) == {"r2": None}
    write_rows(tmp_path / "a.jsonl", [{"x": NAN}, {"x": 1.0}])
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [{"x": None}, {"x": 1.0}]
