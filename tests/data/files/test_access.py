"""Files that are not there, cannot be read, or are something else."""

from __future__ import annotations

import lzma
import os
import zlib

import pytest

from recurra.data.files.access import is_file, is_folder, reading, refuse_no_file
from recurra.errors import DataError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "Input/output error"), "Input/output error"),
        (EOFError("ended early\nmore"), "ended early"),
        (zlib.error("bad code"), "bad code"),
        (lzma.LZMAError(), "LZMAError"),
        (MemoryError(), "there is not enough memory for its content"),
        (KeyError("a"), "'a'"),
    ],
)
def test_errors_of_reading_become_data_errors(tmp_path, error, reason):
    with pytest.raises(DataError, match=f"^cannot read {tmp_path / 'a'}: {reason}$"), reading(tmp_path / "a", KeyError):
        raise error


def test_other_errors_pass(tmp_path):
    with pytest.raises(DataError, match=r"^own$"), reading(tmp_path):
        raise DataError("own")
    with pytest.raises(KeyError), reading(tmp_path, IndexError):
        raise KeyError
    with reading(tmp_path):
        pass


def test_what_a_name_stands_for(tmp_path):
    (tmp_path / "a").touch()
    assert (is_file(tmp_path / "a"), is_folder(tmp_path / "a")) == (True, False)
    assert (is_file(str(tmp_path)), is_folder(str(tmp_path))) == (False, True)
    for name in ("no", "a\0b", "x" * 5000):
        assert (is_file(tmp_path / name), is_folder(tmp_path / name)) == (False, False)


def test_only_regular_files_with_content_are_accepted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x")
    refuse_no_file(path)
    path.write_text("")
    with pytest.raises(DataError, match=r"^a\.txt is empty: there is no row in it$"):
        refuse_no_file(path)
    with pytest.raises(DataError, match=r"^a\.txt is empty: there is no line in it$"):
        refuse_no_file(path, "line")
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(DataError, match=r"^there is no file .*reveiws\.csv, did you mean \"reviews\.csv\"\?$"):
        refuse_no_file(tmp_path / "reveiws.csv")
    with pytest.raises(DataError, match=r"^there is no file .*c$"):
        refuse_no_file(tmp_path / "none" / "c")
    with pytest.raises(DataError, match="is a folder: give the file in it"):
        refuse_no_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a regular file"):
        refuse_no_file(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"there is no file .*: File name too long"):
        refuse_no_file(tmp_path / ("x" * 300))
