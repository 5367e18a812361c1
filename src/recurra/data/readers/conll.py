"""Reads tagged sentences: CoNLL-U, and files of columns with a word per line and a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from recurra._util.messages import counted, hint, listed, shortened
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.encoding import encoding_name, find_encoding, open_text
from recurra.errors import DataError

from .sniff import TYPED, table_suffix

CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
MISSING = "_"
_DOCUMENT = "-DOCSTART-"
_WORD_ID = re.compile(r"[1-9]\d*|0")
_OTHER_ID = re.compile(r"\d+-\d+|\d+\.\d+")  # a surface form of several words, or an empty node


@dataclass(frozen=True)
class Layout:
    """The format of one file.

    Attributes:
        encoding: Python codec.
        columns: number of columns.
        delimiter: the character between columns; None for any white space.
        names: names of the columns; empty if they have none.
        conllu: True if the first column holds the numbers of words.
        header: True if the first line of the file holds the names.
        word: position of the column of words, counted from 0.
        target: position of the column of tags; None if tags are not read.
    """

    encoding: str
    columns: int
    delimiter: str | None
    names: tuple[str, ...] = ()
    conllu: bool = False
    header: bool = False
    word: int = 0
    target: int | None = None

    def split(self, line: str) -> list[str]:
        """Splits a line into cells."""
        return line.split(self.delimiter) if self.delimiter else re.split("[ \t]+", line.strip(" \t"))

    def title(self, column: int) -> str:
        """Returns the name of a column for messages, such as `column 4 (UPOS)`."""
        return f"column {column + 1}" + (f" ({self.names[column]})" if self.names else "")


@dataclass(frozen=True)
class TaggedFile:
    """Sentences of a file.

    Attributes:
        path: the file.
        words: a list of words for each sentence.
        tags: a list of tags for each sentence, with None for a missing tag; None if tags were not requested.
        layout: format of the file.
        summary: one line for the user.
        lines: the line, counted from 1, of every word of every sentence.
    """

    path: Path
    words: list[list[str]]
    tags: list[list[str | None]] | None
    layout: Layout
    summary: str
    lines: list[list[int]] = field(repr=False)

    def where(self, sentence: int) -> str:
        """Returns the file and the line in which a sentence, counted from 0, begins."""
        return f"{self.path.name}, line {self.lines[sentence][0]}"


def read_conll(
    path: str | Path,
    target: str | None = None,
    word: str | None = None,
    *,
    tagged: bool = True,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool = False,
    skip_bad_rows: bool = False,
) -> TaggedFile:
    r"""Reads CoNLL-U or columns. Format, delimiter and encoding are detected.

    In CoNLL-U, comments, surface forms of several words (`1-2`) and empty nodes (`1.1`) are left out. In columns,
    `-DOCSTART-` lines and comments at the beginning of a sentence are left out. An empty tag or `_` is missing.

    Args:
        path: the file, plain or compressed.
        target: column of tags: a name such as `"upos"`, or a number counted from 1; by default UPOS in CoNLL-U, else
            the last column.
        word: column of words; by default FORM in CoNLL-U, else the first column.
        tagged: True to read tags.
        encoding: a Python codec; detected by default.
        delimiter: the character between columns; detected by default.
        header: True if the first line names the columns.
        skip_bad_rows: True to leave out sentences with a bad line; False to raise an error.

    Raises:
        DataError: the file cannot be read, or a line is malformed. The message names line and column.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.txt")
        ...     _ = path.write_text("Anna B-PER\nsleeps O\n\nHello _\n", encoding="utf-8")
        ...     file = read_conll(path)
        >>> file.words, file.tags
        ([['Anna', 'sleeps'], ['Hello']], [['B-PER', 'O'], [None]])
    """
    path = Path(path)
    refuse_no_file(path, "sentence")
    codec = find_encoding(path, encoding)
    with reading(path):
        layout = _find_layout(path, codec, _typed(delimiter), header)
        layout = _choose(path, layout, target, word, tagged)
        parser = _Parser(path, layout, tagged, skip_bad_rows)
        parser.run()
    if not parser.words:
        raise DataError(f"{path.name} has no sentence: write one word per line, a blank line between sentences")
    tags = parser.tags if tagged else None
    return TaggedFile(path, parser.words, tags, layout, _summary(path, layout, parser), parser.lines)


def _read_lines(path: Path, encoding: str) -> Iterator[str]:
    """Yields the lines of a text file without their ends."""
    with open_text(path, encoding) as file:
        for line in file:
            yield line.rstrip("\r\n")


def _typed(delimiter: str | None) -> str | None:
    return {**TYPED, " ": None}.get(delimiter, delimiter) if delimiter else None


def _find_layout(path: Path, encoding: str, delimiter: str | None, header: bool) -> Layout:
    """Detects the format from the names of the columns and the first line of data."""
    names: tuple[str, ...] = ()
    for line in _read_lines(path, encoding):
        if line.startswith("# global.columns"):  # CoNLL-U Plus
            names = tuple(line.partition("=")[2].split())
            continue
        if not line.strip(" \t") or line.startswith(_DOCUMENT) or (line[0] == "#" and not _has_hash_word(line)):
            continue
        cells = line.split("\t")
        if _is_conllu(path, names, cells):
            return Layout(encoding, len(names or CONLLU), "\t", names or CONLLU, conllu="ID" in (names or CONLLU))
        delimiter = delimiter or ("\t" if len(cells) > 1 else None)
        layout = Layout(encoding, 0, delimiter, header=header)
        cells = layout.split(line)
        return Layout(encoding, len(cells), delimiter, tuple(cells) if header else (), header=header)
    raise DataError(f"{path.name} is empty: there is no word in it")


def _has_hash_word(line: str) -> bool:
    """Returns whether a line begins with a word such as `#hashtag`: # and other characters, followed by a tab."""
    return re.match("#[^ \t]*\t", line) is not None


def _is_conllu(path: Path, names: tuple[str, ...], cells: list[str]) -> bool:
    if names or table_suffix(path) in (".conllu", ".conllup"):
        return True
    number = _WORD_ID.fullmatch(cells[0]) or _OTHER_ID.fullmatch(cells[0])
    return len(cells) == len(CONLLU) and number is not None


def _choose(path: Path, layout: Layout, target: str | None, word: str | None, tagged: bool) -> Layout:
    """Sets the columns of words and tags."""
    column = _column(path, layout, word, "FORM" if "FORM" in layout.names else "1")
    if tagged and layout.columns < 2:
        raise DataError(
            f"{path.name} has one column only: there are no tags in it\n"
            "A line holds a word and its tag, with a tab or a space between them."
        )
    goal = None
    try:
        goal = _column(path, layout, target, "UPOS" if "UPOS" in layout.names else str(layout.columns))
    except DataError:
        if tagged:
            raise
    if goal is not None and goal == column:
        if tagged:
            raise DataError(f"{path.name}: words and tags cannot both be in {layout.title(goal)}")
        goal = None
    return replace(layout, word=column, target=goal)


def _column(path: Path, layout: Layout, wanted: str | None, default: str) -> int:
    wanted = wanted or default
    names = [name.lower() for name in layout.names]
    if wanted.lower() in names:
        return names.index(wanted.lower())
    if wanted.isdecimal() and 1 <= int(wanted) <= layout.columns:
        return int(wanted) - 1
    have = f"its columns are {listed([n.lower() for n in layout.names], 20)}" if names else "its columns have no names"
    raise DataError(
        f'{path.name} has no column "{wanted}"{hint(wanted.lower(), names)}\n'
        f"{have}; a number from 1 to {layout.columns} is possible too"
    )


class _BadLineError(Exception):
    """A malformed line; the message says what is wrong."""


class _Parser:
    """Parses the lines of a file and collects its sentences."""

    def __init__(self, path: Path, layout: Layout, tagged: bool, skip: bool) -> None:
        self.path, self.layout, self.tagged, self.skip = path, layout, tagged, skip
        self.words: list[list[str]] = []
        self.tags: list[list[str | None]] = []
        self.lines: list[list[int]] = []
        self.missing = self.skipped = 0
        self._open()

    def _open(self) -> None:
        self._cells: list[list[str]] = []
        self._at: list[int] = []
        self._bad = False

    def run(self) -> None:
        """Reads the whole file."""
        header = self.layout.header
        for number, line in enumerate(_read_lines(self.path, self.layout.encoding), 1):
            if not line.strip(" \t") or line.startswith(_DOCUMENT):
                self._close()
            elif header:
                header = False
            elif not self._is_comment(line):
                try:
                    self._add(line, number)
                except _BadLineError as error:
                    if not self.skip:
                        raise DataError(f"{self.path.name}, line {number}{error}") from None
                    self._bad = True
        self._close()

    def _is_comment(self, line: str) -> bool:
        if self._cells or not line.startswith("#"):
            return False
        cells = self.layout.split(line)
        # "#" may be a word, but a column does not begin with "# "
        return self.layout.conllu or len(cells) != self.layout.columns or re.match("#+ .", cells[0]) is not None

    def _add(self, line: str, number: int) -> None:
        layout = self.layout
        cells = layout.split(line)
        if len(cells) != layout.columns:
            kind = "CoNLL-U has" if layout.names == CONLLU else "the first has"
            between = {"\t": "one tab", None: "spaces"}.get(layout.delimiter, repr(layout.delimiter))
            raise _BadLineError(
                f": {counted(len(cells), 'column')} where {kind} {layout.columns}: {shortened(line)}\n"
                f"Columns are separated by {between}, sentences by a blank line. Correct the line, or leave out "
                "bad sentences with --skip-bad-rows."
            )
        if layout.conllu and not self._is_word(cells[0]):
            return
        if not cells[layout.word]:
            raise _BadLineError(
                f", {layout.title(layout.word)}: no word: {shortened(line)}\n"
                "Write the word there, or leave out bad sentences with --skip-bad-rows."
            )
        self._cells.append(cells)
        self._at.append(number)

    def _is_word(self, number: str) -> bool:
        """Returns whether a line of CoNLL-U is a word, not a surface form or empty node. Other lines are errors."""
        if _OTHER_ID.fullmatch(number):
            return False
        if not _WORD_ID.fullmatch(number):
            raise _BadLineError(
                f", column 1 (ID): {shortened(number)} is not the number of a word, such as 1, 1-2 or 1.1\n"
                "Correct the line, or leave out bad sentences with --skip-bad-rows."
            )
        if number == "1" and self._cells:
            raise _BadLineError(
                ", column 1 (ID): there is no blank line before the sentence that begins here\n"
                "Write a blank line there, or leave out bad sentences with --skip-bad-rows."
            )
        return True

    def _close(self) -> None:
        """Ends a sentence."""
        if self._bad:
            self.skipped += 1
        elif self._cells:
            layout = self.layout
            self.words.append([cells[layout.word] for cells in self._cells])
            self.lines.append(self._at)
            if self.tagged and layout.target is not None:
                found = [cells[layout.target] for cells in self._cells]
                self.tags.append([None if tag in ("", MISSING) else tag for tag in found])
                self.missing += self.tags[-1].count(None)
        self._open()


def _summary(path: Path, layout: Layout, parser: _Parser) -> str:
    kind = "CoNLL-U" if layout.conllu else counted(layout.columns, "column")
    parts = [
        f"{path.name}: {counted(len(parser.words), 'sentence')}",
        counted(sum(map(len, parser.words)), "word"),
        kind,
        encoding_name(layout.encoding),
    ]
    if parser.tagged and layout.target is not None:
        parts.append(f"tags in {layout.title(layout.target)}")
    if parser.skipped:
        parts.append(f"{counted(parser.skipped, 'bad sentence')} left out")
    text = ", ".join(parts)
    if parser.missing:
        text += f"\n{counted(parser.missing, 'word')} without a tag: left out of training and metrics"
    return text


def filled(file: TaggedFile, tags: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of a file, with their line ends, with new tags in the column of tags, which may be missing.

    Args:
        file: the result of `read_conll`.
        tags: for each sentence, a tag for each word.
    """
    layout = file.layout
    found = {
        line: tag for lines, row in zip(file.lines, tags, strict=True) for line, tag in zip(lines, row, strict=True)
    }
    with open_text(file.path, layout.encoding) as text:
        for number, line in enumerate(text, 1):
            if number not in found:
                yield line
                continue
            content = line.rstrip("\r\n")
            cells = layout.split(content)
            if layout.target is None:
                cells.append(found[number])
            else:
                cells[layout.target] = found[number]
            yield (layout.delimiter or " ").join(cells) + line[len(content) :]
