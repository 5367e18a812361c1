"""Reading the columns of CSV, TSV, JSON Lines and Parquet files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recurra.data import readers
from recurra.data.readers import DataFile, ReadOptions, parse_numbers, read_table
from recurra.errors import DataError

SKIP = ReadOptions(skip_bad_rows=True)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes text or bytes to a file and returns its path."""

    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def rows_of(file: DataFile) -> list[list]:
    return [list(row.values()) for row in file.table.to_pylist()]


# --- what cannot be read


def test_importing_the_reader_is_light() -> None:
    code = "import sys, recurra.data.readers; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_file_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"there is no file .*gone\.csv"):
        read_table(tmp_path / "gone.csv")
    write("x", "reviews.csv")
    with pytest.raises(DataError, match=r'there is no file .*reveiws\.csv, did you mean "reviews\.csv"\?'):
        read_table(tmp_path / "reveiws.csv")
    with pytest.raises(DataError, match=r"there is no file .*x\.csv$"):
        read_table(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="is no regular file"):
        read_table("/dev/null")
    with pytest.raises(DataError, match="is empty"):
        read_table(write(""))
    with pytest.raises(DataError, match="is empty"):
        read_table(write(gzip.compress(b"\n"), "a.csv.gz"))


def test_unreadable_files_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a,b\n1,2\n")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read .*table\.csv: Permission denied"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.csv", "a.jsonl"])
def test_damaged_files_are_refused(write: Write, name: str) -> None:
    packed = gzip.compress(b"a,b\n" + np.random.default_rng(0).bytes(4000).hex().encode())
    content = {"a.csv.gz": packed[:-100], "a.parquet": b"PAR1 and no more"}.get(name, b"\x00\x01\x02\xff")
    with pytest.raises(DataError, match=r"cannot read|holds NUL bytes"):
        read_table(write(content, name))


# --- formats


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.ndjson", "a.dat"])
def test_formats_are_told_by_suffix(write: Write, name: str, packed: bool) -> None:
    rows = [["id", "text"], ["1", "good, really"], ["2", "bad"]]
    if "json" in name:
        text = "".join(json.dumps({"id": row[0], "text": row[1]}) + "\n" for row in rows[1:])
    else:
        text = "".join("\t".join(row) + "\n" for row in rows)
    path = write(gzip.compress(text.encode()) if packed else text, name + ".gz" * packed)
    file = read_table(path)
    assert file.table.column_names == ["id", "text"]
    assert rows_of(file) == rows[1:]
    assert file.skipped == 0
    assert file.where(1) == f"{path.name}, line {2 if 'json' in name else 3}"


def test_contents_outweigh_the_suffix(write: Write, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv").table.to_pydict() == {"x": [1, 2]}
    assert rows_of(read_table(write(gzip.compress(b"a,b\n1,2\n"), "b.csv"))) == [["1", "2"]]


def test_summaries_say_what_was_found(write: Write) -> None:
    text = "id\tdocument\n" + "1\ta\n" * 1200
    assert read_table(write(text, "a.txt")).summary == (
        "a.txt: 1,200 rows, tab-separated, UTF-8, no quoting, columns id, document"
    )
    text = "과목;점수\n" + '"국어";1\n' * 3 + "x\n"
    assert read_table(write(text.encode("cp949"), "b.csv"), options=SKIP).summary == (
        "b.csv: 3 rows, semicolon-separated, CP949 (Korean), quoted, 1 bad row left out, columns 과목, 점수"
    )
    assert read_table(write("one\n", "c.txt")).summary == (
        "c.txt: 1 row, one column, UTF-8, no quoting, no header, columns 1"
    )
    many = ",".join(f"c{number}" for number in range(30))
    assert read_table(write(f"{many}\n" + "1," * 29 + "1\n", "d.csv")).summary.endswith("c6, c7, … (30 in all)")


# --- columns


def test_columns_are_chosen_by_name_or_position(write: Write) -> None:
    path = write("id,text,2\n1,a,x\n2,b,y\n")  # a word above numbers: a header
    assert rows_of(read_table(path, ["text"])) == [["a"], ["b"]]
    assert read_table(path, ["2"]).table.to_pydict() == {"2": ["x", "y"]}  # a name before a position
    assert read_table(path, ["3", "1"]).table.to_pydict() == {"2": ["x", "y"], "id": ["1", "2"]}
    assert read_table(path, [" text "]).table.column_names == ["text"]
    twice = read_table(path, ["id", "1"]).table
    assert twice.column(0).to_pylist() == twice.column(1).to_pylist() == ["1", "2"]


def test_files_without_a_header_go_by_position(write: Write) -> None:
    path = write("1,a\n2,b\n")
    assert read_table(path, ["2"]).table.to_pydict() == {"2": ["a", "b"]}
    with pytest.raises(DataError, match=r"Its columns \(it has no header\) are: 1, 2"):
        read_table(path, ["text"])


def test_a_missing_column_names_those_there_are(write: Write) -> None:
    path = write("id,text,label\n1,a,x\n")
    with pytest.raises(DataError) as caught:
        read_table(path, ["lable"])
    assert str(caught.value) == (
        'table.csv has no column "lable", did you mean "label"?\nIts columns are: id, text, label'
    )
    with pytest.raises(DataError, match='has no column "4"\n'):
        read_table(path, ["4"])
    many = ",".join(f"c{number}" for number in range(500))
    with pytest.raises(DataError) as caught:
        read_table(write(f"{many}\n{many}\n"), ["zzz"])
    assert len(str(caught.value)) < 300


def test_a_header_alone_is_a_table_without_rows(write: Write) -> None:
    table = read_table(write("id,text\n"), ["text"]).table
    assert table.num_rows == 0
    assert table.schema.field("text").type == pa.string()


# --- rows of text tables


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
        "Fix the row, give another --delimiter, or leave such rows out with --skip-bad-rows."
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


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_large_tables_are_mapped_from_the_disk(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(readers, "SPILL_BYTES", 50_000)
    monkeypatch.setattr(readers, "_BATCH_ROWS", 1000)
    texts = [f"text {row}" for row in range(10_000)]
    if name == "a.parquet":
        pq.write_table(pa.table({"id": texts, "text": texts}), tmp_path / name, row_group_size=1000)
    elif name == "a.jsonl":
        write("".join(json.dumps({"text": text}) + "\n" for text in texts), name)
    else:
        write("id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(texts)), name)
    cache = tmp_path / "not" / "there yet"
    held = pa.total_allocated_bytes()
    table = read_table(tmp_path / name, ["text"], cache_dir=cache).table
    assert pa.total_allocated_bytes() - held < 50_000  # on the disk, not in memory
    assert table["text"].to_pylist() == texts
    assert [path.suffix for path in cache.iterdir()] == [".arrow"]

    bad = tmp_path / "file"
    bad.touch()
    with pytest.raises(DataError, match="cannot write to"):
        read_table(tmp_path / name, cache_dir=bad)


def test_small_tables_leave_nothing_on_the_disk(write: Write, tmp_path: Path) -> None:
    read_table(write("a,b\n1,2\n"), cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# --- any text


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NASTY = st.text(st.sampled_from(list('",;\t|\r\n a1가\u2028\x1c')), max_size=6)


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    row = st.lists(cells, min_size=width, max_size=width)
    return [[f"column {column}" for column in range(width)], *draw(st.lists(row, max_size=8))]


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
    rows=st.lists(st.lists(NASTY.map(lambda text: re.sub(r"[\t\r\n]", "", text)), min_size=2, max_size=2), max_size=8)
)
def test_any_table_without_quoting_keeps_its_rows(tmp_path: Path, rows: list[list[str]]) -> None:
    """Quotes may be taken off or left on, but no row is lost."""
    path = tmp_path / "table.txt"
    path.write_text("".join("\t".join(row) + "\n" for row in [["a", "b"], *rows]), encoding="utf-8", newline="")
    read = read_table(path, options=ReadOptions(delimiter="\t", header=True))
    assert [[cell.replace('"', "") for cell in row] for row in rows_of(read)] == [
        [cell.replace('"', "") for cell in row] for row in rows
    ]


# --- JSON Lines


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
    monkeypatch.setattr(readers, "_BATCH_ROWS", 2)
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
    with pytest.raises(DataError, match=r'line 2, column b: "2"\nis unlike the values above'):
        read_table(path, ["b"])
    with pytest.raises(DataError, match=r'has no column "d".*\nIts columns are: a, b, c'):
        read_table(path, ["d"])
    with pytest.raises(DataError, match="line 1"):
        read_table(write('{"a": [1, "x"]}\n', "b.jsonl"))
    with pytest.raises(DataError, match="line 2, column a"):
        read_table(write('{"a": [1]}\n{"a": [' + "9" * 30 + "]}\n", "b.jsonl"))
    with pytest.raises(DataError, match="is empty"):
        read_table(write("{}\n\n", "c.jsonl"))


# --- Parquet


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", None, "c"],
            "n": [1, 2, 3],
            "label": pa.array(["x", "y", "x"]).dictionary_encode(),
            "series": [[1.0], [], None],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=2)
    file = read_table(path, ["label", "3", "series"])
    assert file.table.column_names == ["label", "label", "series"]
    assert file.table.column(0).type == pa.string()
    assert file.table["series"].to_pylist() == [[1.0], [], None]
    assert file.summary == "a.parquet: 3 rows, Parquet, columns text, n, label, series"
    assert file.line_of(2) is None
    assert file.where(2) == "a.parquet, row 3"
    with pytest.raises(DataError, match='has no column "txt", did you mean "text"'):
        read_table(path, ["txt"])


def test_parquet_damaged_within_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [str(number) for number in range(10_000)]}), path)
    content = bytearray(path.read_bytes())
    content[40:4000] = b"\xff" * 3960
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*a\.parquet"):
        read_table(path)


# --- numbers


def nowhere(row: int) -> str:
    raise AssertionError(f"row {row} is good")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("chunked", [False, True])
def test_strings_become_numbers(kind: pa.DataType, chunked: bool) -> None:
    texts = ["1", " -2.5 ", "+3", "1e3", ".5", "4.", "1,395", "-1,355.5", "1,234,567"]
    missing = ["", "  ", "-", "NA", "N/A", "nan", "NaN", "NULL", "null", None]
    column: pa.Array | pa.ChunkedArray = pa.array([*texts, *missing], kind)
    if chunked:
        column = pa.chunked_array([column[:4], column[4:]])
    numbers = parse_numbers(column, name="x", where=nowhere)
    assert numbers.dtype == np.float64
    expected = [1, -2.5, 3, 1000, 0.5, 4, 1395, -1355.5, 1234567, *[math.nan] * len(missing)]
    np.testing.assert_array_equal(numbers, expected)
    numbers[0] = 7  # the caller's own


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 3], pa.int32()),
        pa.array([1.0, None, 3.0]),
        pa.array([1, None, 3]).cast(pa.decimal128(25, 2)),
        pa.chunked_array([pa.array([1, None]), pa.array([3])]),
        pa.array(["1", None, "3"]).dictionary_encode(),
    ],
)
def test_numeric_columns_are_cast(column: pa.Array) -> None:
    np.testing.assert_array_equal(parse_numbers(column, name="x", where=nowhere), [1, math.nan, 3])


def test_other_columns_of_numbers() -> None:
    assert parse_numbers(pa.array([True, False]), name="x", where=nowhere).tolist() == [1, 0]
    assert parse_numbers(pa.array([], pa.string()), name="x", where=nowhere).shape == (0,)
    assert parse_numbers(pa.chunked_array([], pa.string()), name="x", where=nowhere).shape == (0,)
    assert np.isnan(parse_numbers(pa.nulls(2), name="x", where=nowhere)).all()


@pytest.mark.parametrize(
    "text", ["abc", "1,39", "1,2345", ",5", "1 2", "0x10", "inf", "1e999", "3%", "1.2.3", "--", "1_0", "١"]
)
def test_what_is_no_number_is_refused_with_its_place(text: str) -> None:
    column = pa.chunked_array([pa.array(["1", "NA"]), pa.array(["2", text, text])])
    with pytest.raises(DataError) as caught:
        parse_numbers(column, name="price", where=lambda row: f"a.csv, line {row + 2}")
    assert str(caught.value) == f'a.csv, line 5, column price: "{text}" is not a number'


def test_columns_of_other_types_are_no_numbers() -> None:
    column = pa.array([0], pa.timestamp("s"))
    with pytest.raises(DataError, match=r"line 2, column when: values of type timestamp\[s\] are not numbers"):
        parse_numbers(column, name="when", where=lambda row: f"a.csv, line {row + 2}")
    with pytest.raises(DataError, match=r"^column when: values of type list"):
        parse_numbers(pa.array([], pa.list_(pa.int64())), name="when", where=nowhere)


# --- real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ratings_train.txt", 150_000),
        ("ratings_test.txt", 50_000),
        ("small_train_20000.txt", 20_000),
        ("small_test_5000.txt", 5_000),
    ],
)
def test_nsmc_has_all_its_rows(data_dir: Path, name: str, rows: int) -> None:
    file = read_table(data_dir / "nsmc" / name, ["document", "label"])
    assert file.table.num_rows == rows
    assert set(file.table["label"].unique().to_pylist()) == {"0", "1"}
    assert max(map(len, file.table["document"].to_pylist())) < 160  # reviews are under 140 characters
    assert file.line_of(rows - 1) == rows + 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "columns", "first"),
    [
        ("euckr_crime_in_Seoul.csv", 31, 11, "중부서"),
        ("euckr_kosis-economic-index.csv", 644, 23, "1970.01"),
        ("euckr_subwaytime_two_header_rows.csv", 598, 52, "Jan-19"),
        ("utf8bom_CCTV_in_Seoul.csv", 25, 6, "강남구"),
        ("blns.txt", 666, 1, "#\tReserved Strings"),
    ],
)
def test_messy_files_load(data_dir: Path, name: str, rows: int, columns: int, first: str) -> None:
    table = read_table(data_dir / "messy" / name).table
    assert (table.num_rows, table.num_columns) == (rows, columns)
    assert table.column(0)[0].as_py() == first


@pytest.mark.data
def test_messy_numbers_and_names(data_dir: Path) -> None:
    file = read_table(data_dir / "messy" / "euckr_crime_in_Seoul.csv", ["절도 발생"])
    assert parse_numbers(file.table.column(0), name="절도 발생", where=file.where)[:2].tolist() == [
        1395,
        1070,
    ]
    file = read_table(data_dir / "messy" / "euckr_subwaytime_two_header_rows.csv", ["04:00:00~04:59:59 하차"])
    assert parse_numbers(file.table.column(0), name="하차", where=file.where)[:2].tolist() == [22, 0]
