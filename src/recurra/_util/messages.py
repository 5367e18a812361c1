"""Formats names, counts and cells for summaries and error messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .similar import similar_names


def plain_name(name: str) -> str:
    """Normalises a column name for comparison: composed Hangul, single spaces, no byte order mark."""
    return unicodedata.normalize("NFC", " ".join(name.replace("\ufeff", "").split()))


def hint(word: str, known: Sequence[str]) -> str:
    """Returns the end of a message that suggests the most similar known word, or nothing if none is similar."""
    similar = similar_names(word, known)
    return f', did you mean "{similar[0]}"?' if similar else ""


def listed(names: Sequence[str], limit: int) -> str:
    """Joins names with commas; beyond the limit, adds their number."""
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def counted(number: int, thing: str) -> str:
    """Returns a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def readable(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """Returns a number with a fixed number of decimals, or in scientific notation if it is too small or too large.

    Example:
        >>> readable(0.25), readable(1234.5), readable(8.36e-19), readable(-2e30, signed=True)
        ('0.2500', '1,234.5000', '8.36e-19', '-2e+30')
    """
    sign = "+" if signed else ""
    if value == 0 or 10.0 ** (1 - digits) <= abs(value) < 1e9 or value != value:
        return f"{value:{sign},.{digits}f}"
    return f"{value:{sign}.{digits}g}"


def shortened(text: str) -> str:
    r"""Returns the beginning of a text in quotes, on one line; invisible characters are written as escapes.

    Example:
        >>> print(shortened("\ufeff2024-01-01"))
        "\ufeff2024-01-01"
    """
    text = re.sub(r"[\r\n]+", " ", text[:61])
    text = "".join(c.encode("unicode_escape").decode() if _is_invisible(c) else c for c in text)
    return f'"{text}"' if len(text) <= 60 else f'"{text[:60]}…"'


def _is_invisible(character: str) -> bool:
    """Returns whether a character is a control or format character, or a space other than the usual one."""
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cf") or (kind == "Zs" and character != " ")
