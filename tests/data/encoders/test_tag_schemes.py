"""Schemes of spans: recognised, read, and what they allow."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.encoders.tag_schemes import OUT, Part, Scheme, find_scheme, parts_of, spans

SCHEMES = ["BIO", "IOB1", "IOE1", "IOE2", "IOBES"]


def read(tags: str) -> list[tuple[int, int, str]]:
    words = tags.split()
    parts = dict(zip(sorted(set(words)), parts_of(sorted(set(words))) or [], strict=True))
    return list(spans(parts[tag] for tag in words))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-X I-X O", [(1, 3, "X")]),
        ("B-X B-X I-Y", [(0, 1, "X"), (1, 2, "X"), (2, 3, "Y")]),
        ("I-X I-X O I-X B-X", [(0, 2, "X"), (3, 4, "X"), (4, 5, "X")]),
        ("B-X I-X E-X S-Y O", [(0, 3, "X"), (3, 4, "Y")]),
        ("B-X L-X U-Y O B-X", [(0, 2, "X"), (2, 3, "Y"), (4, 5, "X")]),
        ("X_B X_I - Y_B", [(0, 2, "X"), (3, 4, "Y")]),
        ("B M E S S", [(0, 3, ""), (3, 4, ""), (4, 5, "")]),
        ("E-X E-X I-X", [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]),
    ],
)
def test_spans(tags, expected):
    assert read(tags) == expected


@pytest.mark.parametrize(
    "tags", [["NOUN", "VERB"], ["O"], [], ["B-X", "NOUN"], ["S", "E"], ["N", "S", "B"], ["U-X", "O", "X"]]
)
def test_other_tags_mark_no_spans(tags):
    assert parts_of(tags) is None


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (["B-X I-X O", "O B-Y"], "BIO"),
        (["I-X I-X O I-Y", "O I-X B-X"], "IOB1"),
        (["B-X I-X E-X O S-Y"], "IOBES"),
        (["B-X L-X O U-Y"], "IOBES"),
        (["I-X E-X O E-Y E-X"], "IOE2"),
        (["I-X I-X O I-X E-X I-X"], "IOE1"),
        (["B-X B-X I-X B-X"] * 30 + ["O I-X"], "BIO"),  # one slip among many
        (["B-X E-X", "E-X B-X O"], None),
    ],
)
def test_scheme_is_recognised(sentences, expected):
    tags = sorted({tag for sentence in sentences for tag in sentence.split()})
    part = dict(zip(tags, parts_of(tags) or [], strict=True))
    found = find_scheme([[part[t] for t in s.split()] for s in sentences], {p.role for p in part.values()})
    assert (found.name if found else None) == expected


def write(lengths: list[tuple[int, str, int]], scheme: str) -> list[Part]:
    """Spans `(words outside before, type, words)` written in a scheme."""
    found: list[Part] = []
    for gap, kind, size in lengths:
        touches = gap == 0 and bool(found) and found[-1].type == kind
        roles = ["I"] * size
        if scheme == "BIO" or (scheme == "IOB1" and touches):
            roles[0] = "B"
        if scheme == "IOBES":
            roles = ["S"] if size == 1 else ["B", *["I"] * (size - 2), "E"]
        if scheme == "IOE2":
            roles[-1] = "E"
        if scheme == "IOE1" and touches:
            found[-1] = Part("E", kind)
        found += [OUT] * gap + [Part(role, kind) for role in roles]
    return found


sentences = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("XY"), st.integers(1, 3)), max_size=5)


@given(sentences, st.sampled_from(SCHEMES))
def test_spans_written_in_a_scheme_are_read_back_and_allowed(lengths, name):
    parts, scheme = write(lengths, name), Scheme(name)
    expected, at = [], 0
    for gap, kind, size in lengths:
        expected.append((at + gap, at + gap + size, kind))
        at += gap + size
    assert list(spans(parts)) == expected
    assert all(scheme.allows(a, b) for a, b in itertools.pairwise([OUT, *parts, OUT]))


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_allowed_is_what_can_be_written(name):
    """Every allowed sequence is the scheme's own writing of the spans in it."""
    roles = {"BIO": "BI", "IOB1": "BI", "IOE1": "IE", "IOE2": "IE", "IOBES": "BIES"}[name]
    parts = [OUT, *(Part(role, kind) for role in roles for kind in "XY")]
    scheme = Scheme(name)
    for sequence in itertools.product(parts, repeat=4):
        if all(scheme.allows(a, b) for a, b in itertools.pairwise([OUT, *sequence, OUT])):
            lengths, at = [], 0
            for start, end, kind in spans(sequence):
                lengths.append((start - at, kind, end - start))
                at = end
            assert write(lengths, name) == list(sequence[:at])


@pytest.mark.parametrize("name", SCHEMES)
def test_tables_hold_what_is_allowed(name):
    parts = [OUT, Part("B", "X"), Part("I", "X"), Part("E", "X"), Part("S", "X"), Part("I", "Y")]
    scheme = Scheme(name)
    pairs, begin, end = scheme.table(parts)
    assert pairs.tolist() == [[scheme.allows(a, b) for b in parts] for a in parts]
    assert begin.tolist() == [scheme.allows(OUT, part) for part in parts]
    assert end.tolist() == [scheme.allows(part, OUT) for part in parts]
    assert [table.shape for table in scheme.table([])] == [(0, 0), (0,), (0,)]


B, IN, E, S, J = Part("B", "X"), Part("I", "X"), Part("E", "X"), Part("S", "X"), Part("I", "Y")


@pytest.mark.parametrize(
    ("name", "allowed", "forbidden"),
    [
        ("BIO", [(OUT, OUT), (OUT, B), (B, B), (B, IN), (IN, IN), (IN, B), (IN, OUT)], [(OUT, IN), (B, J), (IN, J)]),
        ("IOB1", [(OUT, IN), (IN, IN), (IN, J), (IN, B), (B, B), (IN, OUT)], [(OUT, B), (J, B)]),
        ("IOE2", [(OUT, IN), (OUT, E), (IN, IN), (IN, E), (E, IN), (E, E), (E, OUT)], [(IN, OUT), (IN, J), (J, E)]),
        ("IOE1", [(OUT, IN), (IN, OUT), (IN, J), (IN, E), (E, IN), (E, E)], [(E, OUT), (E, J)]),
        (
            "IOBES",
            [
                (OUT, OUT),
                (OUT, B),
                (OUT, S),
                (B, IN),
                (B, E),
                (IN, IN),
                (IN, E),
                (E, OUT),
                (E, B),
                (E, S),
                (S, B),
                (S, OUT),
            ],
            [
                (OUT, IN),
                (OUT, E),
                (B, B),
                (B, OUT),
                (B, J),
                (IN, OUT),
                (IN, S),
                (E, IN),
                (E, E),
                (S, E),
                (S, IN),
                (J, E),
            ],
        ),
    ],
)
def test_transitions_of_a_scheme(name, allowed, forbidden):
    scheme = Scheme(name)
    assert [pair for pair in allowed if not scheme.allows(*pair)] == []
    assert [pair for pair in forbidden if scheme.allows(*pair)] == []


@pytest.mark.parametrize(("wrong", "found"), [(1, "BIO"), (2, None)])
def test_a_twentieth_of_the_transitions_may_be_wrong(wrong, found):
    # a span of 3 words has 4 transitions, one with an I after the outside counts two of which one is wrong
    sentences = [[B, IN, IN]] * 4 + [[B, IN]] + [[IN]] * wrong + [[OUT, OUT]] * 9
    scheme = find_scheme(sentences, {"B", "I", "O"})
    assert (scheme.name if scheme else None) == found


def test_the_exact_share_that_is_tolerated():
    good = [[B]] * 19  # 2 transitions each
    assert find_scheme([*good, [IN]], {"B", "I"}).name == "BIO"  # 1 of 40
    assert find_scheme([*good[:9], [IN]], {"B", "I"}).name == "BIO"  # 1 of 20
    assert find_scheme([*good[:8], [IN]], {"B", "I"}) is None  # 1 of 18


def test_tags_with_marks_in_front_or_behind():
    assert parts_of(["O", "-", "I-a-b", "U_c"]) == [OUT, OUT, Part("I", "a-b"), Part("S", "c")]
    assert parts_of(["a-b_B", "O"]) == [Part("B", "a-b"), OUT]
    assert parts_of(["B", "L", "M"]) == [Part("B", ""), Part("E", ""), Part("I", "")]
    assert parts_of(["B-\n"]) == [Part("B", "\n")]
    assert parts_of(["B-"]) is None


@pytest.mark.parametrize("value", [Scheme("BIO")], ids=lambda value: type(value).__name__)
def test_schemes_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
