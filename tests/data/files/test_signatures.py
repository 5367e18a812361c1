"""Files of other formats are recognized, and the message says how to save them."""

from __future__ import annotations

import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recurra.data.readers.npz import read_npz
from recurra.data.readers.tables import read_table
from recurra.data.readers.text_lines import read_lines
from recurra.errors import DataError


def _zip(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "x")

    return write


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "named.csv": (_zip("[Content_Types].xml", "xl/workbook.xml"), r"an Excel workbook"),
    "old.xls": (_bytes(OLE + "Workbook".encode("utf-16-le")), r"an Excel workbook \(\.xls\)"),
    "sheet.ods": (_zip("mimetype", "content.xml"), r"an OpenDocument file.*\n.*LibreOffice"),
    "letter.docx": (_zip("[Content_Types].xml", "word/document.xml"), "a Word document"),
    "report.hwp": (_bytes(OLE + "HwpSummaryInformation".encode("utf-16-le")), r"a Hangul document \(\.hwp\)"),
    "report.hwpx": (_zip("mimetype", "Contents/content.hpf"), r"a Hangul document \(\.hwpx\)"),
    "reviews.zip": (_zip("reviews.csv"), "a zip archive.*\nUnpack it"),
    "weights.pt": (_zip("archive/data.pkl"), "a PyTorch file"),
    "paper.pdf": (_bytes(b"%PDF-1.7\n%\xe2\xe3"), "a PDF document"),
    "photo.png": (_bytes(b"\x89PNG\r\n\x1a\n\0\0"), "a picture"),
    "photo.jpg": (_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "a picture"),
    "frame.pkl": (lambda path: path.write_bytes(pickle.dumps([1, 2])), "a Python pickle.*\nIt can run code"),
    "frame.h5": (_bytes(b"\x89HDF\r\n\x1a\n\0"), "an HDF5 file"),
    "tables.db": (_database, "an SQLite database"),
    "one.npy": (lambda path: np.save(path, np.ones(3)), "a NumPy array"),
    "tone.wav": (lambda path: soundfile.write(path, np.zeros(100), 8000), "a recording"),
    "wines.arff": (
        _bytes(b"% wines\n@RELATION w\n@ATTRIBUTE a REAL\n@DATA\n1\n"),
        "an ARFF file.*\nWrite it as CSV",
    ),
    "sales.tsf": (_bytes(b"# sales\n@relation s\n@frequency daily\n@data\nT1:1,2\n"), "a TSF file.*\nWrite it as CSV"),
    "page.csv": (_bytes(b"<!DOCTYPE html><html><body>404"), "a web page"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_message_names_the_format(tmp_path: Path, name: str) -> None:
    write, message = FILES[name]
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name} is {message}") as caught:
        read_table(tmp_path / name)
    assert "utf-16" not in str(caught.value)


def test_other_readers_and_suffixes_say_the_same(tmp_path: Path) -> None:
    _zip("xl/workbook.xml")(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="Excel workbook"):
        read_table(tmp_path / "a.parquet")
    _zip("reviews.csv")(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a\.npz has no array: its members \(reviews\.csv\) do not end in \.npy"):
        read_npz(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"%PDF-1.7")
    with pytest.raises(DataError, match="a PDF document"):
        read_npz(tmp_path / "b.npz")


@pytest.mark.parametrize("text", ["BMW is a car\n", "ID3 tags\n", "<html> is a tag\n", "MM*\n", "ORC\n", "GIF87 a\n"])
def test_texts_that_begin_alike_are_texts(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert read_lines(tmp_path / "a.txt").table.to_pydict() == {"text": [text.rstrip()]}


def test_nul_bytes_mention_utf16_only_where_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16-be"))
    with pytest.raises(DataError, match=r"has NUL bytes.*\n.*utf-16-be"):
        read_table(path)
    path.write_bytes(b"text,label\nab\0c,1\n" * 9)
    with pytest.raises(DataError, match="has NUL bytes") as caught:
        read_table(path)
    assert "utf-16" not in str(caught.value)


def test_streams_of_an_ole_file_are_looked_for_in_its_first_four_megabytes(tmp_path):
    magic, stream = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "WordDocument".encode("utf-16-le")
    for place, said in ((1 << 20, "a Word document"), (5 << 20, "a file of an older office program")):
        content = bytearray(6 << 20)
        content[:8] = magic
        content[place : place + len(stream)] = stream
        (tmp_path / "old.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_table(tmp_path / "old.csv", ["a"])
