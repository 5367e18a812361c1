"""Reading `.ts` files: what is read, what is noted, and what is refused with its line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.readers.ts import read_ts
from recurra.errors import DataError

HEADER = "@problemName slopes\n@timeStamps false\n@univariate false\n@dimensions 2\n@classLabel true up down\n@data\n"


def test_ragged_sequences_of_several_dimensions(write):
    file = read_ts(write("# a remark\n\n" + HEADER + "1,2,3:4,5,6:up\n\n# another\n-1e2:?:down\n", "a.ts"))
    assert [row.tolist() for row in file.sequences.rows[:1]] == [[[1, 4], [2, 5], [3, 6]]]
    assert np.isnan(file.sequences.rows[1][0, 1])
    assert file.targets is not None
    assert file.targets.tolist() == ["up", "down"]
    assert (file.where(0), file.where(1)) == ("a.ts, line 9", "a.ts, line 12")
    assert file.summary == "a.ts: 2 sequences, 1–3 steps, 2 features, 1 missing value"
    assert file.notes == ()


values = st.floats(-1e30, 1e30) | st.just(float("nan"))


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["up", "down"])), min_size=1, max_size=6).flatmap(
        lambda shapes: st.tuples(
            *(
                st.tuples(st.lists(st.lists(values, min_size=n, max_size=n), min_size=2, max_size=2), st.just(label))
                for n, label in shapes
            )
        )
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(tmp_path_factory, rows, end):
    path = tmp_path_factory.mktemp("ts") / "a.ts"
    lines = [":".join(",".join("?" if v != v else repr(v) for v in d) for d in dims) + f":{y}" for dims, y in rows]
    path.write_bytes((HEADER + "\n".join(lines) + "\n").replace("\n", end).encode())
    file = read_ts(path)
    assert file.targets is not None
    assert file.targets.tolist() == [label for _, label in rows]
    for found, (dims, _) in zip(file.sequences.rows, rows, strict=True):
        np.testing.assert_array_equal(found, np.array(dims).T.reshape(-1, 2))


def test_headers_in_other_spellings(write):
    text = "@ProblemName x\n@UNIVARIATE TRUE\n@classlabel true 1 2\n@somethingNew 7\n@DATA\n1,2:1.0\n3:2\n"
    file = read_ts(write(text, "a.ts"))
    assert file.targets is not None
    assert file.targets.tolist() == ["1", "2"]


def test_targets_that_are_numbers(write):
    file = read_ts(write("@univariate true\n@targetLabel true\n@data\n1,2:0.5\n3,4:?\n", "a.ts"))
    np.testing.assert_array_equal(file.targets, [0.5, np.nan])


@pytest.mark.parametrize("switch", ["", "@classLabel false\n"])
def test_without_labels(write, switch):
    file = read_ts(write(f"@univariate false\n{switch}@data\n1,2:3,4\n", "a.ts"))
    assert file.targets is None
    assert file.sequences.features == 2


def test_packed_and_korean(write):
    text = HEADER.replace("up down", "오름 내림") + "1,2:3,4:오름\n1:3:내림\n"
    for content in (gzip.compress(text.encode()), text.encode("cp949"), text.encode("utf-8-sig")):
        file = read_ts(write(content, "a.ts.gz"))
        assert file.targets is not None
        assert file.targets.tolist() == ["오름", "내림"]


def test_what_the_header_says_and_the_data_do_not(write):
    text = "@missing false\n@univariate true\n@equalLength true\n@seriesLength 2\n@classLabel true a b\n@data\n"
    (note,) = read_ts(write(text + "1,2:a\n1,2,3:b\n", "a.ts")).notes
    assert "2 to 3 steps" in note
    (note,) = read_ts(write(text + "1,2,3:a\n1,2,3:b\n", "a.ts")).notes
    assert "@seriesLength 2, but there are 3 steps" in note
    (note,) = read_ts(write(text + "1,?:a\n1,2:b\n", "a.ts")).notes
    assert "1 value are missing" in note or "1 value" in note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.ts is empty"),
        ("# nothing but remarks\n", "a.ts is empty"),
        (HEADER, "empty below @data"),
        (HEADER.replace("@data\n", ""), "no line @data"),
        ("1,2:a\n", "line 1: data above @data: \"1,2:a\"\nA header has lines such as"),
        (HEADER + "1,2:3,4:up\n1,2:up\n", "line 8: 1 dimension beside the label where 2 are expected"),
        (HEADER + "1,2:3,4:5,6:up\n", "line 7: 3 dimensions beside the label where 2 are expected"),
        (HEADER + "1,2:3,4\n", "line 7: the label \"3,4\" is not in the header, which has up, down"),
        ("@classLabel true\n@data\n1:2:a\n1:a\n", "line 4: 1 dimension beside the label where 2 are"),
        (HEADER + "1,2:3,4:sideways\n", "line 7: the label \"sideways\" is not in the header"),
        (HEADER + "1,2:3,four:up\n", "line 7: dimension 2, value 2: \"four\" is not a finite number"),
        (HEADER + "1,inf:3,4:up\n", "line 7: dimension 1, value 2: \"inf\" is not a finite"),
        (HEADER + "1,2:?,1e999:up\n", "line 7: dimension 2, value 2: \"1e999\" is not a finite"),
        (HEADER + "1,1_000:3,4:up\n", "dimension 1, value 2: \"1_000\" is not a finite number"),
        (HEADER + "1,2,3:3,4:up\n", "line 7: dimension 2 has 2 values where dimension 1 has 3"),
        (HEADER + "(0,1),(1,2):(0,3),(1,4):up\n", "\"(0\" has a time stamp"),
        ("@timeStamps true\n@data\n", "line 1: sequences with time stamps"),
        ("@univariate yes\n@data\n", "line 1: @univariate should be followed by true or false"),
        ("@dimensions many\n@data\n", "line 1: \"@dimensions many\" should give a whole number"),
        ("@univariate true\n@targetLabel true\n@data\n1:2\n1:x\n", "line 5: the target \"x\" is not a number"),
    ],
)  # fmt: skip
def test_what_is_refused(write, text, message):
    with pytest.raises(DataError) as error:
        read_ts(write(text, "a.ts"))
    assert message in str(error.value)


def test_files_that_are_none(tmp_path, write):
    write(HEADER, "right.ts")
    with pytest.raises(DataError, match=r'there is no file .*did you mean "right.ts"'):
        read_ts(tmp_path / "rigth.ts")
    with pytest.raises(DataError, match="is a folder"):
        read_ts(tmp_path)
    with pytest.raises(DataError, match="NUL bytes"):
        read_ts(write(b"\x00\x01" * 50, "a.ts"))
    with pytest.raises(DataError, match="cannot read"):
        read_ts(write(gzip.compress(HEADER.encode())[:-9], "a.ts"))


@pytest.mark.parametrize("content", ["@\n@data\n1,2:a\n", "@problemName x\n@ \n@data\n1:a\n"])
def test_a_lone_at_is_refused_with_its_line(write, content):
    with pytest.raises(DataError, match=r"table\.ts, line \d: a line with @ alone"):
        read_ts(write(content, "table.ts"))


@pytest.mark.parametrize(
    ("header", "row", "features", "target"),
    [
        ("@univariate true", "1,2", 1, None),
        ("@univariate true\n@classLabel true", "1,2:a:b", None, None),
        ("@dimension 2", "1:2", 2, None),
        ("@dimensions 2\n@univariate false", "1:2", 2, None),
        ("@dimensions 3\n@univariate true\n@classLabel true", "1:x", 1, "x"),
        ("@classLabel true", "1:2:x", 2, "x"),
        ("@classLabel false\n@targetLabel true", "1:2.5", 1, 2.5),
        ("@classLabel true none other", "1:None", None, None),
        ("@classLabel true 1 2", "1: 2.0 ", 1, "2"),
        ("@classLabel true ? b", "1:?", 1, "?"),
        ("@classLabel true a b", "1:NaN", 1, None),
        ("@classLabel true a b", "1:", 1, None),
        ("@timestamps false", "1", 1, None),
    ],
)
def test_dimensions_and_labels(write, header, row, features, target):
    path = write(f"{header}\n@data\n{row}\n", "a.ts")
    if features is None:
        with pytest.raises(DataError):
            read_ts(path)
        return
    found = read_ts(path)
    assert (len(found.sequences), found.sequences.features) == (1, features)
    assert (None if found.targets is None else found.targets.tolist()[0]) == target


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("@dimensions 0", "should give a whole number above 0"),
        ("@dimensions", "should give a whole number above 0"),
        ("@dimensions 1 2", "should give a whole number above 0"),
        ("@seriesLength -1", "should give a whole number above 0"),
        ("@missing", "@missing should be followed by true or false"),
        ("@classLabel maybe", "@classlabel should be followed by true or false"),
    ],
)
def test_lines_of_the_header_that_are_wrong(write, line, message):
    with pytest.raises(DataError, match=rf"^a\.ts, line 2: .*{message}"):
        read_ts(write(f"@problemName x\n{line}\n@data\n1\n", "a.ts"))


@pytest.mark.parametrize(
    ("header", "rows", "notes"),
    [
        ("@equalLength true\n@seriesLength 2", "1,2\n3,4", 0),
        ("@equalLength true", "1,2\n3,4", 0),
        ("@equalLength false\n@seriesLength 9", "1,2\n3", 0),
        ("@seriesLength 9", "1,2\n3,4", 0),
        ("@equalLength true\n@seriesLength 9", "1,2\n3", 1),
        ("@missing true", "1,?", 0),
        ("@missing false", "1,2", 0),
        ("@missing false\n@equalLength true", "1,?\n1", 2),
        ("@univariate true", "?,?", 0),
    ],
)
def test_notes_only_where_header_and_data_differ(write, header, rows, notes):
    assert len(read_ts(write(f"{header}\n@data\n{rows}\n", "a.ts")).notes) == notes


def test_values_of_every_kind(write):
    found = read_ts(write("@data\n 1 , NaN, null ,-2.5e1:1,2,3,4\n:\n", "a.ts"))
    np.testing.assert_array_equal(found.sequences.rows[0][:, 0], [1, np.nan, np.nan, -25])
    assert found.sequences.rows[1].shape == (0, 2)
    for cell, place in (("-inf", "value 2"), ("?,x", "value 3"), ("1_0", "value 2"), ("(1)", "value 2")):
        with pytest.raises(DataError, match=rf"^a\.ts, line 2: dimension 1, {place}: "):
            read_ts(write(f"@data\n5,{cell}\n", "a.ts"))
    with pytest.raises(DataError, match="dimension 2 has 1 value where dimension 1 has 2; write"):
        read_ts(write("@data\n1,2:3\n", "a.ts"))
