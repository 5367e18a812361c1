"""Detects the format of a text table: its encoding, delimiter, quoting and header rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from recurra._util.messages import plain_name
from recurra.data.columns.numbers import MISSING, is_number
from recurra.data.files.encoding import find_encoding, open_text
from recurra.data.files.packed import PACKED_SUFFIXES
from recurra.errors import DataError

from .typed.workbook import split_sheet

_SAMPLE_LINES, _SAMPLE_CHARACTERS = 1000, 1 << 20
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".ipc", ".xlsx")
"""Suffixes of files that are tables and not plain text."""
_MAX_COLUMNS = 1_000_000
_DELIMITERS = "\t;|,"
_SUFFIX_DELIMITERS = {".csv": ";,", ".tsv": "\t"}
TYPED = {r"\t": "\t", "tab": "\t"}  # spellings of a tab on the command line


@dataclass(frozen=True)
class Dialect:
    """The format of a text table.

    Args:
        encoding: Python codec.
        delimiter: the character between two columns; None if there is only one column.
        quoting: True if `"` encloses fields.
        header_rows: rows before the first row of data, 0 to 2.
        names: one name per column.
    """

    encoding: str
    delimiter: str | None
    quoting: bool
    header_rows: int
    names: tuple[str, ...]


def find_dialect(
    path: Path,
    columns: Sequence[str] = (),
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Dialect:
    r"""Detects the format of a text table, except for the given options.

    Args:
        path: the file, plain or compressed.
        columns: the requested columns; a first row that contains one of them is a header.
        encoding: a Python codec.
        delimiter: the character between two columns.
        header: True if the first row holds the names of the columns.

    Raises:
        DataError: the file is empty, binary, or in an unknown encoding.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.txt")
        ...     _ = path.write_text("id\ttext\n1\tgood, really\n2\tbad\n", encoding="utf-8")
        ...     find_dialect(path)
        Dialect(encoding='utf-8', delimiter='\t', quoting=False, header_rows=1, names=('id', 'text'))
    """
    encoding = find_encoding(path, encoding)
    lines, suffix = _sample(path, encoding), table_suffix(path)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path.name} is empty: there is no row in it")
    delimiter = _find_delimiter(lines, suffix, columns) if delimiter is None else _given_delimiter(delimiter)
    quoting = _find_quoting(path, encoding, delimiter, suffix)
    rows = _alike(_parse(lines, delimiter, quoting))
    if header is None:
        plain_text = delimiter is None and suffix not in _SUFFIX_DELIMITERS
        header = _is_header(rows, columns, default=not plain_text)
    header_rows = (2 if _is_second_header(rows) else 1) if header else 0
    return Dialect(encoding, delimiter, quoting, header_rows, _names(rows[:header_rows], len(rows[0])))


def read_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yields `(line, fields)` of every row that is not blank, headers included; lines count from 1."""
    with open_text(path, dialect.encoding) as file:
        reader = _csv_reader(file, dialect.delimiter, dialect.quoting)
        line = 1
        for fields in reader:
            # a row of spaces is a value if there is one column, and a blank line if there are several
            if fields and (len(dialect.names) == 1 or not _is_space(fields)):
                yield line, fields
            line = reader.line_num + 1


def table_suffix(path: Path) -> str:
    """Returns the suffix of the format, in lower case: `.csv` for `reviews.CSV.gz`, `.xlsx` for `a.xlsx#Sheet`."""
    path = split_sheet(path)[0]
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _sample(path: Path, encoding: str) -> list[str]:
    """Returns the first lines, from which the format is detected."""
    lines: list[str] = []
    size = 0
    with open_text(path, encoding) as file:
        for line in file:
            if len(line) > _MAX_COLUMNS and max(map(line.count, _DELIMITERS)) > _MAX_COLUMNS:
                raise DataError(
                    f"{path.name}, line {len(lines) + 1}: over {_MAX_COLUMNS:,} separators in one line\n"
                    "A table has one row per line; write long sequences as .npz, .ts or a table with a row per step."
                )
            lines.append(line)
            size += len(line)
            if len(lines) == _SAMPLE_LINES or (size > _SAMPLE_CHARACTERS and len(lines) >= 20):
                break
    return lines


def _csv_reader(lines: Iterable[str], delimiter: str | None, quoting: bool, strict: bool = False):
    """Returns a csv reader. Without a delimiter it uses NUL, which no text contains, so every row has one column."""
    # the limit is global to the process, so it is never reduced; the default is 128 kB
    csv.field_size_limit(2**31 - 1)
    style = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=delimiter or "\0", quoting=style, strict=strict)


def _is_space(row: list[str]) -> bool:
    return len(row) == 1 and not row[0].strip()


def _parse(lines: Sequence[str], delimiter: str | None, quoting: bool) -> list[list[str]]:
    return [row for row in _csv_reader(lines, delimiter, quoting) if row]


def _alike(rows: list[list[str]]) -> list[list[str]]:
    """Returns the rows that have the most common number of columns."""
    widths = Counter(len(row) for row in rows if not _is_space(row)) or Counter([1])
    width = widths.most_common(1)[0][0]
    return [row for row in rows if len(row) == width]


def _given_delimiter(given: str) -> str:
    delimiter = TYPED.get(given, given)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise DataError(f'a delimiter is one ASCII character, such as , ; | or \\t, not "{given}"')
    return delimiter


def _find_delimiter(lines: Sequence[str], suffix: str, columns: Sequence[str]) -> str | None:
    """Chooses the delimiter that splits most rows into the same number of columns; requested columns count most."""
    usual = _SUFFIX_DELIMITERS.get(suffix, "")
    asked = {plain_name(name) for name in columns if not name.isdigit()}
    first = _parse(lines, None, quoting=False)[0][0]
    # one column, unless a delimiter fits well; the suffix of a table lowers the threshold
    best, best_merit = None, ({plain_name(first.strip('"'))} == asked, 0.5 if usual else 0.9)
    for delimiter in sorted(_DELIMITERS, key=lambda delimiter: delimiter not in usual):
        share, rows = max((_fit(lines, delimiter, quoting) for quoting in (True, False)), key=itemgetter(0))
        width, after = len(rows[0]), [field for row in rows for field in row[1:]]
        named = bool(asked) and asked <= set(map(plain_name, rows[0]))
        # a separator that a space follows is punctuation of a text
        prose = not usual and sum(field.startswith(" ") for field in after) > len(after) / 2
        merit = (named, share + 0.1 * (delimiter in usual))
        if width > 1 and (named or not prose) and merit > best_merit:
            best, best_merit = delimiter, merit
    return best


def _fit(lines: Sequence[str], delimiter: str, quoting: bool) -> tuple[float, list[list[str]]]:
    """Returns the rows that have the most common number of columns, and their share."""
    rows = _parse(lines, delimiter, quoting)
    alike = _alike(rows)
    return len(alike) / max(sum(not _is_space(row) for row in rows), 1), alike


def _find_quoting(path: Path, encoding: str, delimiter: str | None, suffix: str) -> bool:
    """Returns whether `"` encloses fields, or is an ordinary character. The whole file is read."""
    opening = (delimiter or "\n") + '"'
    with open_text(path, encoding) as file:
        if not any(line.startswith('"') or opening in line for line in file):
            return False
    strict = _tally(path, encoding, delimiter, quoting=True, strict=True)
    if strict.clean:
        # both readings give complete rows: comma files quote (RFC 4180), tab files do not
        comma_file = suffix == ".csv" if delimiter is None else delimiter != "\t"
        if comma_file or not strict.spans:
            return True
    bare = _tally(path, encoding, delimiter, quoting=False)
    if bare.bad == 0:
        return False
    if strict.clean:
        return strict.bad < bare.bad
    # a single quote would join the following rows: use the reading that gives more rows
    loose = _tally(path, encoding, delimiter, quoting=True)
    return strict.good >= bare.good or loose.good > bare.good


class _Tally(NamedTuple):
    """Numbers of rows of the most common width and of others; whether a row spans lines; whether all are valid."""

    good: int
    bad: int
    spans: bool
    clean: bool


def _tally(path: Path, encoding: str, delimiter: str | None, quoting: bool, strict: bool = False) -> _Tally:
    widths: Counter[int] = Counter()
    with open_text(path, encoding) as file:
        reader = _csv_reader(file, delimiter, quoting, strict)
        try:
            widths.update(map(len, reader))  # counts up to an error
            clean = True
        except csv.Error:
            clean = False
    spans = reader.line_num > widths.total()
    del widths[0]  # blank lines
    good = max(widths.values(), default=0)
    return _Tally(good, widths.total() - good, spans, clean)


def _is_header(rows: Sequence[Sequence[str]], columns: Sequence[str], default: bool) -> bool:
    """Returns whether the first row is a header, by the requested names, its difference from other rows, its form."""
    first, rest = rows[0], rows[1:]
    positions = {str(position) for position in range(1, len(first) + 1)}
    if {plain_name(name) for name in columns} - positions & set(map(plain_name, first)):
        return True
    below = [[row[column] for row in rest] for column in range(len(first))]
    words = [cell.strip().lower() not in MISSING and not is_number(cell) for cell in first]
    if any(is_word and _is_numeric(values) for is_word, values in zip(words, below, strict=True)):
        return True
    if any(is_number(cell) for cell in first):
        return False
    is_label = any(
        cell and values.count(cell) >= max(1, 0.05 * len(values)) for cell, values in zip(first, below, strict=True)
    )
    is_sentence = any(cell.rstrip().endswith((".", "!", "。")) for cell in first)
    return default and not is_label and not is_sentence


def _is_second_header(rows: Sequence[Sequence[str]]) -> bool:
    """Returns whether the second row is a header below merged cells of the first row."""
    if len(rows) < 3 or not rows[0][0].strip():
        return False
    first, second = rows[:2]
    completes = all(a.strip() or b.strip() for a, b in zip(first, second, strict=True))
    merged = not all(cell.strip() for cell in first) and not all(cell.strip() for cell in second)
    # a row of data with empty cells looks the same; words above numbers show a header
    below = zip(*rows[2:], strict=True)
    heads = any(cell.strip() and _is_numeric(values) for cell, values in zip(second, below, strict=True))
    return completes and merged and heads and not any(is_number(cell) for cell in (*first, *second))


def _names(header: Sequence[Sequence[str]], width: int) -> tuple[str, ...]:
    """Returns one name per column: header rows are joined, blanks get their position, repeated names get a number."""
    names = [" ".join(cell.split()) for cell in header[0]] if header else [""] * width
    if len(header) == 2:
        # the text of a merged cell is in its first column
        groups = accumulate(names, lambda left, name: name or left)
        names = [" ".join(f"{group} {cell}".split()) for group, cell in zip(groups, header[1], strict=True)]
    taken: set[str] = set()
    for column, name in enumerate(names):
        base = name or str(column + 1)
        copies = (f"{base} ({number})" for number in range(2, width + 2))
        names[column] = base if base not in taken else next(copy for copy in copies if copy not in taken)
        taken.add(names[column])
    return tuple(names)


def _is_numeric(values: Iterable[str]) -> bool:
    """Returns whether most values that are not missing are numbers."""
    there = [value for value in values if value.strip().lower() not in MISSING]
    return sum(map(is_number, there)) > len(there) / 2
