"""A text file as one running text."""

from __future__ import annotations

import gzip

import pytest

from recurra.data.readers.running_text import read_text
from recurra.errors import DataError

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


def test_a_given_encoding(write):
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
