"""Opens text files, plain or compressed, and detects or checks their encoding."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recurra.errors import DataError

from .access import reading
from .packed import open_binary
from .signatures import HEAD_BYTES, recognize

_CHUNK = 1 << 20
_MARKS = {  # those of UTF-32 first: one of them begins with one of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NAMES = {"utf-8-sig": "UTF-8 with BOM", "cp949": "CP949 (Korean)", "cp1252": "Windows-1252"}


def open_text(path: Path, encoding: str, newline: str = "") -> io.TextIOWrapper:
    r"""Opens a file for reading text without translating its line ends.

    Args:
        path: the file, plain or compressed.
        encoding: a Python codec.
        newline: line end; the default accepts `\n`, `\r` and `\r\n`.
    """
    return io.TextIOWrapper(open_binary(path), encoding, newline=newline)


def find_encoding(path: Path, given: str | None = None) -> str:
    """Detects the encoding of a text file by decoding the whole file.

    A byte order mark decides. Without one, the first valid encoding of UTF-8, cp949 (which includes EUC-KR) and cp1252
    is used.

    Args:
        path: the file, plain or compressed.
        given: encoding given by the user. It is only checked.

    Returns:
        The Python codec.

    Raises:
        DataError: the bytes are not valid in the given encoding, or in any of these.
    """
    with reading(path):
        with open_binary(path) as file:
            head = file.read(_CHUNK)
        mark = next((codec for mark, codec in _MARKS.items() if head.startswith(mark)), None)
        if (error := recognize(path, head[:HEAD_BYTES])) is not None:
            raise error
        if given is None and mark is None and b"\0" in head:
            raise _binary_error(path, head)
        codec = _given_codec(path, given, mark, head) if given else mark or "utf-8"
        try:
            _check_text(path, codec)
        except _BadByteError as fault:
            if not (given or mark or _is_mostly_utf8(path)):
                return _legacy_encoding(path)
            raise DataError(
                f"{path.name}, {_place(path, fault.offset)}: a byte that is not valid {encoding_name(codec)}\n"
                "Repair the file there, or give the --encoding in which it was written."
            ) from None
        return codec


def encoding_name(encoding: str) -> str:
    """Returns the usual name of an encoding."""
    return _NAMES.get(encoding, encoding.upper())


class _BadByteError(Exception):
    """A byte that is not valid in an encoding."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def _given_codec(path: Path, given: str, mark: str | None, head: bytes) -> str:
    try:
        codec = codecs.lookup(given).name
        io.TextIOWrapper(io.BytesIO(), codec)  # raises an error for codecs that do not return text, such as hex
        codecs.getincrementaldecoder(codec)
    except (LookupError, ValueError):
        raise DataError(f'unknown encoding "{given:.40}": try utf-8, cp949, cp1252 or utf-16') from None
    if codec in ("utf-16", "utf-32") and mark != codec:
        raise DataError(
            f"{path.name} has no byte order mark, which {encoding_name(codec)} needs\n"
            f"Give --encoding {codec}-{_byte_order(head)}, or save the file in UTF-8."
        )
    # the codec of the mark is the same encoding, and removes the mark
    return mark if mark is not None and codec[:5] == mark[:5] else codec


def _byte_order(head: bytes) -> str:
    """Guesses the byte order of UTF-16 or UTF-32: in most texts the high bytes are smaller than the low bytes."""
    return "le" if sum(head[1::2]) <= sum(head[::2]) else "be"


def _legacy_encoding(path: Path) -> str:
    """Chooses between cp949 and cp1252."""
    for codec, fits in (("cp949", _is_korean), ("cp1252", lambda path: True)):
        try:
            _check_text(path, codec)
        except _BadByteError:
            continue
        if fits(path):
            return codec
    raise DataError(
        f"{path.name} is not a UTF-8, cp949 or Windows-1252 text\n"
        "If it is a text in another encoding, give it with --encoding; else export it as CSV in UTF-8."
    )


def _decoded(path: Path, encoding: str, errors: str = "strict") -> Iterator[str]:
    """Yields the text in pieces. Raises `_BadByteError` at the first invalid byte."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    count = 0
    with open_binary(path) as file:
        try:
            while chunk := file.read(_CHUNK):
                count += len(chunk)
                yield decoder.decode(chunk)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            # error.object ends at the current position in the file, and may begin before the chunk
            raise _BadByteError(count - len(error.object) + error.start) from None
        except UnicodeError as error:
            raise DataError(f"{path.name} cannot be read as {encoding_name(encoding)}: {error}") from None


def _check_text(path: Path, encoding: str) -> None:
    """Decodes the whole file."""
    if any("\0" in text for text in _decoded(path, encoding)):
        raise _binary_error(path)


def _binary_error(path: Path, head: bytes = b"") -> DataError:
    advice = "Export it as CSV in UTF-8 or as Parquet"
    odd, even = head[1::2].count(0), head[::2].count(0)
    if max(odd, even) > len(head) / 8:  # a text in UTF-16 has many NUL bytes at even or at odd positions
        codec = f"utf-16-{'le' if odd >= even else 'be'}"
        advice += f"; if it is a text in UTF-16 without a byte order mark, give --encoding {codec}"
    return DataError(f"{path.name} has NUL bytes, so it is not a text file\n{advice}.")


def _is_mostly_utf8(path: Path) -> bool:
    """Returns whether more of the characters outside ASCII are valid UTF-8 than invalid."""
    beyond = broken = 0
    for text in _decoded(path, "utf-8", "replace"):
        beyond += np.count_nonzero(_codes(text) > 127)
        broken += text.count("\ufffd")
    return bool(beyond - broken > broken)


def _is_korean(path: Path) -> bool:
    """Returns whether decoding by cp949 gives mostly the common characters of EUC-KR, not the rare ones of cp949."""
    counts = np.zeros(1 << 16, dtype=np.int64)
    for text in _decoded(path, "cp949"):
        counts += np.bincount(_codes(text), minlength=len(counts))
    counts[:128] = 0
    # Python encodes syllables that are not in EUC-KR as eight bytes
    common = [code for code in np.flatnonzero(counts) if len(chr(code).encode("euc_kr", "ignore")) == 2]
    return bool(counts[common].sum() >= 0.8 * counts.sum())


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _place(path: Path, offset: int) -> str:
    """Returns the line and byte of an offset into the (unpacked) file, counted from 1."""
    line, last, before = 1, -1, 0
    with open_binary(path) as file:
        while before < offset and (chunk := file.read(min(_CHUNK, offset - before))):
            line += chunk.count(b"\n")
            if b"\n" in chunk:
                last = before + chunk.rfind(b"\n")
            before += len(chunk)
    return f"line {line}, byte {offset - last}"
