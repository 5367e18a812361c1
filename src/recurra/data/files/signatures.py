"""Recognises files of other formats by their first bytes, and explains how to save them as a text table."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

from recurra.errors import DataError

HEAD_BYTES = 512

_SPREADSHEET = "Open it in a spreadsheet program, save the sheet as CSV UTF-8, and give that file."
_OR_DOWNLOAD = " If it is a page that links to the data, download the data file itself."
_EXCEL = 'Open it in Excel, choose File > Save As > "CSV UTF-8 (comma delimited)", and give that file.'
_CALC = "Open it in LibreOffice, choose File > Save As > Text CSV with the character set UTF-8, and give that file."
_DOCUMENT = "Copy its table or text into a CSV or plain text file in UTF-8, and give that file."
_HANGUL = "Save its table in a spreadsheet as CSV UTF-8, or its text as a plain text file, and give that file."
_ARCHIVE = "Unpack it, and give the file in it that holds the data."
_PANDAS = "Write it as CSV or Parquet with the program that made it, such as pandas' to_csv or to_parquet."
_UNSAFE = "It can run code when it is loaded, so it is not read. " + _PANDAS
_DATABASE = "Export the table as CSV, for example: sqlite3 -csv -header FILE 'select * from TABLE'."
_PICTURE = "Recurra reads tables, texts, numeric sequences and recordings."
_SOUND = "Name recordings in a column of a table, or give the file to recurra predict with a model of recordings."
_SEQUENCES = "Give it under a name that ends in .npz, or write X and y with numpy.savez."


class Signature(NamedTuple):
    """First bytes of a format.

    Attributes:
        magic: the bytes.
        name: name of the format, for messages.
        advice: what to do with the file.
        offset: position of the bytes in the file.
        binary: True if the file must contain a NUL byte too, because a text may begin with these bytes.
    """

    magic: bytes
    name: str
    advice: str
    offset: int = 0
    binary: bool = False


SIGNATURES = (
    Signature(b"%PDF-", "a PDF document", _DOCUMENT),
    Signature(b"HWP Document File", "a Hangul document (.hwp)", _HANGUL),
    Signature(b"\x89PNG\r\n\x1a\n", "a picture (PNG)", _PICTURE),
    Signature(b"\xff\xd8\xff", "a picture (JPEG)", _PICTURE, binary=True),
    Signature(b"GIF8", "a picture (GIF)", _PICTURE, binary=True),
    Signature(b"II*\0", "a picture (TIFF)", _PICTURE),
    Signature(b"MM\0*", "a picture (TIFF)", _PICTURE),
    Signature(b"BM", "a picture (BMP)", _PICTURE, binary=True),
    Signature(b"WEBP", "a picture (WebP)", _PICTURE, 8, binary=True),
    Signature(b"WAVE", "a recording (WAV)", _SOUND, 8, binary=True),
    Signature(b"AIFF", "a recording (AIFF)", _SOUND, 8, binary=True),
    Signature(b"fLaC", "a recording (FLAC)", _SOUND, binary=True),
    Signature(b"OggS", "a recording (OGG)", _SOUND, binary=True),
    Signature(b"ID3", "a recording (MP3)", _SOUND, binary=True),
    Signature(b"\xff\xfb", "a recording (MP3)", _SOUND, binary=True),
    Signature(b"ftyp", "a recording or film (MP4)", _SOUND, 4, binary=True),
    Signature(b"\x89HDF\r\n\x1a\n", "an HDF5 file", _PANDAS),
    Signature(b"CDF\x01", "a netCDF file", _PANDAS),
    Signature(b"CDF\x02", "a netCDF file", _PANDAS),
    Signature(b"SQLite format 3\0", "an SQLite database", _DATABASE),
    Signature(b"\x93NUMPY", "a NumPy array (.npy)", "Write X and y with numpy.savez."),
    Signature(b"\x80\x02", "a Python pickle", _UNSAFE, binary=True),
    Signature(b"\x80\x03", "a Python pickle", _UNSAFE, binary=True),
    Signature(b"\x80\x04\x95", "a Python pickle", _UNSAFE),
    Signature(b"\x80\x05\x95", "a Python pickle", _UNSAFE),
    Signature(b"PAR1", "a Parquet file", "Give it under a name that ends in .parquet."),
    Signature(b"ARROW1", "an Arrow file (Feather)", "Give it under a name that ends in .arrow."),
    Signature(b"FEA1", "a Feather file", _PANDAS),
    Signature(b"ORC", "an ORC file", _PANDAS, binary=True),
    Signature(b"Obj\x01", "an Avro file", _PANDAS),
    Signature(b"MATLAB 5.0 MAT-file", "a MATLAB file (.mat)", "Write it as CSV with MATLAB's writetable."),
    Signature(b"RDX", "an R file (.RData)", "Write it as CSV with R's write.csv.", binary=True),
    Signature(b"$FL2", "an SPSS file (.sav)", "Export it as CSV from SPSS."),
    Signature(b"<stata_dta>", "a Stata file (.dta)", "Export it as CSV with Stata's export delimited."),
    Signature(b"7z\xbc\xaf'\x1c", "a 7-Zip archive", _ARCHIVE),
    Signature(b"Rar!\x1a\x07", "a RAR archive", _ARCHIVE),
    Signature(b"(\xb5/\xfd", "a Zstandard archive", _ARCHIVE),
    Signature(b"EGGA", "an ALZip archive (.egg)", _ARCHIVE, binary=True),
    Signature(b"ALZ\x01", "an ALZip archive (.alz)", _ARCHIVE),
    Signature(b"ustar", "a tar archive", _ARCHIVE, 257),
    Signature(b"\x1f\x8b", "a gzip file within a compressed file", _ARCHIVE, binary=True),
    Signature(b"BZh", "a bzip2 file within a compressed file", _ARCHIVE, binary=True),
    Signature(b"\xfd7zXZ\0", "an xz file within a compressed file", _ARCHIVE),
    Signature(b"\x7fELF", "a program", "Give a file that holds data."),
)
"""Formats that their first bytes identify. `recognize` also examines zip and OLE containers."""

_MARKUP = (
    Signature(b"<?xml version", "an XML file", _SPREADSHEET),
    Signature(b"<!doctype html", "a web page", _SPREADSHEET + _OR_DOWNLOAD),
    Signature(b"<html", "a web page", _SPREADSHEET + _OR_DOWNLOAD),
    Signature(b"<table", "a web page", _SPREADSHEET),
    Signature(b"{\\rtf", "an RTF document", _DOCUMENT),
)
"""Formats that are texts, which a language model can learn, but not tables."""
_TAGGED = {
    ".arff": ("an ARFF file", "Write it as CSV, for example with scipy.io.arff.loadarff and pandas' to_csv."),
    ".tsf": (
        "a TSF file",
        "Write it as CSV with columns for the series, the time and the value, for example with sktime's "
        "load_tsf_to_dataframe and pandas' to_csv.",
    ),
}
"""Formats of machine learning that are texts with the line `@relation` or `@data`, by suffix."""
_TABLE_SUFFIXES = (".csv", ".tsv", ".xls", ".xlsx")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_ZIP = (
    ("xl/", "an Excel workbook (.xlsx)", _EXCEL),
    ("word/", "a Word document (.docx)", _DOCUMENT),
    ("ppt/", "a PowerPoint presentation (.pptx)", _DOCUMENT),
    ("Contents/content.hpf", "a Hangul document (.hwpx)", _HANGUL),
    ("content.xml", "an OpenDocument file (.ods, .odt)", _CALC),
    ("archive/data.pkl", "a PyTorch file (.pt)", _UNSAFE),
)
_IN_OLE = (
    ("Workbook", "an Excel workbook (.xls)", _EXCEL),
    ("Book", "an Excel workbook (.xls)", _EXCEL),
    ("HwpSummaryInformation", "a Hangul document (.hwp)", _HANGUL),
    ("WordDocument", "a Word document (.doc)", _DOCUMENT),
    ("PowerPoint Document", "a PowerPoint presentation (.ppt)", _DOCUMENT),
)


def recognize(path: Path, head: bytes) -> DataError | None:
    """Returns an error that names the format of a file and how to convert it; None if the format is unknown.

    Args:
        path: the file.
        head: its first bytes, after decompression; `HEAD_BYTES` are enough.

    Example:
        >>> print(recognize(Path("report.csv"), b"%PDF-1.7"))
        report.csv is a PDF document, not a table or text
        Copy its table or text into a CSV or plain text file in UTF-8, and give that file.
    """
    found = None
    if head.startswith(_ZIP):
        found = _in_zip(path)
    elif head.startswith(_OLE):
        found = _in_ole(path)
    elif path.suffix.lower() in _TAGGED and any(tag in head.lower() for tag in (b"@relation", b"@data", b"#", b"%")):
        found = _TAGGED[path.suffix.lower()]
    else:
        # texts in UTF-16 contain NUL bytes too
        binary = b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff"))
        known = SIGNATURES + (_MARKUP if path.suffix.lower() in _TABLE_SUFFIXES else ())
        for magic, name, advice, offset, needs_nul in known:
            if head[offset : offset + len(magic)].lower() == magic.lower() and (binary or not needs_nul):
                found = name, advice
                break
    if found is None:
        return None
    return DataError(f"{path.name} is {found[0]}, not a table or text\n{found[1]}")


def _in_zip(path: Path) -> tuple[str, str]:
    """Recognises a zip file by the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:1000]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return "a damaged zip archive", "Copy or download it again."
    for start, name, advice in _IN_ZIP:
        if any(member.startswith(start) for member in names):
            return name, advice
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", _SEQUENCES
    return "a zip archive", _ARCHIVE


def _in_ole(path: Path) -> tuple[str, str]:
    """Recognises an OLE file of an older office program by the names of its streams."""
    try:
        with path.open("rb") as file:
            content = file.read(4 << 20)
    except OSError:
        content = b""
    for stream, name, advice in _IN_OLE:
        if stream.encode("utf-16-le") in content:
            return name, advice
    return "a file of an older office program (.xls, .doc, .hwp)", _SPREADSHEET
