"""The choice of columns, the summary and the table, whatever the format."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.files import table as module
from recurra.data.readers.tables import DataFile, ReadOptions, read_table
from recurra.errors import DataError, ModelFolderError

SKIP = ReadOptions(skip_bad_rows=True)

Write = Callable[..., Path]


def rows_of(file: DataFile) -> list[list]:
    return [list(row.values()) for row in file.table.to_pylist()]


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


def test_a_header_alone_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"table.csv has columns \(text\) but no rows below them"):
        read_table(write("id,text\n"), ["text"])


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


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_large_tables_are_mapped_from_the_disk(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "SPILL_BYTES", 50_000)
    monkeypatch.setattr(module, "BATCH_ROWS", 1000)
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
    with pytest.raises(ModelFolderError, match="file cannot be written: File exists"):
        read_table(tmp_path / name, cache_dir=bad)


def test_small_tables_leave_nothing_on_the_disk(write: Write, tmp_path: Path) -> None:
    read_table(write("a,b\n1,2\n"), cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def held(**columns) -> DataFile:
    return DataFile(Path("a.csv"), pa.table(columns), "", 0, ",", lambda: iter([2, 4, 7, 9]))


def test_empty_rows_are_left_out_and_places_stay() -> None:
    file = held(a=["x", "", None, "y"], b=[1.0, float("nan"), None, None])
    kept, notes = file.without_empty_rows()
    assert kept.table.to_pydict() == {"a": ["x", "y"], "b": [1.0, None]}
    assert notes == ["2 empty rows left out"]
    assert [kept.line_of(row) for row in (0, 1)] == [2, 9]
    assert (kept.where(1), kept.line_of(2) if len(kept._rows) > 2 else None) == ("a.csv, line 9", None)
    whole = held(a=["x", "y"])
    assert whole.without_empty_rows() == (whole, [])
    with pytest.raises(DataError, match=r"^a\.csv: every row is empty in the columns a, b$"):
        held(a=["", " "], b=["", None]).without_empty_rows()
    rows = DataFile(Path("a.parquet"), pa.table({"a": ["", "x"]}), "", 0).without_empty_rows()[0]
    assert (rows.line_of(0), rows.where(0), rows.delimiter) == (None, "a.parquet, row 2", None)


def test_lines_beyond_the_file_are_rows() -> None:
    assert held(a=["x"] * 5).where(4) == "a.csv, row 5"


def test_columns_by_name_or_position() -> None:
    def chosen(columns, names=("a", "2", "c")):
        return module.choose_columns(Path("f"), names, columns)

    assert chosen(None) == [0, 1, 2]
    assert chosen(["c", "1", "2", "3"]) == [2, 0, 1, 2]
    assert chosen([]) == []
    for wrong in ("0", "4", "d", "-1", "1.0", "1234567890", "0000000001"):
        with pytest.raises(DataError, match=r'^f has no column "'):
            chosen([wrong])
    assert chosen(["000000001"]) == [0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_texts_are_decoded(kind: pa.DataType, coded: bool, chunked: bool) -> None:
    column = pa.array(["a", "b", None, "a"])
    if coded:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["a", "b"]).cast(kind))
    else:
        column = column.cast(kind)
    column = pa.chunked_array([column[:1], column[1:]]) if chunked else column
    found = module.decoded(column)
    assert found.to_pylist() == ["a", "b", None, "a"]
    assert found.type == (pa.large_string() if kind == pa.string_view() else kind)
    assert module.is_text(found)
    assert isinstance(found, pa.ChunkedArray) is chunked
    codes, values = module.encoded(found.drop_null())
    assert (codes.tolist(), values, codes.dtype) == ([0, 1, 0], ["a", "b"], "int64")


def test_other_columns_are_decoded_and_encoded() -> None:
    numbers = pa.array([3, 1, 3])
    assert module.decoded(numbers) is numbers
    assert not module.is_text(numbers)
    coded = pa.chunked_array([pa.array([3, 1]), pa.array([1, 3, 5])])
    codes, values = module.encoded(coded)
    assert (codes.tolist(), values) == ([0, 1, 1, 0, 2], [3, 1, 5])
    categories = module.decoded(pa.array([3, None]).dictionary_encode())
    assert (categories.to_pylist(), categories.type) == ([3, None], pa.int64())


def test_blank_cells() -> None:
    assert module.is_blank(pa.array(["", " \t", None, "a"])).to_pylist() == [True, True, True, False]
    assert module.is_blank(pa.array([1.0, float("nan"), None])).to_pylist() == [False, True, True]
    assert module.is_blank(pa.array([0, None])).to_pylist() == [False, True]


def test_batches_of_any_size_are_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (module.BATCH_ROWS, module.SPILL_BYTES) == (8192, 64 << 20)
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    assert list(module.in_batches(iter(range(5)))) == [[0, 1], [2, 3], [4]]
    assert list(module.in_batches(iter(range(4)))) == [[0, 1], [2, 3]]
    schema = pa.schema([("a", pa.int64())])
    batches = [pa.record_batch([pa.array([i] * 2, pa.int64())], schema) for i in range(3)]  # 16 bytes each
    for limit, files in ((48, 0), (47, 1), (0, 1)):
        monkeypatch.setattr(module, "SPILL_BYTES", limit)
        cache = tmp_path / str(limit)
        assert module.collect(schema, iter(batches), cache)["a"].to_pylist() == [0, 0, 1, 1, 2, 2]
        assert len(list(cache.glob("*"))) == files
    assert module.collect(schema, iter(batches), None).num_rows == 6


def test_a_failed_batch_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPILL_BYTES", 0)
    schema = pa.schema([("a", pa.int64())])

    def batches(error):
        yield pa.record_batch([pa.array([1], pa.int64())], schema)
        raise error

    for raised, found in ((KeyError("x"), KeyError), (OSError(28, "No space left on device"), ModelFolderError)):
        with pytest.raises(found):
            module.collect(schema, batches(raised), tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


def test_summaries_leave_out_empty_facts() -> None:
    said = module.summarize(Path("d/a.csv"), 2, ["x"], 0, "", "UTF-8", "")
    assert said == "a.csv: 2 rows, UTF-8, columns x"
    assert module.summarize(Path("a"), 1, ["x"], 1) == "a: 1 row, 1 bad row left out, columns x"
    assert ReadOptions(None, None, None, False, None) == module.DETECT


@pytest.mark.parametrize(
    "value", [module.DETECT, DataFile(Path("a"), pa.table({}), "", 0)], ids=lambda value: type(value).__name__
)
def test_options_and_files_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
