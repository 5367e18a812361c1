"""Reading the rows of CSV files and their kin."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recurra.data.readers import delimited
from recurra.data.readers.tables import DataFile, ReadOptions, read_table
from recurra.errors import DataError

SKIP = ReadOptions(skip_bad_rows=True)

Write = Callable[..., Path]


def rows_of(file: DataFile) -> list[list]:
    return [list(row.values()) for row in file.table.to_pylist()]


def test_cells_are_verbatim_strings(write: Write) -> None:
    path = write('a,b,c\n,NA,null\n 1 ,"","x ""y"""\n')
    assert rows_of(read_table(path)) == [["", "NA", "null"], [" 1 ", "", 'x "y"']]


def test_bare_quotes_of_a_tab_file_stay(write: Write) -> None:
    path = write('id\ttext\n1\t"so\n2\ta "b"\n3\tc\n', "a.txt")
    assert rows_of(read_table(path)) == [["1", '"so'], ["2", 'a "b"'], ["3", "c"]]


def test_two_header_rows_are_left_out_of_the_data(write: Write) -> None:
    file = read_table(write("station,04:00,\n,on,off\nA,1,2\nB,3,4\n"))
    assert file.table.to_pydict() == {"station": ["A", "B"], "04:00 on": ["1", "3"], "04:00 off": ["2", "4"]}
    assert "two header rows joined" in file.summary
    assert file.where(0) == "table.csv, line 3"


def test_lines_are_found_through_quotes_and_blank_lines(write: Write) -> None:
    file = read_table(write('\nid,text\n\n1,"a\nb"\n  \n\n2,c\n3,"d\r\n\r\n"\r4,e'))
    assert rows_of(file) == [["1", "a\nb"], ["2", "c"], ["3", "d\r\n\r\n"], ["4", "e"]]
    assert [file.line_of(row) for row in range(4)] == [4, 8, 9, 12]
    assert file.where(1) == "table.csv, line 8"


@pytest.mark.parametrize(("row", "found"), [("1,a,b,c,d", "5 columns where 3 are"), ("1", "1 column where 3 are")])
def test_a_bad_row_is_refused_with_its_line(write: Write, row: str, found: str) -> None:
    path = write("id,text,label\n1,a,x\n\n" + f"{row}\n" + "2,b,y\n" * 9)
    with pytest.raises(DataError) as caught:
        read_table(path, ["text"])
    assert str(caught.value) == (
        f'table.csv, line 4: {found} expected: "{row}"\n'
        "Fix the row, give another --delimiter, or leave out bad rows with --skip-bad-rows."
    )


@pytest.mark.parametrize("quoted", [True, False])
def test_spaces_alone_are_a_blank_line_as_both_parsers_see_it(write: Write, quoted: bool) -> None:
    rows = '1,"a"\n' * 9 if quoted else '1,"a"b\n' * 9
    path = write(f'id,text\n{rows}" "\n2,c\n""\n3,d\n"\n')
    if quoted:
        assert [read_table(path).line_of(row) for row in (9, 10)] == [12, 14]
    else:
        with pytest.raises(DataError, match="line 11: 1 column where 2 are"):
            read_table(path)


def test_long_bad_rows_are_cut_in_the_message(write: Write) -> None:
    path = write("id,text\n" + "1,a\n" * 9 + "x" * 500 + "\n")
    with pytest.raises(DataError, match=r'line 11: 1 column where 2 are expected: "x{60}…"\n'):
        read_table(path)


def test_messages_stay_short_where_a_bad_row_spans_lines(write: Write) -> None:
    path = write('id,text\n1,"a, b"\n2,"c\nd","e"\n' + '1,"a, b"\n' * 9)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value).splitlines()[0] == ('table.csv, line 3: 3 columns where 2 are expected: "2,c d,e"')
    assert len(str(caught.value).splitlines()) == 2


def test_a_title_above_the_table_is_named_before_columns(write: Write) -> None:
    path = write("Prices of 2024\nid,text\n1,a\n2,b\n3,c\n")
    with pytest.raises(DataError, match="line 1: 1 column where 2 are expected"):
        read_table(path, ["text"])
    assert read_table(path, ["text"], SKIP).table.to_pydict() == {"text": ["a", "b", "c"]}


def test_bad_rows_can_be_left_out(write: Write) -> None:
    path = write("id,text\n1,a\n2\n3,c\n4,d,x\n5,e\n  \n6,f\n7,g\n8,h\n9,i\n")
    file = read_table(path, options=SKIP)
    assert file.table["id"].to_pylist() == ["1", "3", "5", "6", "7", "8", "9"]
    assert file.skipped == 2
    assert "2 bad rows left out" in file.summary
    assert [file.line_of(row) for row in range(4)] == [2, 4, 6, 8]


def test_what_is_given_is_believed(write: Write) -> None:
    path = write("한|x,y\n글|z,w\n".encode("cp949"))
    file = read_table(path, options=ReadOptions(encoding="cp949", delimiter="|", header=False))
    assert rows_of(file) == [["한", "x,y"], ["글", "z,w"]]


@pytest.mark.parametrize("delimiter", [None, ","])
@pytest.mark.parametrize("quoted", [False, True])
def test_long_fields_and_lines_read(write: Write, delimiter: str | None, quoted: bool) -> None:
    long = "가나다 " * 400_000  # 5 MB: more than a block of pyarrow's
    lines = [f'"{long}\n{long}"' if quoted else long, "x" * 100_000, "y"]
    end = ",1\n" if delimiter else "\n"
    path = write(f"text{end.replace('1', 'label')}" + "".join(line + end for line in lines))
    file = read_table(path, ["text"])
    assert file.table["text"].to_pylist() == [lines[0].strip('"'), *lines[1:]]
    assert file.line_of(2) == (5 if quoted else 4)


def test_bad_rows_beside_long_ones_can_be_left_out(write: Write) -> None:
    path = write("a,b\n1,2\nbad\n" + "x" * (5 << 20) + ",3\n" + "1,2\n" * 9)
    file = read_table(path, ["b"], SKIP)
    assert (file.skipped, file.table["b"].to_pylist()) == (1, ["2", "3", *"2" * 9])


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NASTY = st.text(st.sampled_from(list('",;\t|\r\n a1가\u2028\x1c')), max_size=6)


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    row = st.lists(cells, min_size=width, max_size=width)
    return [[f"column {column}" for column in range(width)], *draw(st.lists(row, min_size=1, max_size=8))]


def round_trip(folder: Path, rows: list[list[str]], delimiter: str, **style: int) -> None:
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, **style).writerows(rows)
    read = read_table(path, options=ReadOptions(encoding="utf-8", delimiter=delimiter, header=True))
    assert read.table.column_names == rows[0]
    assert rows_of(read) == rows[1:]
    lines = io.StringIO(path.read_bytes().decode(), newline="").readlines()
    for row in range(len(rows) - 1):
        line = read.line_of(row)
        assert line is not None
        # the text from that line on begins with that row
        first = next(csv.reader(lines[line - 1 :], delimiter=delimiter))
        assert first == rows[row + 1]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables(CELLS | NASTY), delimiter=st.sampled_from(",;|"), all_quoted=st.booleans())
def test_any_table_of_csv_writers_is_read_back(
    tmp_path: Path, rows: list[list[str]], delimiter: str, all_quoted: bool
) -> None:
    round_trip(tmp_path, rows, delimiter, quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables(NASTY.map(lambda text: text.replace("\r", "").replace("\n", ""))))
def test_any_tab_table_without_line_ends_in_cells_is_read_back(tmp_path: Path, rows: list[list[str]]) -> None:
    round_trip(tmp_path, rows, "\t")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(NASTY.map(lambda text: re.sub(r"[\t\r\n]", "", text)), min_size=2, max_size=2),
        min_size=1,
        max_size=8,
    )
)
def test_any_table_without_quoting_keeps_its_rows(tmp_path: Path, rows: list[list[str]]) -> None:
    """Quotes may be taken off or left on, but no row is lost."""
    # a quote that opens the first cell and one that closes the second are one quoted cell, to any reader
    assume(not any(first.startswith('"') and second.endswith('"') for first, second in rows))
    path = tmp_path / "table.txt"
    path.write_text("".join("\t".join(row) + "\n" for row in [["a", "b"], *rows]), encoding="utf-8", newline="")
    read = read_table(path, options=ReadOptions(delimiter="\t", header=True))
    assert [[cell.replace('"', "") for cell in row] for row in rows_of(read)] == [
        [cell.replace('"', "") for cell in row] for row in rows
    ]


@pytest.mark.parametrize("size", [16, 64, 1 << 20])
def test_blocks_of_any_size_give_the_same_rows(write: Write, monkeypatch, size: int) -> None:
    assert delimited._BLOCK_SIZES == (4 << 20, 64 << 20, 1 << 30)
    monkeypatch.setattr(delimited, "_BLOCK_SIZES", (size, 1 << 20))
    path = write("id,text\n" + "".join(f'{i},"{"x" * i}"\n' for i in range(40)))
    file = read_table(path, ["text", "id"])
    assert rows_of(file) == [["x" * i, str(i)] for i in range(40)]
    assert file.skipped == 0


def test_a_row_longer_than_every_block_is_refused(write: Write, monkeypatch) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_SIZES", (16, 32))
    with pytest.raises(DataError, match=r"^cannot read .*table\.csv: "):
        read_table(write("id,text\n1," + "x" * 100 + "\n"), ["text"])


@pytest.mark.parametrize(
    ("delimiter", "fact"),
    [("\t", "tab-separated"), (",", "comma-separated"), (";", "semicolon-separated"), ("|", "pipe-separated"),
     ("^", 'separated by "^"')],
)  # fmt: skip
def test_separators_have_names(write: Write, delimiter: str, fact: str) -> None:
    file = read_table(write(f"a{delimiter}b\n1{delimiter}2\n"), options=ReadOptions(delimiter=delimiter))
    assert file.summary == f"table.csv: 1 row, {fact}, UTF-8, no quoting, columns a, b"
    assert file.delimiter == delimiter


def test_the_header_may_span_batches(write: Write, monkeypatch) -> None:
    from recurra.data.files import table

    monkeypatch.setattr(table, "BATCH_ROWS", 1)
    assert read_table(write("one\ntwo\nthree\n", "a.csv")).table.to_pydict() == {"one": ["two", "three"]}
