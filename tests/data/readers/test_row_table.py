"""Ordinary tables: each row one item, in columns of numbers and categories."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.readers.row_table import RowColumns, read_row_table
from recurra.data.readers.tables import ReadOptions
from recurra.errors import DataError, UsageError

WINES = "acid;colour;sweet;good\n1,5;red;yes;a\n;white;no;b\n3,25; red ;no;a\n2;NA;yes;\n;;;\n"


def test_numbers_and_categories_become_features_of_one_step(write):
    found = read_row_table(write(WINES), RowColumns(target="good"))
    assert found.file.names == ("acid", "colour=red", "colour=white", "sweet=no", "sweet=yes")
    assert found.categories == {"colour": ["red", "white"], "sweet": ["no", "yes"]}
    rows = np.concatenate(found.file.sequences.rows)
    np.testing.assert_array_equal(rows, [[1.5, 1, 0, 0, 1], [np.nan, 0, 1, 1, 0], [3.25, 1, 0, 1, 0], [2, 0, 0, 0, 1]])
    assert found.file.targets is not None
    assert found.file.targets.tolist() == ["a", "b", "a", None]
    assert found.file.where(2) == "table.csv, line 4"
    assert "all columns but good are features" in found.file.notes[0]
    assert "1 empty row left out" in found.file.notes


def test_a_later_table_is_read_as_the_training_table(write):
    known = {"colour": ["red", "white"]}
    columns = RowColumns(("c", "a"), categories=known, names=("colour", "acid"))
    found = read_row_table(write("a,c\n7,rosé\n8,white\n"), columns)
    assert found.file.names == ("colour=red", "colour=white", "acid")
    np.testing.assert_array_equal(np.concatenate(found.file.sequences.rows), [[0, 0, 7], [0, 1, 8]])
    assert any('not in the training data ("rosé")' in note for note in found.file.notes)
    with pytest.raises(DataError, match='line 2, column a: "red" is not a number'):
        read_row_table(write("a,c\nred,white\n"), columns)


def test_a_column_that_counts_the_rows_is_left_out(write):
    text = "id,x,good\n" + "".join(f"{i + 5},{i % 3},{'ab'[i > 5]}\n" for i in range(12))
    found = read_row_table(write(text), RowColumns(target="good"))
    assert found.features == ("x",)
    assert "column id counts the rows and is left out" in found.file.notes
    assert read_row_table(write(text), RowColumns(("id", "x"), "good")).features == ("id", "x")


def test_parquet_with_booleans_and_groups(tmp_path):
    table = {"x": [1, 2, None, 4], "new": [True, False, True, None], "y": [1.5, 2.5, 3.5, 4.5], "shop": list("abab")}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = read_row_table(tmp_path / "a.parquet", RowColumns(target="y", group="shop"), numbers=True)
    assert found.file.names == ("x", "new=false", "new=true")
    np.testing.assert_array_equal(np.concatenate(found.file.sequences.rows)[:, 1:], [[0, 1], [1, 0], [0, 1], [0, 0]])
    assert found.file.targets is not None
    assert (found.file.targets.tolist(), found.group.to_pylist()) == ([1.5, 2.5, 3.5, 4.5], list("abab"))


@pytest.mark.parametrize(
    ("text", "columns", "kind", "message"),
    [
        ("x,y\nso good,a\nso bad,b\nfine,a\n", RowColumns(target="y"), UsageError, "column x has 3 different texts"),
        ("x,y\nso good,a\nso bad,b\nfine,a\n", RowColumns(("x",), "y"), DataError, "neither numbers nor categories"),
        ("x,y\n1,a\n2,b\nthree,a\n", RowColumns(("x",), "y"), DataError, "line 4, column x: \"three\" is not a number"),
        ("y\na\nb\n", RowColumns(target="y"), DataError, "nothing to learn from"),
        ("x,y\n1,a\n", RowColumns(target="z"), DataError, 'no column "z"'),
        ("a,b,y\n3.5,1,a\n", RowColumns(("a",), "y"), DataError, "--decimal ,"),
    ],
)  # fmt: skip
def test_wrong_tables(write, text, columns, kind, message):
    options = ReadOptions(decimal=",") if "--decimal" in message else ReadOptions()
    with pytest.raises(kind, match=message):
        read_row_table(write(text), columns, options)
