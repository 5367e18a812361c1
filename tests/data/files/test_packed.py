"""Compressed files are unpacked as they are read, up to a limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.files import packed
from recurra.data.files.packed import check_expansion, max_expansion, open_binary
from recurra.data.readers.conll import read_conll
from recurra.data.readers.npz import read_npz
from recurra.data.readers.tables import read_table
from recurra.data.readers.text_lines import read_lines, read_text
from recurra.data.readers.ts import read_ts
from recurra.errors import DataError, UsageError

COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_tables_are_unpacked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(COMPRESS[suffix]("글,수\n하나,1\n둘,2\n".encode("cp949")))
    file = read_table(path, ["글"])
    assert file.table.to_pydict() == {"글": ["하나", "둘"]}
    assert file.where(1) == f"a.csv{suffix}, line 3"


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 18)
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(COMPRESS[suffix](b"a,b\n" * (1 << 19)))
    readers = (read_table, read_conll, read_lines, read_text, read_ts)
    for read in readers:
        with pytest.raises(DataError, match=rf"a\.csv{suffix} expands to \d+ MB or more, over 200 times"):
            read(path)
    with open_binary(path) as file:
        assert len(file.read(1 << 18)) == 1 << 18
        with pytest.raises(DataError, match="expands"):
            file.read(1 << 18)


def test_the_limit_counts_from_a_free_size_on_and_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("a.csv.gz")
    check_expansion(path, 1, packed.FREE_BYTES)
    check_expansion(path, packed.FREE_BYTES, 200 * packed.FREE_BYTES)
    with pytest.raises(DataError, match="RECURRA_MAX_EXPANSION"):
        check_expansion(path, 1000, packed.FREE_BYTES + 1)
    monkeypatch.setenv("RECURRA_MAX_EXPANSION", str(packed.FREE_BYTES))
    check_expansion(path, 1000, packed.FREE_BYTES + 1)
    for wrong in ("0", "-1", "nan", "1e3"):
        monkeypatch.setenv("RECURRA_MAX_EXPANSION", wrong)
        with pytest.raises(UsageError, match="whole number above 0"):
            max_expansion()


def test_archives_and_parquet_are_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((2, 1 << 20)))
    with pytest.raises(DataError, match=r"a\.npz expands to 16 MB"):
        read_npz(tmp_path / "a.npz")
    # a value that is stored once and repeated in every row
    column = pa.array(["x" * 1000] * 20_000)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 20_000
    with pytest.raises(DataError, match=r"a\.parquet expands to"):
        read_table(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["x" * (4 << 20)]}), tmp_path / "b.parquet", compression="zstd")
    with pytest.raises(DataError, match=r"b\.parquet expands to 4 MB"):
        read_table(tmp_path / "b.parquet")


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    content = COMPRESS[suffix](np.random.default_rng(0).bytes(4000).hex().encode())
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(content[: int(len(content) * keep)])
    for read in (read_table, read_lines, read_text, read_ts, read_conll):
        with pytest.raises(DataError, match=r"cannot read .*a\.txt"):
            read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damaged_members_of_an_archive(tmp_path: Path, method: int) -> None:
    np.savez(tmp_path / "plain.npz", X=np.arange(200.0).reshape(10, 20))
    with zipfile.ZipFile(tmp_path / "plain.npz") as plain, zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("X.npy", plain.read("X.npy"))
    assert len(read_npz(tmp_path / "a.npz").sequences) == 10
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz, member X\.npy cannot be read as an array"):
        read_npz(tmp_path / "a.npz")


def test_the_limits() -> None:
    assert (packed.MAX_EXPANSION, packed.FREE_BYTES, max_expansion()) == (200, 1 << 24, 200)
    path, free = Path("a"), packed.FREE_BYTES
    check_expansion(path, 0, free)
    check_expansion(path, free, 200 * free)
    with pytest.raises(DataError, match=r"^a expands to 3,200 MB or more, over 200 times its compressed size\n"):
        check_expansion(path, free, 200 * free + 1)


def test_another_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, limit in (("1", 1), ("300", 300), ("", 200)):
        monkeypatch.setenv("RECURRA_MAX_EXPANSION", given)
        assert max_expansion() == limit


@pytest.mark.parametrize("content", [b"", b"plain", b"\x1f", b"BZ", b"\xfd7zX"])
def test_other_files_are_read_as_they_are(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with open_binary(tmp_path / "a.gz") as file:
        assert file.read() == content


@pytest.mark.parametrize("suffix", COMPRESS)
def test_contents_decide_and_files_are_closed(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.txt").write_bytes(COMPRESS[suffix](b"x" * 100_000))
    file = open_binary(tmp_path / "a.txt")
    raw = file.raw  # type: ignore[attr-defined]
    assert file.readable()
    assert file.read() == b"x" * 100_000
    assert raw._count == 100_000
    file.close()
    assert raw._packed.closed
    assert raw.closed
