"""Damages files at random, but always in the same way for the same generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

TOKENS: tuple[bytes, ...] = (
    *(
        b"",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\n\n",
        b",",
        b";",
        b"\t",
        b'"',
        b"'",
        b":",
        b"@",
        b"#",
        b"?",
    ),
    *(b"nan", b"NaN", b"inf", b"-inf", b"1e999", b"-0", b"1e-320", b"0x10", b"1,5", b"1.234,5", b"NULL", b"NA"),
    *(b"9" * 40, b"-1", b"2147483648", b"18446744073709551616", b"99999999999", b"2024-02-30", b"24:00", b"00/00/0000"),
    *(b"\xb0\xa1", "가".encode(), "\u202e".encode(), "😀".encode(), b"\x1b[2J", b"<script>", b"[" * 200, b"{" * 200),
)
"""Pieces of text that readers often get wrong."""

NUMBERS: tuple[bytes, ...] = tuple(
    value.to_bytes(size, "little") for size in (2, 4, 8) for value in (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
)
"""Sizes and counts as binary headers hold them."""


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    del data[start : start + rng.randint(1, 16)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = data[start : start + rng.randint(1, 64)] * rng.randint(1, 3)


def _insert(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = rng.choice(TOKENS)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    start, piece = _place(data, rng), rng.choice(TOKENS + NUMBERS)
    data[start : start + len(piece)] = piece


def _replace_cell(data: bytearray, rng: random.Random) -> None:
    """Replaces what is between two separators."""
    start = _place(data, rng)
    ends = [place for place in (data.find(mark, start + 1) for mark in (b",", b"\t", b"\n", b":", b'"')) if place > 0]
    data[start : min(ends, default=len(data))] = rng.choice(TOKENS)


def _swap_lines(data: bytearray, rng: random.Random) -> None:
    lines = bytes(data).split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    data[:] = b"\n".join(lines)


def _empty(data: bytearray, rng: random.Random) -> None:
    data.clear()


EDITS: tuple[tuple[int, Callable[[bytearray, random.Random], None]], ...] = (
    *((8, _flip_bit), (3, _cut), (4, _remove), (3, _repeat), (6, _insert), (6, _overwrite), (6, _replace_cell)),
    *((2, _swap_lines), (1, _empty)),
)
"""Ways to damage bytes, with how often each is drawn."""


def _place(data: bytearray, rng: random.Random) -> int:
    """A position: headers and ends are more fragile than the middle."""
    size = len(data)
    if not size:
        return 0
    end = rng.choice((size, size, min(size, 64), min(size, 400)))
    return rng.randrange(end) if rng.random() < 0.9 else size - 1 - rng.randrange(min(size, 64))


def damage(content: bytes, rng: random.Random) -> bytes:
    """Changes bytes in one to four places.

    Example:
        >>> damage(b"a,b", random.Random(0)) == damage(b"a,b", random.Random(0))
        True
    """
    data = bytearray(content)
    weights, edits = zip(*EDITS, strict=True)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choices(edits, weights)[0](data, rng)
    return bytes(data)


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 20000, 2**31, 2**63, 10**30, 0.5, 1e308, float("nan"), float("inf")),
    *("", "a", "../../etc/passwd", "가" * 50, [], {}, [[]], [None], {"a": 1}, "__class__", "lstm", "\0"),
)
"""Values that may replace any part of a JSON file."""


def damage_json(content: bytes, rng: random.Random) -> bytes:
    """Replaces, removes or adds a value somewhere in a JSON file; damages bytes if it is none."""
    try:
        tree = json.loads(content)
    except ValueError:
        return damage(content, rng)
    places: list[tuple[Any, Any]] = []
    _collect(tree, places)
    if not places:
        return json.dumps(rng.choice(VALUES)).encode()
    holder, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[rng.choice(("extra", "", "params", str(key) + "2"))] = holder[key]
    elif kind < 0.35 and isinstance(holder[key], int) and not isinstance(holder[key], bool):
        holder[key] += rng.choice((-1, 1, 10))
    elif kind < 0.4:
        return content.replace(
            json.dumps(key).encode(), json.dumps(key).encode() + b":1," + json.dumps(key).encode(), 1
        )
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode()


def _collect(tree: Any, places: list[tuple[Any, Any]]) -> None:
    """Every value of a JSON tree as its holder and its key; long lists by their ends only."""
    if isinstance(tree, dict):
        keys: list[Any] = list(tree)
    elif isinstance(tree, list):
        keys = list(range(len(tree)))[:3] + list(range(len(tree)))[3:][-1:]
    else:
        return
    for key in keys:
        places.append((tree, key))
        _collect(tree[key], places)


def damage_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Changes the JSON header, and its declared length sometimes; or bytes anywhere."""
    if rng.random() < 0.4 or len(content) < 8:
        return damage(content, rng)
    size = int.from_bytes(content[:8], "little")
    header = damage_json(content[8 : 8 + size], rng)
    length = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**31, 2**63))
    return length.to_bytes(8, "little") + header + content[8 + size :]
