"""Prose avoids the phrases that docs/contributing/style.md excludes, and no line is wider than 120 columns."""

from __future__ import annotations

import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDTH = 120
AVOIDED = re.compile(
    r"\b(gone on with|goes on with|taken up again|take up again|found out|finds? out whether|at hand|nobody|who wants"
    r"|foretold|foretells?|goes past|go past|of (?:its|their|his) own|this house|the house|roofs?|kin|stood"
    r"|stands?(?! for\b)"
    r"|lies|lay|(?<![Nn]o )such(?! as\b)|whatever|seen through|rests? on|rooms?)\b"
    r"|글이 든 열|끝에 붙은 게이트|찍기 수준|일하는 셀"
)
PAGES = sorted(
    path
    for folder in (".", "docs", ".github", "csrc", "tests")
    for path in (ROOT.glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
)
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def width(line: str) -> int:
    """Columns of a line: wide characters, such as Hangul, take two, combining ones none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in line)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of prose by number: of Python, comments and strings of several words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string.strip()):
            yield from enumerate(token.string.splitlines(), token.start[0])


def is_quoted(line: str) -> bool:
    """Returns whether a line shows what to avoid: a row of the table in the style guide."""
    return line.startswith("| ") and line.count("|") == 3


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_phrases(path):
    style = path.name == "style.md"
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for number, line in prose(path)
        if not (style and is_quoted(line))
        for match in AVOIDED.finditer(line)
    ]
    assert found == []


def wide_lines(path: Path) -> Iterator[int]:
    """Numbers of the lines that are too wide; in Markdown, lines that cannot be wrapped are exempt.

    Those are rows of tables, headings, pictures, and output in blocks of the language `text`.
    """
    block = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if fence:
            block = fence[1] if block is None else None
        line = re.sub(r"  # (type: ignore|noqa).*", "", line)
        unwrappable = path.suffix == ".md" and (line.lstrip().startswith(("|", "#", "![")) or block == "text")
        if width(line) > WIDTH and not unwrappable:
            yield number


@pytest.mark.parametrize("folder", ["pages", "src", "tests", "benchmarks", "examples", "docs"])
def test_lines(folder):
    paths = PAGES if folder == "pages" else sorted((ROOT / folder).rglob("*.py"))
    found = [f"{path.relative_to(ROOT)}:{number}" for path in paths for number in wide_lines(path)]
    assert found == []


def test_the_check_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.py").write_text('"""What lies there."""\nlies = "lies"  # nobody\n')
    found = [(number, match[0]) for number, line in prose(tmp_path / "a.py") for match in AVOIDED.finditer(line)]
    assert found == [(1, "lies"), (2, "nobody")]
    wide = "a" * (WIDTH + 1)
    (tmp_path / "a.md").write_text(f"{wide}\n| {wide} |\n{'글' * 61}\n```text\n{wide}\n```\n{wide[1:]}\n")
    assert list(wide_lines(tmp_path / "a.md")) == [1, 3]
