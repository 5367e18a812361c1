"""A text may be cut anywhere: tokens of the committed parts and of the rest are the tokens of the whole text."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recurra.data.encoders.running_text import RunningTextEncoder
from recurra.data.encoders.text import TextEncoder
from recurra.tasks.serving.service import InputError
from recurra.tasks.serving.text import LONGEST_REST, TextSteps, _begins, padded

TEXTS = [
    "좋은 영화 good film, so good!",
    "나쁜 영화\n\n  bad film 'tis  é ㅋㅋ",
    "it's [UNK] 각 a\u0301 😀👩‍👩‍👧 x\u0338y",
] * 3
PIECES = [
    *["a", "b", "é", "e\u0301", "\u0301", "\u0338", "\u0323", "각", "가", "\u11a8", "\u1100", "\u1161", "한국어"],
    *[" ", "  ", "\n", "\t", "\u3000", "\xa0", "\x1c", "\u200b", "▁", "'s", "'", "good film", "영화", "3.5", "!"],
    *[
        "[",
        "[U",
        "[UNK]",
        "NK]",
        "]",
        "[[UNK",
        "[BEGIN]",
        "[END]",
        "😀",
        "👩‍👩‍👧",
        "\ufe0f",
        "🇰🇷",
        "\U00016d63",
        "\U00016d67",
    ],
    *["क", "\u093c", "\u09c7", "\u09be", "\ud83d", "\ude00", "ß", "ﬁ", "\u0344", "\u1e9b\u0323", "\x00"],
]


def steps_of(kind: str) -> TextSteps:
    made, tokens = kind.split("-")
    if made == "text":
        return TextSteps(TextEncoder(tokens, 300).fit([TEXTS]))
    return TextSteps(RunningTextEncoder(tokens, 400).fit([TEXTS]))


KINDS = ["text-char", "text-word", "text-bpe", "running-char", "running-bpe"]
MADE = {kind: steps_of(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=4).map("".join)))
def test_any_cut(kind, parts):
    steps = MADE[kind]
    rest, ids = "", []
    for i, part in enumerate(parts):
        committed, rest = steps.split(rest + steps.parse([part]))
        first, last = steps.encoder.encode([committed, rest])
        ids.extend(first.tolist())
        whole = "".join(parts[: i + 1])
        assert [*ids, *last.tolist()] == steps.encoder.encode([whole])[0].tolist(), (whole, committed, rest)
        assert bool(rest) == bool(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_is_short(kind):
    steps = MADE[kind]
    assert steps.split("one two three") == (("one two thre", "e") if kind.endswith("char") else ("one two", " three"))
    assert steps.split("") == ("", "")


def test_words_are_cut_between_single_spaces():
    split = MADE["text-word"].split
    assert split("one two  three ") == ("one", " two  three ")
    assert split("one two \u0301") == ("one", " two \u0301")
    assert split(" one") == ("", " one")
    assert split("one\n two") == ("", "one\n two")


def test_characters_that_join_stay_together():
    split = MADE["running-char"].split
    assert split("각\u1100\u1161") == ("각", "\u1100\u1161")
    assert split("ae\u0301") == ("a", "e\u0301")
    assert MADE["text-char"].split("a[UNK") == ("a", "[UNK")
    assert MADE["text-char"].split("a[UNK]b") == ("a[UNK]", "b")


@pytest.mark.slow
def test_no_character_that_begins_joins_the_one_before():
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1)]
    second = {chr(int(part[1], 16)) for part in parts if len(part) == 2 and not part[0].startswith("<")}
    assert len(second) > 50
    joining = {c for c in second if not unicodedata.is_normalized("NFD", c) or _begins(c)}
    assert not {c for c in joining if unicodedata.normalize("NFC", c) == c}
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    assert not any(_begins(c) for c in marks)
    assert all(_begins(c) for c in "a 각あ漢😀ß\n")


def test_a_long_rest_is_an_error_of_its_sequence():
    steps = MADE["text-bpe"]
    found = steps.encode(["", "a b"], ["x" * (LONGEST_REST + 1), " c"])
    assert list(found.errors) == [0]
    assert "2,000 characters without a space" in found.errors[0]
    assert found.rests[1] == " c"
    assert not steps.encode([""], ["x" * LONGEST_REST]).errors


@pytest.mark.parametrize(
    ("inputs", "path"), [("text", ("inputs",)), (["a", 3], ("inputs", 1)), ([None], ("inputs", 0))]
)
def test_inputs_that_are_no_texts(inputs, path):
    with pytest.raises(InputError) as error:
        MADE["text-bpe"].parse(inputs)
    assert error.value.path == path


def test_padded():
    values, lengths = padded([np.array([3, 4]), np.array([], int), np.array([5])])
    assert values.tolist() == [[3, 4], [0, 0], [5, 0]]
    assert lengths.tolist() == [2, 0, 1]
    assert padded([])[0].shape == (0, 0)
