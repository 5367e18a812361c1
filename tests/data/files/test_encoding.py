"""Finding out and checking the encoding of text files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recurra.data.files import encoding as module
from recurra.data.files.encoding import find_encoding
from recurra.data.readers.sniff import find_dialect, read_rows
from recurra.errors import DataError

HANGUL = "아 더빙 진짜 짜증나네요 목소리"

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("ascii", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("cp949", "cp949"),
        ("euc_kr", "cp949"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_found_and_read(write: Write, encoding: str, found: str) -> None:
    words = {"ascii": "plain", "cp1252": "déjà vu – “naïve” señor"}.get(encoding, HANGUL)
    path = write(f"id\ttext\n1\t{words}\n2\tx\n", encoding=encoding)
    assert find_encoding(path) == found
    dialect = find_dialect(path)
    assert dialect.names == ("id", "text")
    assert [fields for _, fields in read_rows(path, dialect)][1] == ["1", words]


def test_big_endian_utf16_is_found_by_its_mark(write: Write) -> None:
    path = write(b"\xfe\xff" + f"a,b\n{HANGUL},2\n".encode("utf-16-be"))
    assert find_encoding(path) == "utf-16"
    assert [fields for _, fields in read_rows(path, find_dialect(path))] == [["a", "b"], [HANGUL, "2"]]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_characters_may_lie_across_chunks(write: Write, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert find_encoding(write(HANGUL)) == "utf-8"
    assert find_encoding(write(HANGUL, encoding="cp949")) == "cp949"


def test_rare_syllables_alone_are_no_korean(write: Write) -> None:
    assert find_encoding(write("똠방각하와 펲시콜라 만세", encoding="cp949")) == "cp949"  # 2 of 11 are rare
    # Western letters that happen to make syllables which nobody writes
    text = "³a ²b µc ¿d ¡e"
    assert text.encode("cp1252").decode("cp949")
    assert find_encoding(write(text, encoding="cp1252")) == "cp1252"


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_a_damaged_utf8_file_is_refused_with_its_place(
    write: Write, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    lines = [HANGUL.encode(), HANGUL.encode(), b"ab\xffcd"]
    with pytest.raises(DataError, match=r"table\.csv, line 3, byte 3: a byte that is not valid UTF-8\nRepair"):
        find_encoding(write(b"\n".join(lines)))


def test_a_file_cut_within_a_character_is_damaged(write: Write) -> None:
    with pytest.raises(DataError, match="line 2, byte 1: a byte that is not valid UTF-8"):
        find_encoding(write((HANGUL + "\n가").encode()[:-1]))


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_a_given_encoding_that_fails_says_where(write: Write, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    path = write("x\n한글y".encode("cp949"))
    with pytest.raises(DataError, match="line 2, byte 1: a byte that is not valid UTF-8"):
        find_encoding(path, "utf-8")
    path = write(b"x\n" + "한글".encode("cp949") + b"\xff")
    with pytest.raises(DataError, match=r"line 2, byte 5: a byte that is not valid CP949 \(Korean\)"):
        find_encoding(path, "cp949")


def test_a_given_encoding_is_believed(write: Write) -> None:
    path = write("日本", encoding="shift_jis")
    assert find_encoding(path, "sjis") == "shift_jis"
    path = write("한글", encoding="utf-16-le")
    assert find_encoding(path, "utf-16-le") == "utf-16-le"


@pytest.mark.parametrize(("encoding", "given"), [("utf-8-sig", "utf8"), ("utf-16", "utf-16-le")])
def test_a_mark_is_no_part_of_the_text(write: Write, encoding: str, given: str) -> None:
    dialect = find_dialect(write("id,text\n1,a\n", encoding=encoding), encoding=given)
    assert dialect.names == ("id", "text")


@pytest.mark.parametrize("name", ["utf9", "hex", "klingon"])
def test_unknown_encodings_are_refused(write: Write, name: str) -> None:
    with pytest.raises(DataError, match=f'unknown encoding "{name}": try utf-8'):
        find_encoding(write("x"), name)


def test_binary_files_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"table\.csv has NUL bytes.*\nExport it as CSV"):
        find_encoding(write(b"\x89PNG\x00\x01\xff"))
    with pytest.raises(DataError, match="has NUL bytes"):
        find_encoding(write(b"a" * (2 << 20) + b"\x00"))  # beyond the first chunk


def test_bytes_of_no_known_encoding_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match="not a UTF-8, cp949 or Windows-1252 text"):
        find_encoding(write(b"\x81\x8d \x90 \xff\x81"))


@pytest.mark.parametrize(("codec", "order"), [("utf-16", "le"), ("utf-16", "be"), ("utf-32", "le"), ("utf-32", "be")])
def test_utf16_without_a_mark_names_the_codec_to_give(write: Write, codec: str, order: str) -> None:
    path = write(f"text,label\n{HANGUL},1\n", encoding=f"{codec}-{order}")
    with pytest.raises(DataError, match=f"no byte order mark.*\nGive --encoding {codec}-{order}"):
        find_encoding(path, codec)
    assert find_encoding(path, f"{codec}-{order}") == f"{codec}-{order}"


def test_utf32_is_found_by_its_mark(write: Write) -> None:
    assert find_encoding(write(HANGUL, encoding="utf-32")) == "utf-32"


@pytest.mark.parametrize("given", ["", "\0", "hex", "한글", "x" * 500, "undefined", "idna", "rot13"])
def test_odd_codecs_are_refused_or_fail_with_a_data_error(write: Write, given: str) -> None:
    with pytest.raises(DataError, match=r"unknown encoding|cannot be read as|is not valid"):
        find_encoding(write("a..b\xff" + "x" * 70, encoding="latin-1"), given or "\n")


@pytest.mark.parametrize(
    ("codec", "name"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8 with BOM"), ("cp949", "CP949 (Korean)"), ("cp1252", "Windows-1252"),
     ("shift_jis", "SHIFT_JIS")],
)  # fmt: skip
def test_names_of_encodings(codec: str, name: str) -> None:
    assert module.encoding_name(codec) == name


def test_a_text_is_read_with_its_line_ends(write: Write) -> None:
    path = write(b"a\r\nb\rc\n")
    with module.open_text(path, "utf-8") as file:
        assert list(file) == ["a\r\n", "b\r", "c\n"]
    with module.open_text(path, "utf-8", newline="\n") as file:
        assert list(file) == ["a\r\n", "b\rc\n"]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "offset", "place"),
    [
        (b"abc", 0, "line 1, byte 1"), (b"abc", 2, "line 1, byte 3"), (b"a\nbc", 2, "line 2, byte 1"),
        (b"a\nbc", 1, "line 1, byte 2"), (b"\n\n\nx", 3, "line 4, byte 1"), (b"\n\nxyz\nq", 4, "line 3, byte 3"),
    ],
)  # fmt: skip
def test_places_are_counted_from_1(
    write: Write, monkeypatch, chunk: int, content: bytes, offset: int, place: str
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert module._place(write(content), offset) == place


def test_a_text_that_is_mostly_utf8_is_damaged_utf8(write: Write) -> None:
    assert module._is_mostly_utf8(write("가나".encode() + b"\xff"))
    assert not module._is_mostly_utf8(write("가".encode() + b"\xff"))
    assert not module._is_mostly_utf8(write(b"\xff"))
    assert not module._is_mostly_utf8(write(b"abc"))
    assert module._is_mostly_utf8(write("가나다".encode() + b"\xff\xff"))
    assert not module._is_mostly_utf8(write("가나".encode() + b"\xff\xff"))


@pytest.mark.parametrize(("common", "rare", "korean"), [(4, 1, True), (3, 1, False), (1, 0, True), (0, 1, False)])
def test_four_of_five_characters_are_common_in_korean(write: Write, common: int, rare: int, korean: bool) -> None:
    path = write("가" * common + "똠" * rare, encoding="cp949")
    assert module._is_korean(path) is korean


@pytest.mark.parametrize(
    ("content", "codec"),
    [
        (b"a\0b\0c\0d\0", "utf-16-le"),
        (b"\0a\0b\0c\0d", "utf-16-be"),
        (b"ab\0cdefg", None),
        (b"a\0cdefgh", None),
        (b"a\0c\0efgh", "utf-16-le"),
        (b"\0\0cdefgh", None),
        (b"\0\0\0\0efgh", "utf-16-le"),
    ],
)
def test_many_nul_bytes_on_one_side_are_utf16(content: bytes, codec: str | None) -> None:
    said = str(module._binary_error(Path("a"), content))
    assert ("utf-16" in said) is (codec is not None)
    assert codec is None or f"--encoding {codec}." in said


@pytest.mark.parametrize(("head", "order"), [(b"a\0b\0", "le"), (b"\0a\0b", "be"), (b"aa", "le"), (b"", "le")])
def test_the_byte_order_has_the_smaller_bytes_above(head: bytes, order: str) -> None:
    assert module._byte_order(head) == order


def test_a_given_codec_takes_a_mark_of_its_kind_off(write: Write) -> None:
    assert find_encoding(write("가", encoding="utf-8-sig"), "utf8") == "utf-8-sig"
    assert find_encoding(write("가", encoding="utf-8-sig"), "cp1252") == "cp1252"
    assert find_encoding(write("가", encoding="utf-16"), "utf-16") == "utf-16"
    assert find_encoding(write("가", encoding="utf-8"), "utf8") == "utf-8"
    with pytest.raises(DataError, match="has no byte order mark, which UTF-16 needs"):
        find_encoding(write("ab", encoding="utf-16-le"), "utf-16")
