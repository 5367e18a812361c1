"""Finding out the delimiter, quoting and header of text tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from recurra._util.messages import plain_name
from recurra.data.readers import sniff
from recurra.data.readers.sniff import Dialect, _sample, find_dialect, read_rows
from recurra.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def write(write: Write) -> Write:
    """Gives files a suffix that promises no format."""
    return lambda content, name="table.txt": write(content, name)


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a"])
def test_delimiters_are_found_whatever_the_suffix(write: Write, delimiter: str, name: str) -> None:
    rows = [["id", "text", "label"], ["1", "so, so; well | no", "0"], ["2", "good, yes", "1"], ["3", "", "1"]]
    rows = [[cell.replace(delimiter, "") for cell in row] for row in rows]
    path = write("\n".join(delimiter.join(row) for row in rows), name)
    assert find_dialect(path) == Dialect("utf-8", delimiter, False, 1, ("id", "text", "label"))


def test_a_comma_in_every_text_of_a_tab_file_does_not_confuse(write: Write) -> None:
    path = write("id, old\ttext, new\n1\tgood, really\n2\tbad, really\n")
    assert find_dialect(path).delimiter == "\t"


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.txt", "\t")])
def test_the_suffix_breaks_ties(write: Write, name: str, delimiter: str) -> None:
    assert find_dialect(write("1\t2;3\n4\t5;6\n", name)).delimiter == delimiter


def test_decimal_commas_do_not_make_columns(write: Write) -> None:
    assert find_dialect(write("1,5;2,5\n3,5;4,5\n", "a.csv")).delimiter == ";"


def test_a_few_bad_rows_do_not_hide_the_delimiter(write: Write) -> None:
    rows = ["a,b,c"] + ["1,2,3"] * 30 + ["1,2", "1,2,3,4"]
    assert find_dialect(write("\n".join(rows))).delimiter == ","


def test_the_columns_asked_for_tell_the_delimiter(write: Write) -> None:
    path = write("text,label\na;b,1\nc;d,0\ne;f;g,1\nh,0\n")
    assert find_dialect(path, ["text", "label"]).names == ("text", "label")
    one = write("text\na,b\nc,d\ne,f\n", "b.csv")
    assert find_dialect(one, ["text"]).names == ("text",)


def test_prose_is_one_column(write: Write) -> None:
    path = write("Hello, world\nWell, yes\nNo, never\n")
    assert find_dialect(path) == Dialect("utf-8", None, False, 0, ("1",))


def test_one_column_of_quoted_texts_with_commas(write: Write) -> None:
    path = write('text\n"a,b"\n"c,d"\n"e\nf"\n', "a.csv")
    assert find_dialect(path) == Dialect("utf-8", None, True, 1, ("text",))


@pytest.mark.parametrize("given", ["\t", r"\t", "tab"])
def test_a_tab_can_be_typed(write: Write, given: str) -> None:
    assert find_dialect(write("a\tb\n1\t2\n"), delimiter=given).names == ("a", "b")


@pytest.mark.parametrize("given", ["", "::", '"', "\n", "가"])
def test_impossible_delimiters_are_refused(write: Write, given: str) -> None:
    with pytest.raises(DataError, match="a delimiter is one ASCII character"):
        find_dialect(write("a,b\n1,2\n"), delimiter=given)


def test_long_lines_are_sampled_too(write: Write) -> None:
    text = "가, 나 " * 20_000
    path = write("id\ttext\n" + "".join(f"{row}\t{text}\n" for row in range(30)))
    assert find_dialect(path).names == ("id", "text")


@pytest.mark.parametrize("content", ["", "\n\n", " \n\t\n", "\ufeff"])
def test_files_without_rows_are_empty(write: Write, content: str) -> None:
    with pytest.raises(DataError, match=r"table\.txt is empty"):
        find_dialect(write(content))


@pytest.mark.parametrize(
    ("text", "quoting"),
    [
        ('a\tb\n1\t"x"\n2\t"y ""z"""\n', True),  # all enclosed, nothing lost
        ('a\tb\n1\tsay "x"\n2\ty\n', False),  # no field begins with one
        ('a\tb\n1\t"x\n2\ty\n', False),  # a bare one would swallow the next row
        ('a\tb\n1\t"x\n2\ty"\n', False),  # rows are whole either way: tab files do not quote
        ('a,b\n1,"x\n2,y"\n', True),  # and comma files do
        ('a\tb\n1\t"Who?" "Me."\n2\t"x"\n', False),  # not the way quotes enclose
        ('a,b\n1,"x, y"\n2,z\n', True),
        ('a\tb\n1\t"x\ny"\n2\tz\n', True),  # over two lines: rows would break without
        ('a,b\n1,"x, y"\n2,"z" w\n3,"u, v"\n', True),  # one breaks the rules, most do not
        ('a,b\n1,"x"\n2,"y"\n3,"z', False),  # cut off, and whole rows without quoting
        ('a,b\n"1","x, y"\n' + '"2","y"\n' * 20 + '"3', True),  # cut off: the rows before it tell
    ],
)
def test_quoting_is_what_keeps_the_rows_whole(write: Write, text: str, quoting: bool) -> None:
    assert find_dialect(write(text)).quoting is quoting


def test_quoting_is_decided_over_the_whole_file(write: Write) -> None:
    rows = [f'{row}\t"enclosed"\n' for row in range(5000)]
    assert find_dialect(write("".join(rows))).quoting
    assert not find_dialect(write("".join(rows) + '5000\t"bare\n5001\tx\n')).quoting


def test_lines_are_counted_through_quotes_and_blanks(write: Write) -> None:
    path = write('\nid,text\r\n\r\n1,"two\nlines\r\nand three"\n   \n2,x\r3,y', "a.csv")
    dialect = find_dialect(path)
    assert list(read_rows(path, dialect)) == [
        (2, ["id", "text"]),
        (4, ["1", "two\nlines\r\nand three"]),
        (8, ["2", "x"]),
        (9, ["3", "y"]),
    ]


@pytest.mark.parametrize(
    ("text", "header_rows"),
    [
        ("id,text\n1,a\n2,b\n", 1),  # words above numbers
        ("1,a\n2,b\n", 0),  # numbers in the first row
        ("id,2019\n1,9\n2,8\n", 1),  # unless a word stands above numbers
        ("NA,2019\n1,9\n2,8\n", 0),  # which a missing value is not
        ('id,price\na,-\nb,"1,395"\nc,NA\n', 1),  # missing values do not hide the numbers
        ("document,label\ngood film,pos\nbad film,neg\n", 1),  # texts only
        ("good film,pos\nbad film,neg\nold film,pos\n", 0),  # a label that occurs again
        ("pos,good film\nneg,bad film\npos,old film\n", 0),
        ("Go.,가.\nRun!,뛰어!\n", 0),  # sentences are no names
        (",a,b\nx,1,2\ny,3,4\n", 1),  # an index without a name, as pandas writes it
    ],
)
def test_headers_are_told_from_data(write: Write, text: str, header_rows: int) -> None:
    assert find_dialect(write(text, "a.csv")).header_rows == header_rows


def test_what_the_user_asks_for_tells_the_header(write: Write) -> None:
    path = write("2019,name\n1,a\n2,b\n")
    assert find_dialect(path).header_rows == 0
    assert find_dialect(path, ["2019"]).names == ("2019", "name")
    assert find_dialect(write("9,1\n1,2\n2,3\n"), ["1"]).header_rows == 0  # a position, not a name
    decomposed = "\u1112\u1161\u11ab"  # 한 in single letters
    assert find_dialect(write("한,9\n나,2\n"), [decomposed]).header_rows == 1


@pytest.mark.parametrize(("header", "names"), [(True, ("1 a", "2")), (False, ("1", "2"))])
def test_a_given_header_is_believed(write: Write, header: bool, names: tuple[str, ...]) -> None:
    assert find_dialect(write("1 a,2\n3,4\n"), header=header).names == names


def test_plain_text_has_no_header_but_a_one_column_table_has(write: Write) -> None:
    assert find_dialect(write("one\ntwo\n", "a.txt")).names == ("1",)
    assert find_dialect(write("one\ntwo\n", "a.csv")).names == ("one",)


def test_repeated_and_blank_names_are_told_apart(write: Write) -> None:
    path = write('a,a,,"b\n c",a (2),a\n1,2,3,4,5,6\n')
    assert find_dialect(path).names == ("a", "a (2)", "3", "b c", "a (2) (2)", "a (3)")


def test_two_header_rows_are_joined(write: Write) -> None:
    path = write("station,line,04:00,,05:00,\n,,on,off,on,off\nA,x,1,2,3,4\nB,y,5,6,7,8\n")
    dialect = find_dialect(path)
    assert dialect.header_rows == 2
    assert dialect.names == ("station", "line", "04:00 on", "04:00 off", "05:00 on", "05:00 off")


@pytest.mark.parametrize(
    "text",
    [
        "name,note,\nbob,,x\nann,y,z\n",  # a gap in a row of texts
        ",a,b\nk,x,\nl,1,2\n",  # an index without a name
        "a,,b\n,1,\n2,3,4\n",  # numbers are data
        "a,,b\n,,x\n1,2,3\n2,3,4\n",  # no name at all for the second column
    ],
)
def test_rows_with_gaps_are_no_second_header(write: Write, text: str) -> None:
    assert find_dialect(write(text), header=True).header_rows == 1


def test_a_line_of_a_million_separators_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"table\.txt, line 2: over 1,000,000 separators in one line"):
        find_dialect(write("a\n" + "1," * 1_000_001 + "\n"))


def test_a_byte_order_mark_does_not_hide_a_column(write: Write) -> None:
    path = write("\ufeff\ufeffday,sold\n2024-01-01,1\n")
    assert plain_name(find_dialect(path, ["day"]).names[0]) == "day"


@pytest.mark.parametrize(
    ("lines", "length", "kept"), [(30, 5, 30), (1500, 5, 1000), (40, 1 << 16, 20), (40, 1 << 15, 33), (10, 1 << 18, 10)]
)
def test_the_sample_has_enough_lines_to_judge_and_not_too_many_characters(tmp_path, lines, length, kept):
    path = tmp_path / "long.csv"
    path.write_text(("x" * (length - 1) + "\n") * lines, encoding="utf-8")
    assert len(_sample(path, "utf-8")) == kept


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.CSV.gz", ".csv"), ("a.tsv", ".tsv"), ("a.csv.zip", ".zip"), ("a", ""), ("a.gz", ""), ("a.b.XZ", ".b")],
)
def test_suffixes_of_formats(name: str, suffix: str) -> None:
    assert sniff.table_suffix(Path(name)) == suffix


def test_the_most_common_width_counts() -> None:
    rows = [["1", "2"], ["1"], [" "], ["1", "2"], ["1", "2", "3"]]
    assert sniff._alike(rows) == [["1", "2"], ["1", "2"]]
    assert sniff._alike([[" "], [" "]]) == [[" "], [" "]]
    assert sniff._alike([]) == []
    share, alike = sniff._fit(["a,b\n", " \n", "c\n", "d,e\n", "f,g\n"], ",", True)
    assert (share, len(alike)) == (0.75, 3)
    assert sniff._fit(["\n"], ",", True) == (0.0, [])


@pytest.mark.parametrize(
    ("text", "delimiter", "quoting", "strict", "tally"),
    [
        ('a,b\n"c,d",e\nf\n', ",", True, False, (2, 1, False, True)),
        ('a,b\n"c,d",e\nf\n', ",", False, False, (1, 2, False, True)),
        ('a,"b\nc"\nd,e\n', ",", True, True, (2, 0, True, True)),
        ('a,"b" c\nd,e\n', ",", True, True, (0, 0, True, False)),
        ("\n\n", ",", True, False, (0, 0, False, True)),
    ],
)
def test_rows_are_tallied(write: Write, text: str, delimiter: str, quoting: bool, strict: bool, tally: tuple) -> None:
    assert tuple(sniff._tally(write(text), "utf-8", delimiter, quoting, strict)) == tally


@pytest.mark.parametrize(
    ("rows", "columns", "default", "header"),
    [
        (["a,b", "1,2"], (), False, True),
        (["a,b", "c,d"], (), True, True),
        (["a,b", "c,d"], (), False, False),
        (["a,b", "c,d"], ("b",), False, True),
        (["a,b", "c,d"], ("2",), False, False),
        (["a,b", "c,d"], ("3",), False, False),
        (["1,b", "c,d"], (), True, False),
        (["a,b"], (), True, True),
        (["a,b.", "c,d"], (), True, False),
        (["a,b! ", "c,d"], (), True, False),
        (["a,b", "a,d"], (), True, False),
        (["a,b", *["c,d"] * 18, "a,x"], (), True, False),
        (["a,b", *["c,d"] * 20, "a,x"], (), True, True),
        (["a,b", "1,x", "y,x"], (), False, False),
        (["a,b", "1,x", "2,x", "y,x"], (), False, True),
        (["a,NA", "b,1", "c,2"], (), True, True),
    ],
)
def test_a_first_row_is_a_header(rows: list[str], columns: tuple, default: bool, header: bool) -> None:
    assert sniff._is_header([row.split(",") for row in rows], columns, default) is header


@pytest.mark.parametrize(
    ("rows", "second"),
    [
        (["a,,c", ",x,", "1,2,3"], True),
        (["a,b,", ",x,y", "1,2,3"], True),
        (["a,b,", ",x,y"], False),
        (["a,b,", ",x,y", "1,p,q"], False),
        (["a,b,", ",1,y", "1,2,3"], False),
        (["a,1,", ",x,y", "1,2,3"], False),
        ([",b,", "a,x,y", "1,2,3"], False),
        (["a,b,c", ",x,y", "1,2,3"], False),
        (["a,b,", "a,x,y", "1,2,3"], False),
    ],
)
def test_a_second_row_completes_the_header(rows: list[str], second: bool) -> None:
    assert sniff._is_second_header([row.split(",") for row in rows]) is second


def test_names_of_columns() -> None:
    assert sniff._names([], 3) == ("1", "2", "3")
    assert sniff._names([["a", " b  c ", ""]], 3) == ("a", "b c", "3")
    assert sniff._names([["a", "a", "a", "a (2)"]], 4) == ("a", "a (2)", "a (3)", "a (2) (2)")
    assert sniff._names([["a", "", "b"], ["x", "y", ""]], 3) == ("a x", "a y", "b")


def test_most_values_are_numbers() -> None:
    cases = (["1", "x"], ["1", "2", "x"], ["1", "", "NA", "?"], [], ["x"], ["1,5"])
    assert [sniff._is_numeric(values) for values in cases] == [False, True, True, False, False, True]


@pytest.mark.parametrize(
    ("lines", "suffix", "columns", "delimiter"),
    [
        (["a;b\n", "c;d\n"], "", (), ";"),
        (["a b\n", "c d\n"], "", (), None),
        (["a, b\n", "c, d\n"], "", (), None),
        (["a, b\n", "c, d\n"], ".csv", (), ","),
        (["a, b\n", "c, d\n"], "", ("a", "b"), ","),
        (["a;b\n", *["c;d\n"] * 8, "e\n"], "", (), None),
        (["a;b\n", *["c;d\n"] * 9, "e\n"], "", (), ";"),
        (["a;b\n", "c;d\n", "e\n"], ".csv", (), ";"),
        (["a|b;c\n", "d|e;f\n"], ".tsv", (), ";"),
        (["1\t2,3\n", "4\t5,6\n"], ".csv", (), ","),
        (["text\n", "a,b\n"], ".csv", ("text",), None),
        (['"text"\n', '"a,b"\n'], ".csv", ("text",), None),
    ],
)
def test_delimiters_of_lines(lines: list[str], suffix: str, columns: tuple, delimiter: str | None) -> None:
    assert sniff._find_delimiter(lines, suffix, columns) == delimiter


def test_a_line_up_to_a_limit_of_separators(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sniff._MAX_COLUMNS == 1_000_000
    monkeypatch.setattr(sniff, "_MAX_COLUMNS", 3)
    assert _sample(write("x" * 9 + ",,,\n"), "utf-8") == ["x" * 9 + ",,,\n"]
    with pytest.raises(DataError, match="line 2: over 3 separators"):
        _sample(write("a\n" + ",,,,\n"), "utf-8")


@pytest.mark.parametrize("value", [Dialect("utf-8", ",", False, 0, ())], ids=lambda value: type(value).__name__)
def test_dialects_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
