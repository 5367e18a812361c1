"""Finds the translation of a text that contains values.

A catalogue of gettext contains templates such as `cell is one of {}, not {}`. A text may fit several templates, and its
values may be sentences with templates themselves. The translation that uses the most of the catalogue is taken.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "locale"
SEPARATORS = ("\n", "; ", "  ", ": ", ", ")
"""A text can also be translated in parts between these."""
SURE, LEAST = 6, 3
"""Letters of a template that fits any part of a text, and any whole text. A shorter one, such as `{} of {}`, fits
numbers and single words only: it would also fit what the user wrote."""
NUMBER = re.compile(r"[\d,.]+")


@dataclass(frozen=True)
class Template:
    """A text with places for values.

    Attributes:
        literals: the texts before, between and after the places.
        numbers: whether each place is for a number, as `{:,}` is.
        translation: in the syntax of `str.format`.
        follows: whether the text continues a sentence, as `, did you mean "{}"?` does: anything may precede it.
        precedes: whether the text begins a sentence that continues: anything may follow it.
    """

    literals: tuple[str, ...]
    numbers: tuple[bool, ...]
    translation: str
    follows: bool
    precedes: bool

    @classmethod
    def of(cls, source: str, translation: str) -> Template:
        """Reads an entry of a catalogue."""
        literals, numbers = [""], list[bool]()
        for literal, field, kind, _ in Formatter().parse(source):
            literals[-1] += literal
            if field is not None:
                literals.append("")
                numbers.append(kind == ",")
        follows, precedes = literals[0][:1] in [*",;:.) \n"], literals[-1][-1:] in [*"( "]
        literals, numbers = ["", *literals][not follows :], [False, *numbers][not follows :]
        if precedes:
            literals, numbers = [*literals, ""], [*numbers, False]
        return cls(tuple(literals), tuple(numbers), translation, follows, precedes)

    @property
    def letters(self) -> int:
        """The number of letters outside of the places."""
        return sum(map(str.isalpha, "".join(self.literals)))

    @property
    def size(self) -> int:
        """The number of characters outside of the places, without spaces."""
        return _size("".join(self.literals))

    def values(self, text: str) -> list[str] | None:
        """Returns the values in a text; None if it does not fit the template."""
        first, *inner, last = self.literals
        at, end = len(first), len(text) - len(last)
        if at > end or not (text.startswith(first) and text.endswith(last)):
            return None
        found, following = list[str](), 0
        for literal in inner:
            if not literal:  # of places without text between them, the first has the value
                following += 1
                continue
            place = text.find(literal, at, end)
            if place < 0:
                return None
            found += [text[at:place], *[""] * following]
            at, following = place + len(literal), 0
        found += [text[at:end], *[""] * following]
        fits = all(NUMBER.fullmatch(value) for value, is_number in zip(found, self.numbers, strict=True) if is_number)
        return found if fits else None

    def is_sure(self, values: list[str], letters: int) -> bool:
        """Returns whether a text with these values was surely made with this template.

        Args:
            values: the values.
            letters: of a template that needs no other sign.
        """
        own = values[self.follows : len(values) - self.precedes]
        return self.letters >= letters or any(self.numbers) or not any(" " in value for value in own)

    def fill(self, values: list[str]) -> str:
        """Returns the translation with values."""
        before, after = values[0] if self.follows else "", values[-1] if self.precedes else ""
        return before + self.translation.format(*values[self.follows : len(values) - self.precedes]) + after


class Found(NamedTuple):
    """A translation of a text, and how many characters of it the catalogue contains."""

    size: int
    text: str


class Catalogue:
    """The translations into one language.

    Args:
        entries: templates and their translations. A text that is valid in one context only begins with its name and
            the character 4, as in files of gettext.
    """

    def __init__(self, entries: dict[str, str]) -> None:
        self._texts, self._templates = dict[str, str](), list[Template]()
        for source, translation in entries.items():
            template = Template.of(source, translation)
            if len(template.literals) == 1:
                self._texts[template.literals[0]] = template.fill([])
            else:
                self._templates.append(template)
        self._best = lru_cache(4096)(self._find_best)
        self._beginning_with = cache(self._find)

    @classmethod
    def of(cls, language: str) -> Catalogue:
        """Reads the catalogue of a language from the package."""
        with (FOLDER / language / "LC_MESSAGES" / "recurra.mo").open("rb") as file:
            return cls(_File(file).entries())

    def translate(self, text: str, context: str = "") -> str:
        """Returns the translation of a text; the text itself without one. See `recurra._util.language.translated`."""
        return self._texts.get(f"{context}\x04{text}") or self._best(text, not context).text

    def _find(self, word: str) -> list[Template]:
        """Returns the templates that a text with this first word may fit."""
        return [t for t in self._templates if not t.literals[0] or _may_begin(t.literals[0], word)]

    def _find_best(self, text: str, is_whole: bool) -> Found:
        """Returns the translation that uses the most of the catalogue.

        Args:
            text: a text, or a part of one.
            is_whole: whether the text is surely one of the code.
        """
        if found := self._texts.get(text):
            return Found(_size(text), found)
        if not text or (text[0] == text[-1] and text[0] in "\"'"):  # what the user wrote is in quotes
            return Found(0, text)
        return max(self._candidates(text, is_whole), key=lambda found: found.size)

    def _candidates(self, text: str, is_whole: bool) -> Iterator[Found]:
        yield Found(0, text)
        for separator in SEPARATORS:
            if separator in text:
                parts = [self._best(part, False) for part in text.split(separator)]
                size = _size(separator) * (len(parts) - 1) + sum(part.size for part in parts)
                yield Found(size, separator.join(part.text for part in parts))
        for template in self._beginning_with(text.partition(" ")[0]):
            values = template.values(text)
            least = LEAST if is_whole else SURE
            if values is not None and text not in values and template.is_sure(values, least):
                parts = [self._best(value, False) for value in values]
                size = template.size + sum(part.size for part in parts)
                yield Found(size, template.fill([part.text for part in parts]))


def _size(text: str) -> int:
    """Returns the number of characters of a text without spaces."""
    return len(text) - text.count(" ")


def _may_begin(literal: str, word: str) -> bool:
    """Returns whether a text that begins with a literal may have this first word."""
    first, space, _ = literal.partition(" ")
    return word == first if space else word.startswith(first)


class _File(gettext.GNUTranslations):
    """A compiled catalogue whose entries can be listed."""

    _catalog: dict[str, str]

    def entries(self) -> dict[str, str]:
        return {source: text for source, text in self._catalog.items() if source and isinstance(source, str)}
