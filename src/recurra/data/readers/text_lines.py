"""Reads plain text files: one text per line, or one running text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from recurra._util.messages import counted
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.encoding import encoding_name, find_encoding, open_text
from recurra.data.files.table import DataFile, collect, in_batches
from recurra.errors import DataError


def read_lines(path: Path, encoding: str | None = None, *, cache_dir: Path | None = None) -> DataFile:
    r"""Reads a text file, plain or compressed, as a table of one column `text` with a row for each line.

    A line ends with `\n` or `\r\n`. The last line may lack its end. Empty lines count. A `\r` inside a line stays a
    character of that line, so that the lines of two parallel files still correspond. Only a file without any `\n` is
    split at `\r`. No other character ends a line: not `\v`, `\f`, `\x1c` to `\x1e`, `\x85`, `\u2028` or `\u2029`.

    Args:
        path: the file.
        encoding: a Python codec; detected if None.
        cache_dir: folder for texts over 64 MB, which are written there and memory-mapped; None to use memory.

    Raises:
        DataError: the file cannot be read, or its encoding is unknown.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "texts.txt")
        ...     _ = path.write_bytes("하나\r\n\n둘".encode("cp949"))
        ...     file = read_lines(path)
        >>> file.table.to_pydict(), file.summary
        ({'text': ['하나', '', '둘']}, 'texts.txt: 3 lines, CP949 (Korean)')
    """
    refuse_no_file(path, "line")
    found = find_encoding(path, encoding)
    schema = pa.schema([pa.field("text", pa.string())])
    with reading(path):
        batches = (pa.record_batch([pa.array(some, pa.string())], schema) for some in in_batches(_lines(path, found)))
        table = collect(schema, batches, cache_dir)
    summary = f"{path.name}: {counted(table.num_rows, 'line')}, {encoding_name(found)}"
    return DataFile(path, table, summary, 0, None, lambda: itertools.count(1))


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with open_text(path, encoding, newline="\n") as file:
        first = next(file, "")
        if not first.endswith("\n"):  # the whole file
            yield from first.removesuffix("\r").split("\r") if first else ()
            return
        for line in itertools.chain([first], file):
            yield line.rstrip("\r\n")


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Reads a text file, plain or compressed.

    Args:
        path: the file.
        encoding: a Python codec; detected if None.

    Returns:
        The text, with a newline for every line end, and a one-line summary for the user.

    Raises:
        DataError: the file cannot be read, or has no text.
    """
    refuse_no_file(path, "text")
    found = find_encoding(path, encoding)
    with reading(path), open_text(path, found) as file:
        text = file.read().replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{path.name} is empty: there is no text in it")
    return text, f"{path.name}: {len(text):,} characters, {encoding_name(found)}"
