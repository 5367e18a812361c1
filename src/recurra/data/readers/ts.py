"""Reads `.ts` files, the format of the UCR and UEA archives of time series."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from recurra._util.messages import counted, listed, shortened
from recurra.data.columns.inputs import Arrays
from recurra.data.columns.numbers import MISSING
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.encoding import find_encoding, open_text
from recurra.errors import DataError

from .sequence_file import SequenceFile

_NO_LABEL = ("?", "nan", "")  # other marks of missing values, such as "none", may be labels
_SWITCHES = ("timestamps", "missing", "univariate", "equallength", "classlabel", "targetlabel")
_EXAMPLE = "A header has lines such as @problemName, @univariate true and @classLabel true yes no, and ends with @data."


@dataclass
class _Header:
    """The values in the lines above the data."""

    said: dict[str, bool] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        return self.said.get("classlabel", False) or self.said.get("targetlabel", False)

    @property
    def dimensions(self) -> int | None:
        return 1 if self.said.get("univariate") else self.counts.get("dimensions")


def read_ts(path: str | os.PathLike[str], encoding: str | None = None) -> SequenceFile:
    r"""Reads a `.ts` file, plain or compressed: a header, then one sequence per line with dimensions separated by `:`.

    Values are separated by commas. `?` or `NaN` is a missing value. The class or target is last if the header has
    `@classLabel true` or `@targetLabel true`. Sequences may have unequal lengths, even if the header denies it. Time
    stamps in the data, `(time,value)`, are not supported.

    Args:
        path: the file.
        encoding: a Python codec; detected if None.

    Returns:
        The sequences, with labels as strings or targets as numbers.

    Raises:
        DataError: the file cannot be read, or violates the format. The message names the line.

    Example:
        >>> import tempfile
        >>> text = "@univariate false\n@classLabel true up down\n@data\n1,2,3:0,?,0:up\n3,1:0,0:down\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "slopes.ts")
        ...     _ = path.write_text(text)
        ...     file = read_ts(path)
        >>> file.summary
        'slopes.ts: 2 sequences, 2–3 steps, 2 features, 1 missing value'
        >>> file.targets.tolist(), file.sequences.rows[1].tolist()
        (['up', 'down'], [[3.0, 0.0], [1.0, 0.0]])
    """
    path = Path(path)
    refuse_no_file(path)
    with reading(path), open_text(path, find_encoding(path, encoding)) as file:
        # strip() removes the line ends of every system
        lines = ((number, line.strip()) for number, line in enumerate(file, 1))
        return _read(path, ((n, line) for n, line in lines if line and not line.startswith("#")))


def _read(path: Path, lines: Iterator[tuple[int, str]]) -> SequenceFile:
    header = _read_header(path, lines)
    sequences: list[np.ndarray] = []
    numbers: list[int] = []
    labels: list[str | None] = []
    known = dict(zip(header.classes, header.classes, strict=True))
    width = header.dimensions
    for number, line in lines:
        fields = line.split(":")
        if header.labelled:
            labels.append(_label(path, number, fields.pop().strip(), known))
        if width is not None and len(fields) != width:
            also = " beside the label" if header.labelled else ""
            _fail(path, number, f"{counted(len(fields), 'dimension')}{also} where {width} are expected")
        width = len(fields)
        sequences.append(_dimensions(path, number, fields))
        numbers.append(number)
    if width is None or not sequences:
        raise DataError(f"{path.name} is empty below @data: there is no sequence in it")
    targets: np.ndarray | None = None
    if header.said.get("targetlabel"):
        targets = _numbers(path, numbers, labels)
    elif header.labelled:
        targets = np.array(labels, dtype=object)

    def where(row: int) -> str:
        return f"{path.name}, line {numbers[row]}"

    arrays = Arrays(sequences, width)
    return SequenceFile(path, arrays, (), targets, where, notes=tuple(_contradictions(header, arrays)))


# the header


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> _Header:
    header, number = _Header(), 0
    for number, line in lines:
        if not line.startswith("@"):
            _fail(path, number, f"data above @data: {shortened(line)}\n{_EXAMPLE}")
        key, *words = line[1:].split() or [""]
        key = key.lower()
        if not key:
            _fail(path, number, f"a line with @ alone; a word such as data follows it\n{_EXAMPLE}")
        if key == "data":
            return header
        if key in _SWITCHES:
            _switch(path, number, header, key, words)
        elif key.removesuffix("s") + "s" == "dimensions" or key == "serieslength":
            key = key if key == "serieslength" else "dimensions"
            if len(words) != 1 or not words[0].isdecimal() or not int(words[0]):
                _fail(path, number, f"{shortened(line)} should give a whole number above 0")
            header.counts[key] = int(words[0])
    if not number:
        raise DataError(f"{path.name} is empty: there is no line in it")
    raise DataError(f"{path.name} has no line @data: the sequences come below it, one a line")


def _switch(path: Path, number: int, header: _Header, key: str, words: list[str]) -> None:
    truth = {"true": True, "false": False}.get(words[0].lower() if words else "")
    if truth is None:
        _fail(path, number, f"@{key} should be followed by true or false")
    header.said[key] = truth
    if key == "timestamps" and truth:
        _fail(
            path,
            number,
            "sequences with time stamps, (time,value), are not read\n"
            "Write the values alone where the steps are even, or else a long table with a column of times.",
        )
    if key == "classlabel" and truth:
        header.classes = tuple(words[1:])


def _contradictions(header: _Header, sequences: Arrays) -> Iterator[str]:
    """Yields a note for each statement of the header that the data contradict."""
    lengths = [len(row) for row in sequences.rows]
    low, high, said = min(lengths), max(lengths), header.counts.get("serieslength")
    if header.said.get("equallength") and low < high:
        yield f"the header says @equalLength true, but there are {low} to {high} steps; all are read"
    elif header.said.get("equallength") and said and said != high:
        yield f"the header says @seriesLength {said}, but there are {high} steps; all are read"
    if header.said.get("missing") is False and sequences.missing:
        yield f"the header says @missing false, but {counted(sequences.missing, 'value')} are missing"


# the data


def _label(path: Path, number: int, text: str, known: dict[str, str]) -> str | None:
    if text in known:
        return text
    if text.lower() in _NO_LABEL:
        return None
    if not known:
        return text
    same = [label for label in known if _same_number(label, text)]  # 1.0 for 1
    if not same:
        _fail(path, number, f"the label {shortened(text)} is not in the header, which has {listed(list(known), 10)}")
    return same[0]


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _dimensions(path: Path, number: int, fields: list[str]) -> np.ndarray:
    columns = [_values(path, number, i, text) for i, text in enumerate(fields, 1)]
    for i, column in enumerate(columns, 1):
        if len(column) != len(columns[0]):
            found = f"dimension {i} has {counted(len(column), 'value')} where dimension 1 has {len(columns[0])}"
            _fail(path, number, f"{found}; write ? where a value is missing")
    return np.stack(columns, axis=1)


def _values(path: Path, number: int, dimension: int, text: str) -> np.ndarray:
    if not text.strip():
        return np.zeros(0)
    cells = text.split(",")
    try:
        values = np.array([float(cell) for cell in cells], np.float64)
    except ValueError:
        values = _with_missing(path, number, dimension, cells)
    if np.isinf(values).any() or "_" in text:  # Python reads 1_000 as a number
        at = next(i for i, cell in enumerate(cells) if "_" in cell or np.isinf(values[i]))
        _refuse_cell(path, number, dimension, at, cells[at])
    return values


def _with_missing(path: Path, number: int, dimension: int, cells: list[str]) -> np.ndarray:
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell.strip().lower() in MISSING:
            continue
        try:
            values[i] = float(cell)
        except ValueError:
            _refuse_cell(path, number, dimension, i, cell)
    return values


def _refuse_cell(path: Path, number: int, dimension: int, position: int, cell: str) -> NoReturn:
    place = f"dimension {dimension}, value {position + 1}"
    if cell.lstrip().startswith("("):
        _fail(path, number, f"{place}: {shortened(cell)} has a time stamp; files with time stamps are not read")
    _fail(path, number, f"{place}: {shortened(cell.strip())} is not a finite number; a missing value is written ?")


def _numbers(path: Path, numbers: list[int], labels: list[str | None]) -> np.ndarray:
    values = np.full(len(labels), np.nan)
    for row, text in enumerate(labels):
        try:
            values[row] = np.nan if text is None else float(text)
        except ValueError:
            _fail(path, numbers[row], f"the target {shortened(str(text))} is not a number")
    return values


def _fail(path: Path, number: int, message: str) -> NoReturn:
    raise DataError(f"{path.name}, line {number}: {message}")
