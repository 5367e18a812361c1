"""Two files whose lines are translations of each other."""

from __future__ import annotations

import pytest

from recurra.data.columns.pairs import as_pairs
from recurra.data.readers.parallel_text import read_parallel
from recurra.errors import DataError


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_parallel_files(tmp_path, encoding, ends):
    english, korean = ["Hi.", "", "Bye. \u00b1", '"Quoted, tab\there'], ["안녕.", "빈 줄", "잘 가.", "인용"]
    (tmp_path / "a.en").write_bytes(ends.join([*english, ""]).encode(encoding))
    (tmp_path / "a.ko").write_bytes(ends.join(korean).encode(encoding))  # without an end of the last line
    sources, targets, said = read_parallel(
        tmp_path / "a.en", tmp_path / "a.ko", encoding if "16" not in encoding else None
    )
    assert (sources, targets) == (english, korean)
    assert "4 lines" in said
    assert as_pairs(sources, targets).left_out == 1


def test_unequal_files(tmp_path):
    (tmp_path / "a.en").write_text("1\n2\n3\n")
    (tmp_path / "a.ko").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"a\.en has 3 lines but a\.ko has 2 lines"):
        read_parallel(tmp_path / "a.en", tmp_path / "a.ko")
    with pytest.raises(DataError, match=r"no file .*b\.ko"):
        read_parallel(tmp_path / "a.en", tmp_path / "b.ko")


def test_a_carriage_return_inside_a_line_keeps_the_pairs(tmp_path):
    (tmp_path / "a.en").write_bytes(b"Hello\rworld\nBye\n")
    (tmp_path / "a.ko").write_bytes("안녕\n잘 가\n".encode())
    sources, targets, _ = read_parallel(tmp_path / "a.en", tmp_path / "a.ko")
    assert (sources, targets) == (["Hello\rworld", "Bye"], ["안녕", "잘 가"])
