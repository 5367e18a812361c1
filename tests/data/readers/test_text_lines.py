"""Plain text files: one text a line, or one running text."""

from __future__ import annotations

import gzip

import pytest

from recurra.data.readers.text_lines import read_lines, read_text
from recurra.errors import DataError

TEXT = "첫째 줄\n\n셋째 줄, 끝"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.replace("\n", end).encode(encoding))
    file = read_lines(path)
    assert file.table.to_pydict() == {"text": TEXT.split("\n")}
    assert file.where(2) == "a.txt, line 3"
    assert "3 lines" in file.summary


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\n\nc", ["a", "b", "", "c"]),
        (b"a\rb\nc\r\n", ["a\rb", "c"]),  # a lone \r in a file with other line ends
        (b"a\rb\r\rc\r", ["a", "b", "", "c"]),  # a file with \r alone
        (b"a\r\r\nb\n", ["a", "b"]),
        (b"\n", [""]),
        (b"\r", [""]),
        (b"a", ["a"]),
    ],
)
def test_what_ends_a_line(write, content, lines):
    assert read_lines(write(content, "a.txt")).table.column(0).to_pylist() == lines


def test_gzip_and_no_line_is_cut_at_other_separators(tmp_path):
    text = "a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i"
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(f"{text}\n".encode()))
    assert read_lines(path).table.column(0).to_pylist() == [text]


def test_large_texts_go_to_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("recurra.data.files.table.SPILL_BYTES", 1000)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {i}\n" for i in range(20_000)))
    file = read_lines(path, cache_dir=tmp_path / "cache")
    assert file.table.column(0)[19_999].as_py() == "line 19999"
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no file"), (b"", "empty"), (b"a\0b\n", "NUL"), (b"ok\n\xff\xfe\xfd\x81\n", "a.txt")],
)
def test_what_cannot_be_read_is_said(tmp_path, content, message):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lines(path)


# one running text

KOREAN = "그 겨울은  몹시 추웠다.\n\n\t봄은 😀 오지 않았다.\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (KOREAN.encode(), "UTF-8"),
        (KOREAN.encode("utf-8-sig"), "UTF-8 with BOM"),
        (KOREAN.encode("utf-16"), "UTF-16"),
        (KOREAN.replace(" 😀", "").encode("cp949"), "CP949 (Korean)"),
        (gzip.compress(KOREAN.encode(), mtime=0), "UTF-8"),
        (KOREAN.replace("\n", "\r\n").encode(), "UTF-8"),
        (KOREAN.replace("\n", "\r").encode(), "UTF-8"),
    ],
)
def test_encodings_packing_and_line_ends(write, content, found):
    text, summary = read_text(write(content, "a.txt"))
    assert text in (KOREAN, KOREAN.replace(" 😀", ""))
    assert summary == f"a.txt: {len(text)} characters, {found}"


def test_a_given_encoding_of_a_running_text(write):
    assert read_text(write("é".encode("latin-1"), "a.txt"), "latin-1")[0] == "é"


@pytest.mark.parametrize(
    ("content", "message"), [("", "a.txt is empty"), (" \n\n", "a.txt is empty"), (b"a\0b", "NUL"), (None, "no file")]
)
def test_files_without_text(write, tmp_path, content, message):
    path = tmp_path / "a.txt" if content is None else write(content, "a.txt")
    with pytest.raises(DataError, match=message):
        read_text(path)
    with pytest.raises(DataError, match="folder"):
        read_text(tmp_path)
