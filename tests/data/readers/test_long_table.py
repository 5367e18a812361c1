"""Long tables: one row a step, in any order, into sequences."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.readers.long_table import LongColumns, read_long
from recurra.data.readers.tables import ReadOptions
from recurra.errors import DataError, UsageError

PUMPS = LongColumns("pump", ("flow", "heat"), "hour", "state")
TEXT = "pump,hour,flow,heat,state\nB,2,1,2,ok\nA,1,3,4,worn\nB,1,5,,ok\nA,10,7,8,worn\nA,9,9,NA,worn\n"


def test_rows_in_any_order(write):
    file = read_long(write(TEXT), PUMPS)
    assert file.ids == ["B", "A"]
    np.testing.assert_array_equal(file.sequences.rows[0], [[5, np.nan], [1, 2]])
    np.testing.assert_array_equal(file.sequences.rows[1], [[3, 4], [9, np.nan], [7, 8]])
    assert file.targets is not None
    assert file.targets.tolist() == ["ok", "worn"]
    assert file.summary == "table.csv: 2 sequences, 2–3 steps, 2 features (flow, heat), 2 missing values"
    assert file.where(1) == "table.csv, line 3 (pump A)"


def test_all_formats_agree(write, tmp_path):
    expected = read_long(write(TEXT), PUMPS)
    names, *lines = (line.split(",") for line in TEXT.splitlines())
    records = [dict(zip(names, line, strict=True)) for line in lines]
    for record in records:
        record |= {n: None if record[n] in ("", "NA") else float(record[n]) for n in ("hour", "flow", "heat")}
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    others = [
        write("".join(json.dumps(r) + "\n" for r in records), "a.jsonl"),
        write(TEXT.replace(",", "\t"), "a.tsv"),
        write(TEXT.replace(",", ";").replace("ok", "좋음").encode("cp949"), "k.csv"),
        tmp_path / "a.parquet",
    ]
    for path in others:
        file = read_long(path, PUMPS)
        assert file.ids == expected.ids
        for found, wanted in zip(file.sequences.rows, expected.sequences.rows, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert file.targets is not None
        assert [str(t).replace("좋음", "ok") for t in file.targets] == ["ok", "worn"]


@settings(max_examples=40)
@given(
    steps=st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(-99, 99)), st.floats(-9, 9), min_size=1),
    seed=st.randoms(use_true_random=False),
)
def test_any_permutation_gives_the_same_sequences(tmp_path_factory, steps, seed):
    path = tmp_path_factory.mktemp("long") / "a.csv"
    rows = list(steps.items())
    seed.shuffle(rows)
    path.write_text("id,t,x\n" + "".join(f"{i},{t},{x!r}\n" for (i, t), x in rows))
    file = read_long(path, LongColumns("id", ("x",), "t"))
    assert file.ids is not None
    assert set(file.ids) == {i for i, _ in steps}
    for name, found in zip(file.ids, file.sequences.rows, strict=True):
        wanted = [x for (i, _), x in sorted(steps.items()) if i == name]
        np.testing.assert_array_equal(found[:, 0], wanted)


def test_without_times_rows_stand_in_order(write):
    file = read_long(write("id,x\na,1\nb,2\na,0\n"), LongColumns("id", ("x",)))
    assert [row.ravel().tolist() for row in file.sequences.rows] == [[1, 0], [2]]
    assert file.targets is None


def test_targets_given_in_some_rows_only_and_numbers(write):
    text = "id,x,y\na,1,\nb,2,7\na,0,2.5\nc,1,\n"
    columns = LongColumns("id", ("x",), None, "y")
    np.testing.assert_array_equal(read_long(write(text), columns, numbers=True).targets, [2.5, 7, np.nan])
    found = read_long(write(text), columns).targets
    assert found is not None
    assert found.tolist() == ["2.5", "7", None]


def test_ids_that_are_numbers_and_columns_by_position(tmp_path, write):
    table = pa.table({"i": pa.array([2, 1, 2]), "x": pa.array([1.0, 2.0, None]), "y": pa.array([1, 0, 1])})
    pq.write_table(table, tmp_path / "a.parquet")
    file = read_long(tmp_path / "a.parquet", LongColumns("1", ("2",), None, "3"))
    assert file.ids == [2, 1]
    assert file.names == ("x",)
    assert file.where(1) == "a.parquet, row 2 (i 1)"
    bad = write("id,x\na,1\na,2,3\nb,4\n")
    assert read_long(bad, LongColumns("id", ("x",)), ReadOptions(skip_bad_rows=True)).notes[1:] == (
        "1 bad row left out",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("A,9", "A,1"), "line 6, column hour: 1 again for A, which has it in line 3 already"),
        (TEXT.replace("A,9", "A,1.0"), "line 6, column hour: 1.0 again for A"),
        (TEXT.replace("9,NA,worn", "9,NA,ok"), 'line 6, column state: "ok" where A had "worn"; a sequence has one'),
        (TEXT.replace("A,9", ",9"), "line 6, column pump is empty: which sequence"),
        (TEXT.replace("A,9", "A,"), "line 6, column hour: the time is missing"),
        (TEXT.replace("A,9", "A,noon"), 'line 6, column hour: "noon" is not written like the times before it'),
        (TEXT.replace("NA", "hot"), 'line 6, column heat: "hot" is not a number'),
        (TEXT.replace("NA", "1e999"), "line 6, column heat"),
        (TEXT.replace("hour", "day"), 'no column "hour"'),
        ("pump,hour,flow,heat,state\n", "but no rows below them"),
        ("", "is empty"),
    ],
)
def test_what_is_refused(write, text, message):
    with pytest.raises(DataError) as error:
        read_long(write(text), PUMPS)
    assert message in str(error.value)


def test_infinity_in_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"i": ["a", "a"], "x": [1.0, float("inf")]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 2, column x: inf is not a finite number"):
        read_long(tmp_path / "a.parquet", LongColumns("i", ("x",)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("i", ()), "at least one feature"),
        (("i", ("x", "y"), None, "y"), "y cannot be a feature, for it is the target; the model would read"),
        (("i", ("x", "i")), "i cannot be a feature, for it is the id"),
        (("i", ("x", "x")), "x cannot be a feature, for it is the feature already"),
    ],
)
def test_columns_that_cannot_be(arguments, message):
    with pytest.raises(UsageError, match=message):
        LongColumns(*arguments)


@pytest.mark.parametrize("value", [PUMPS], ids=lambda value: type(value).__name__)
def test_columns_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


MODES = "id,t,flow,mode\na,1,5,eco\nb,1,7,boost\na,0,4,\nb,0,6,eco\n"


def test_categories_are_features(write):
    file = read_long(write(MODES), LongColumns("id", ("flow", "mode"), "t"))
    assert file.names == file.sequences.names == ("flow", "mode=boost", "mode=eco")
    assert [row.tolist() for row in file.sequences.rows] == [[[4, 0, 0], [5, 0, 1]], [[6, 0, 1], [7, 1, 0]]]
    assert file.categories == {"mode": ["boost", "eco"]}


def test_truth_values_are_numbers(tmp_path):
    pq.write_table(pa.table({"id": ["a", "a"], "on": [True, False]}), tmp_path / "a.parquet")
    file = read_long(tmp_path / "a.parquet", LongColumns("id", ("on",)))
    assert (file.names, file.sequences.rows[0].tolist(), file.categories) == (("on",), [[1], [0]], {})


def test_categories_of_the_training_data(write):
    known = {"mode": ["eco", "turbo"]}
    file = read_long(write(MODES), LongColumns("id", ("mode",), "t", categories=known))
    assert file.names == ("mode=eco", "mode=turbo")
    assert [row.tolist() for row in file.sequences.rows] == [[[0, 0], [1, 0]], [[1, 0], [0, 0]]]
    assert 'column mode has texts that were not in the training data ("boost"): they count as missing' in file.notes
    with pytest.raises(DataError, match="line 2, column mode"):
        read_long(write(MODES), LongColumns("id", ("mode",), "t", categories={}))


def test_a_column_of_free_texts_is_refused(write):
    rows = "".join(f"a,{n},text {n}\n" for n in range(60))
    with pytest.raises(DataError, match="column note has 60 different texts, such as"):
        read_long(write("id,t,note\n" + rows), LongColumns("id", ("note",), "t"))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("5", "1", "2.5", "7"), [[0.0, 1.5, 2.5], [0.0]]),
        (
            ("2024-01-02 00:00", "2024-01-01 23:59", "2024-01-01 23:59", "2024-01-09 00:00"),
            [[0.0, 60.0], [0.0, 604860.0]],
        ),
    ],
)
def test_the_time_since_the_step_before(write, times, expected):
    rows = "".join(
        f"{name},{time},1\n" for name, time in zip("aabb" if ":" in times[0] else "aaab", times, strict=True)
    )
    file = read_long(write("id,t,x\n" + rows), LongColumns("id", ("x",), "t", elapsed=True))
    assert file.sequences.names == ("x", "elapsed")
    assert [row[:, 1].tolist() for row in file.sequences.rows] == expected


def test_what_does_not_go_with_elapsed(write):
    days = write("id,t,x\na,1/2/2024,1\na,1/3/2024,2\n")
    assert len(read_long(days, LongColumns("id", ("x",), "t")).sequences.rows[0]) == 2
    with pytest.raises(DataError, match="say which with --day-first"):
        read_long(days, LongColumns("id", ("x",), "t", elapsed=True))
    with pytest.raises(UsageError, match="--elapsed needs --time"):
        LongColumns("id", ("x",), elapsed=True)
    with pytest.raises(UsageError, match="has a column with this name"):
        LongColumns("id", ("elapsed",), "t", elapsed=True)
