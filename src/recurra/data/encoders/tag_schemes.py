"""Tags that mark spans of words (BIO, IOBES, …): detects the scheme, its spans and its allowed transitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

OUTSIDE = ("O", "-")
TOLERATED = 0.05
"""Maximum share of transitions that may violate a scheme for it to be detected."""

_ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
_PREFIX = re.compile(r"(?P<role>[BIMELSU])[-_](?P<type>.+)", re.DOTALL)
_SUFFIX = re.compile(r"(?P<type>.+)[-_](?P<role>[BIMELSU])", re.DOTALL)


class Part(NamedTuple):
    """The role of a word in a span, and the type of the span.

    Attributes:
        role: `"B"` (begins a span), `"I"` (inside), `"E"` (ends a span), `"S"` (single-word span) or `"O"` (outside).
        type: type of the span; empty outside.
    """

    role: str
    type: str


OUT = Part("O", "")


def parts_of(tags: Sequence[str]) -> list[Part] | None:
    """Parses the distinct tags of a data set as marks of spans; returns None if they are not marks of spans.

    Supported are prefixes and suffixes (`B-PER`, `PER_B`) with the letters of BIO, IOBES, BILOU and BMES, and these
    letters without a type. `O` or `-` is outside.

    Example:
        >>> parts_of(["O", "B-PER", "I-PER"])
        [Part(role='O', type=''), Part(role='B', type='PER'), Part(role='I', type='PER')]
        >>> parts_of(["NOUN", "VERB"]) is None
        True
    """
    inside = [tag for tag in tags if tag not in OUTSIDE]
    if not inside:
        return None
    for pattern in (_PREFIX, _SUFFIX):
        matches = {tag: pattern.fullmatch(tag) for tag in inside}
        if all(matches.values()):
            found = {tag: Part(_ROLES[m["role"]], m["type"]) for tag, m in matches.items() if m}
            break
    else:
        if "B" not in inside or not all(tag in _ROLES for tag in inside):
            return None
        found = {tag: Part(_ROLES[tag], "") for tag in inside}
    return [found.get(tag, OUT) for tag in tags]


def spans(parts: Iterable[Part]) -> Iterator[tuple[int, int, str]]:
    """Yields the spans of a sentence, `(first, last + 1, type)`, by the rules of the CoNLL-2000 and 2003 evaluation.

    Every sequence of tags is valid: a span also begins at an `I` that follows another type or the outside.

    Example:
        >>> list(spans([Part("B", "PER"), Part("I", "PER"), OUT, Part("I", "LOC")]))
        [(0, 2, 'PER'), (3, 4, 'LOC')]
    """
    start, before = 0, OUT
    for i, part in enumerate([*parts, OUT]):
        if before.role != "O" and _ends(before, part):
            yield start, i, before.type
        if part.role != "O" and (before.role == "O" or _ends(before, part)):
            start = i
        before = part


def _ends(before: Part, part: Part) -> bool:
    """Returns whether a span that covers the previous word ends at this word."""
    return before.role in ("E", "S") or part.role in ("B", "S", "O") or part.type != before.type


@dataclass(frozen=True)
class Scheme:
    """The transitions between tags that a scheme allows.

    Attributes:
        name: `"BIO"` (every span begins with B), `"IOB1"` (B only between two adjacent spans of the same type),
            `"IOE1"` (the same with E at the end), `"IOE2"` (every span ends with E) or `"IOBES"`.
    """

    name: str

    def allows(self, before: Part, part: Part) -> bool:
        """Returns whether `part` may follow `before`; the ends of a sentence count as outside."""
        same = before.type == part.type
        inside = before.role in ("B", "I")  # the span of the previous word may continue
        if self.name == "BIO":
            return part.role != "I" or (inside and same)
        if self.name == "IOB1":
            return part.role != "B" or (before.role != "O" and same)
        if self.name == "IOE2":
            return before.role != "I" or (part.role != "O" and same)
        if self.name == "IOE1":
            return before.role != "E" or (part.role != "O" and same)
        return (part.role in ("I", "E") and same) if inside else part.role in ("O", "B", "S")

    def table(self, parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns masks of allowed transitions: between tags `(tags, tags)`, at the beginning `(tags,)`, at the end."""
        pairs = np.array([[self.allows(a, b) for b in parts] for a in parts], bool).reshape(len(parts), len(parts))
        return pairs, np.array([self.allows(OUT, p) for p in parts]), np.array([self.allows(p, OUT) for p in parts])


def find_scheme(sentences: Iterable[Sequence[Part]], roles: set[str]) -> Scheme | None:
    """Returns the scheme that the fewest transitions contradict; None if more than `TOLERATED` of them do.

    Args:
        sentences: tags of the training data.
        roles: the roles that occur in them.

    Example:
        >>> find_scheme([[Part("I", "PER"), Part("I", "PER"), OUT]], {"I", "O"}).name
        'IOB1'
    """
    at_end = ["IOBES"] if roles & {"B", "S"} else ["IOE2", "IOE1"]
    names = at_end if roles & {"E", "S"} else ["BIO", "IOB1"]
    schemes = [Scheme(name) for name in names]
    broken, total = [0] * len(schemes), 0
    counts: dict[tuple[Part, Part], int] = {}
    for sentence in sentences:
        for pair in pairwise([OUT, *sentence, OUT]):
            counts[pair] = counts.get(pair, 0) + 1
    for (before, part), count in counts.items():
        if before.role == part.role == "O":
            continue  # no information
        total += count
        for i, scheme in enumerate(schemes):
            broken[i] += 0 if scheme.allows(before, part) else count
    best = min(range(len(schemes)), key=broken.__getitem__)
    return schemes[best] if broken[best] <= TOLERATED * total else None
