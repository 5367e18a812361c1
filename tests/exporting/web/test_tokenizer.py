"""The tokenizers in JavaScript give the same numbers as in Python."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from importlib.resources import files

import pytest
from javascript import RUNNERS

from recurra.data.encoders.running_text import RunningTextEncoder
from recurra.data.encoders.text import TextEncoder
from recurra.exporting.web.models.parts import describe_tokenizer

COUNT = 10_000
RANGES = [
    (0x20, 0x7E), (0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x3131, 0x318E),  # ASCII, Hangul syllables and letters
    (0x300, 0x36F), (0xA0, 0x24F), (0x391, 0x3C9), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x905, 0x939),
    (0x3041, 0x30FF), (0x4E00, 0x9FFF), (0x1F300, 0x1F64F), (0x1F1E6, 0x1F1FF), (0xFE00, 0xFE0F),
    (0x2000, 0x206F), (0x9, 0xD), (0x20, 0x20),
]  # fmt: skip
"""Characters of random texts: scripts, combining marks, emoji and their selectors, spaces and invisible characters."""
NAUGHTY = [
    "", " ", "\t\n", "\r\n", "\0", "a\0b", "\u200b", "\ufeff", "\u2028\u2029", "\x85", "\u3000", "\ud800", "a\udc00b",
    "[UNK]", "a[UNK]b", "[UNK][UNK]", "[[UNK]]", "[unk]", "[BOS]", "[BOS]2", "▁", "▁▁a", "a▁b ", " ▁ a",
    "👩‍👩‍👧‍👦", "🇰🇷🇺🇸", "👍🏽", "𝕳𝖊𝖑𝖑𝖔", "e\u0301", "\u212b", "ﬁ", "ﷺ", "\u1100\u1161\u11a8", "가\u11a8", "㈜㎏",
    "１２３①Ⅳ", "\u202eabc", "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓", "ภาษาไทย", "हिन्दी", "العَرَبِيَّة", "עִבְרִית", "ಠ_ಠ", "a_b-c", "1.5e-10", "don't",
    "x" * 300, "\\", "<script>alert(1)</script>", "'; DROP TABLE users; --", "__proto__", "constructor",
    "../../etc/passwd", "%s%n",
]  # fmt: skip
"""Strings that programs often mishandle."""


@cache
def reviews(name: str) -> list[str]:
    lines = (files("recurra.data") / "samples" / "nsmc" / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[1] for line in lines[1:]]


@cache
def texts() -> list[str]:
    """Reviews, naughty strings, and random mixtures of both and of characters of many scripts; a part decomposed."""
    chance = random.Random(0)
    found = reviews("test.tsv") + NAUGHTY
    while len(found) < COUNT:
        parts = [
            "".join(chr(chance.randint(*chance.choice(RANGES))) for _ in range(chance.randint(1, 6))),
            chance.choice(reviews("train.tsv"))[: chance.randint(1, 12)],
            chance.choice(NAUGHTY),
        ]
        text = "".join(chance.choices(parts, [4, 4, 1], k=chance.randint(1, 8)))
        found.append(unicodedata.normalize("NFD", text) if chance.random() < 0.2 else text)
    return found


ENCODERS = {
    "char": TextEncoder("char", 3000),
    "word": TextEncoder("word", 3000),
    "bpe": TextEncoder("bpe", 3000),
    "special tokens": TextEncoder("bpe", 3000, ("[BOS]", "[BOS]2")),
    "special tokens of characters": TextEncoder("char", 3000, ("<s>",)),
    "marks apart": TextEncoder("bpe", 3000, ("[BEGIN]", "[END]"), apart=True),
    "running text of characters": RunningTextEncoder("char", 3000),
    "running text of bytes": RunningTextEncoder("bpe", 1500),
}


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("name", ENCODERS)
def test_10000_texts_have_the_same_tokens(name, run):
    encoder = ENCODERS[name].fit([reviews("train.tsv")])
    config = describe_tokenizer(encoder)
    (found,) = run([{"call": "tokenize", "config": config, "inputs": texts()}])
    expected = [ids.tolist() for ids in encoder.encode(texts())]
    assert len(found) == COUNT
    assert [pair for pair in zip(texts(), found, expected, strict=True) if pair[1] != pair[2]][:3] == []
