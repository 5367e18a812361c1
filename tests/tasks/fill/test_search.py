"""Texts with blanks, and the search for what stands in them, on a network whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import DataError, UsageError
from recurra.tasks.fill import search
from recurra.tasks.fill.blanks import BlankEncoder, parse, word_masks
from recurra.tasks.fill.search import Filler, Puzzle, Question, lay_out, solve

WORDS = ["the cat drinks milk.", "a dog eats bread <unk> now"] * 3


@pytest.fixture(scope="module", params=["word", "bpe", "char"])
def encoder(request):
    return BlankEncoder(request.param, 60).fit([WORDS])


@pytest.fixture(scope="module")
def words():
    return BlankEncoder("word").fit([WORDS])


# texts


def test_white_space_of_any_kind_is_one_space(encoder):
    found = encoder.encode(["the cat", "  the\t\n cat\u3000", "the  cat"])
    assert found[0].tolist() == found[1].tolist() == found[2].tolist()


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_word_taken_out_is_one_unknown_token(kind):
    encoder = BlankEncoder(kind, 200).fit([WORDS])
    [marked, plain] = encoder.encode(["a dog <unk> bread", "a dog bread"])
    assert (marked == 0).sum() == 1
    assert marked[marked > 0].tolist() == plain.tolist()
    assert "unk" not in "".join(encoder.inventory()[1:])


@given(st.data())
@settings(max_examples=50)
def test_what_was_cut_out_fits_back(encoder, data):
    """A text with the words in its blanks has the tokens of the text that was never cut."""
    vocabulary = ["the", "cat", "drinks", "milk", "a", "dog", "eats", "bread", "now"]
    chosen = data.draw(st.lists(st.sampled_from(vocabulary), min_size=2, max_size=6))
    cut = data.draw(st.sets(st.integers(0, len(chosen) - 1), min_size=1, max_size=len(chosen) - 1))
    mark = data.draw(st.sampled_from(["[ ]", "[]", "[   ]", "___", "________"]))
    blanked = parse(" ".join(mark if i in cut else word for i, word in enumerate(chosen)), encoder)
    missing = [chosen[i] for i in sorted(cut)]
    assert blanked.put(missing) == " ".join(chosen)
    fills = [encoder.encode_part(word, glued) for word, glued in zip(missing, blanked.glued, strict=True)]
    laid, places = lay_out(blanked, fills)
    assert laid.tokens.tolist() == encoder.encode([" ".join(chosen)])[0].tolist()
    for place, fill in zip(places, fills, strict=True):
        assert laid.tokens[place].tolist() == fill.tolist()


def test_a_blank_inside_a_word():
    encoder = BlankEncoder("bpe", 60).fit([WORDS])
    blanked = parse("the dr[ ]s milk", encoder)
    assert blanked.glued == (True,)
    laid, _ = lay_out(blanked, [encoder.encode_part("ink", True)])
    assert encoder.decode(laid.tokens.tolist()) == "the drinks milk"
    assert lay_out(blanked, [2])[0].kinds == (1, 1)
    assert lay_out(parse("the [ ] milk", encoder), [2])[0].kinds == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("no blank", "no blank in 'no blank'"),
        ("[x] __ [", "no blank"),
        ("[ ]", "nothing but blanks"),
        ("[ ] ___ []", "nothing but blanks"),
        ("a " + "[ ] " * 21, "21 blanks; at most 20"),
    ],
)
def test_what_is_refused(words, text, message):
    with pytest.raises(DataError, match=message) as error:
        parse(text, words, 7)
    assert error.value.row == 7


def test_masks(encoder):
    pieces, masks = encoder.inventory(), word_masks(encoder, marks=False)
    assert masks[:, 0].isinf().all()
    for mark in (".", "▁", " "):
        if mark in pieces:
            assert masks[:, pieces.index(mark)].isinf().all()
    if "." in pieces:
        assert not word_masks(encoder, marks=True)[:, pieces.index(".")].isinf().all()
    begins = [piece for piece, mask in zip(pieces, masks[0], strict=True) if mask == 0]
    assert begins
    if encoder.tokens == "bpe":
        assert all(piece.startswith("▁") for piece in begins)
        assert not any(piece.startswith("▁") for piece, mask in zip(pieces, masks[1], strict=True) if mask == 0)


# the search


class Chain:
    """Scores that follow from the neighbours alone: a table for each side."""

    def __init__(self, tokens: int, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        self.before, self.after = (torch.randn(tokens, tokens, generator=random) * 2 for _ in range(2))
        self.absent = torch.zeros(tokens).index_fill(0, torch.tensor(0), -torch.inf)

    def __call__(self, tokens, lengths, rows, steps):
        padded = torch.nn.functional.pad(tokens, (1, 1)).long()
        return self.before[padded[rows, steps]] + self.after[padded[rows, steps + 2]] + self.absent


def test_a_wide_beam_finds_the_best_answer_of_all():
    scores, masks = Chain(5), torch.zeros(2, 5)
    start = Puzzle(np.array([3, 0, 0, 2, 0], np.int32), (1, 2, 4), (0, 0, 0))
    [found] = solve([start], scores, masks, beam=64)
    assert len(found) == 4**3
    assert sum(np.exp(p.score) for p in found) == pytest.approx(1, abs=1e-5)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    # whatever the order in which the steps were found, each answer occurs once
    assert len({tuple(p.tokens) for p in found}) == 4**3
    assert all((p.tokens[[0, 3]] == [3, 2]).all() for p in found)


def test_puzzles_do_not_disturb_each_other():
    scores, masks = Chain(6), torch.zeros(2, 6)
    puzzles = [Puzzle(np.array([4, 0, 1, 0][:n], np.int32), (1, 3)[: n - 2], (0, 0)[: n - 2]) for n in (3, 4, 3, 2)]
    together = solve(puzzles, scores, masks, beam=4)
    assert together[3] == [puzzles[3]]  # nothing is open
    for puzzle, found in zip(puzzles, together, strict=True):
        [alone] = solve([puzzle], scores, masks, beam=4)
        assert [p.tokens.tolist() for p in found] == [p.tokens.tolist() for p in alone]
        np.testing.assert_allclose([p.score for p in found], [p.score for p in alone], rtol=1e-5)


def test_the_joint_answer_is_better_than_each_blank_alone():
    """b b and c c go together; alone the middle fits a bit better everywhere."""
    encoder = BlankEncoder("word").fit([["a b c d x"] * 2])
    number = {word: encoder.encode([word])[0][0] for word in "abcdx"}

    def scores(tokens, lengths, rows, steps):
        found = torch.full((len(rows), encoder.input_size), -20.0)
        for at, (row, step) in enumerate(zip(rows.tolist(), steps.tolist(), strict=True)):
            other = int(tokens[row, 3 - step])
            if other == 0:  # both open
                found[at, number["b"]], found[at, number["c"]] = (0.0, -0.3)
            elif other == number["b"]:
                found[at, [number[w] for w in "abcd"]] = 0.0
            else:
                found[at, number["c"]] = 0.0
        found[:, 0] = -torch.inf
        return found

    filler = Filler(encoder, scores, word_masks(encoder, False), np.ones(1))
    [filling] = filler.fill([parse("x [ ] [ ] x", encoder)], top=2)
    assert filling.text == "x c c x"
    assert filling.probability == pytest.approx(torch.tensor([0.0, -0.3]).softmax(0)[1].item(), rel=1e-4)
    assert [blank[0].word for blank in filling.blanks] == ["c", "c"]
    assert [len(blank) for blank in filling.blanks] == [2, 2]


def test_words_of_all_sizes_compete():
    """The probability of a word in pieces is that of its size times that of its pieces; all of them sum to 1."""
    encoder = BlankEncoder("bpe", 14).fit([["ab a b", "ba ab"] * 4])
    scores = Chain(encoder.input_size, seed=1)
    filler = Filler(encoder, scores, word_masks(encoder, False), np.array([0.5, 0.3, 0.2]))
    [filling] = filler.fill([parse("ab [ ] b", encoder)], top=1000)
    [words] = filling.blanks
    assert sum(p for _, p in words) == pytest.approx(1, abs=1e-4)
    assert len({w for w, _ in words}) == len(words)
    assert {len(w) for w, _ in words} >= {1, 2, 3}


def test_the_best_words_of_texts_with_several_blanks_each():
    encoder = BlankEncoder("bpe", 60).fit([WORDS])

    def scores(tokens, lengths, rows, steps):
        return torch.arange(float(encoder.input_size)).repeat(len(rows), 1)

    filler = Filler(encoder, scores, word_masks(encoder, marks=False), np.array([0.5, 0.5]))
    (found,) = filler.best([parse("the [ ] drinks ___ now", encoder)])
    assert [len(tokens) in (1, 2) for tokens in found] == [True, True]


def test_the_size_of_a_word_follows_from_its_share_and_its_pieces(words):
    """Two of three tokens begin a word and one continues it: share · 2/3, and · 1/3 for each further piece."""
    masks = torch.full((2, words.input_size), -torch.inf)
    masks[0, [1, 2]], masks[1, 3] = 0.0, 0.0
    filler = Filler(words, lambda tokens, lengths, rows, steps: masks.new_zeros(len(rows), words.input_size), masks,
                    np.array([0.5, 0.3, 0.2]))  # fmt: skip
    [found] = filler._sizes([Question(parse("the [ ] milk", words), [1], 0)])
    expected = np.array([0.5 * 2 / 3, 0.3 * 2 / 9, 0.2 * 2 / 27])
    assert list(found) == [1, 2, 3]
    np.testing.assert_allclose(np.exp(list(found.values())), expected / expected.sum(), rtol=1e-5)


def test_the_score_of_a_choice_is_that_of_the_whole_text(words):
    scores = Chain(words.input_size)
    filler = Filler(words, scores, word_masks(words, False), np.ones(1))
    found = {c.choice: c for c in filler.rank(parse("zebra the [ ] milk", words), ["cat", "cat drinks", "now"])}
    assert sum(c.probability for c in found.values()) == pytest.approx(1)
    assert [c.score for c in found.values()] == sorted((c.score for c in found.values()), reverse=True)
    for choice, ranked in found.items():
        tokens = [0, *words.encode([f"zebra the {choice} milk"])[0].tolist(), 0]
        chances = [
            torch.log_softmax(scores.before[before] + scores.after[after] + scores.absent, 0)[token].item()
            for before, token, after in zip(tokens[:-2], tokens[1:-1], tokens[2:], strict=True)
            if token  # the zebra is unknown
        ]
        assert len(chances) == 2 + len(choice.split())
        assert ranked.score == pytest.approx(np.mean(chances), rel=1e-5)


def test_the_probability_of_a_choice_is_a_softened_share(words):
    """The score of the text in nats, as if all of it but the candidate were known once, taken a third as serious."""
    filler = Filler(words, Chain(words.input_size), word_masks(words, False), np.ones(1))
    found = filler.rank(parse("zebra the [ ] milk", words), ["cat", "cat drinks", "now"])
    known = 2  # the, milk
    weights = np.exp([c.score * (known + 1) / 3 for c in found])
    np.testing.assert_allclose([c.probability for c in found], weights / weights.sum(), rtol=1e-6)


def test_a_question_has_as_many_answers_as_are_wanted(words):
    """A question has so many answers as are wanted."""
    filler = Filler(words, Chain(words.input_size), torch.zeros(2, words.input_size), np.ones(1))
    text = parse("the [ ] milk", words)
    [few], [many] = (filler.answers([Question(text, [1], 0)], top) for top in (3, 9))
    assert len(few) == 3
    assert len(many) == 9
    assert [a.word for a in many[:3]] == [a.word for a in few]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_positions_are_scored_whatever_the_size_of_a_part(words, monkeypatch, count):
    """Parts of the positions may begin and end within a text."""
    texts = [np.array([1, 2, 3], np.int32), np.array([4], np.int32), np.array([2, 5], np.int32)]
    rows, steps = [0, 0, 0, 1, 2, 2], [0, 1, 2, 0, 0, 1]

    def scores(tokens, lengths, rows, steps):
        assert lengths.tolist() == [len(text) for text in texts if text[0] in tokens[:, 0].tolist()]
        assert tokens.shape == (len(lengths), int(lengths.max()))
        return tokens[rows, steps].unsqueeze(1)

    monkeypatch.setattr(search, "POSITIONS", count)
    parts = list(search.score_at(texts, rows, steps, scores))
    assert [(part.start, part.stop) for part, _ in parts] == [(i, i + count) for i in range(0, 6, count)]
    assert torch.cat([found for _, found in parts]).flatten().tolist() == [1, 2, 3, 4, 2, 5]


def test_a_part_has_1024_positions():
    def scores(tokens, lengths, rows, steps):
        return tokens[rows, steps].unsqueeze(1)

    texts = [np.zeros(2000, np.int32), np.ones(49, np.int32)]
    rows, steps = [0] * 2000 + [1] * 49, [*range(2000), *range(49)]
    parts = list(search.score_at(texts, rows, steps, scores))
    assert [len(found) for _, found in parts] == [1024, 1024, 1]
    assert torch.cat([found for _, found in parts]).flatten().tolist() == rows


@pytest.mark.parametrize(("top", "beam"), [(1, 8), (8, 8), (9, 9)])
def test_a_beam_has_8_answers_or_as_many_as_are_wanted(words, monkeypatch, top, beam):
    beams, before = [], search.solve
    monkeypatch.setattr(search, "solve", lambda *given: beams.append(given[-1]) or before(*given))
    filler = Filler(words, Chain(words.input_size), word_masks(words, False), np.ones(1))
    filler.fill([parse("the [ ] [ ]", words)], top)
    assert beams == [8, beam]  # all blanks together, then each


def test_spans_without_a_share_are_not_tried(words):
    filler = Filler(words, Chain(words.input_size), torch.zeros(2, words.input_size), np.array([0.0, 0.75, 0.0, 0.25]))
    assert filler.spans == {2: np.log(0.75), 4: np.log(0.25)}


def test_a_puzzle_is_filled_step_by_step():
    start = Puzzle(np.array([3, 0, 0, 2, 0], np.int32), (1, 2, 4), (0, 1, 0), -1.0)
    found = start.filled(2, 5, -0.5)
    assert (found.tokens.tolist(), found.open, found.kinds, found.score) == ([3, 0, 5, 2, 0], (1, 4), (0, 0), -1.5)
    assert start.tokens.tolist() == [3, 0, 0, 2, 0]
    assert start.filled(4, 6, 0.0).open == (1, 2)
    assert start.filled(1, 6, 0.0).kinds == (1, 0)


def test_the_surest_step_is_filled_first_in_all_answers():
    """Its order shows in the scores that the network is asked for."""
    asked = []

    def scores(tokens, lengths, rows, steps):
        asked.append(sorted(zip(tokens[rows].tolist(), steps.tolist(), strict=True)))
        found = torch.zeros(len(rows), 4)
        found[:, 0] = -torch.inf
        found[steps == 2, 3] = 5.0  # sure
        return found

    solve([Puzzle(np.array([0, 1, 0], np.int32), (0, 2), (0, 0))], scores, torch.zeros(2, 4), 2)
    assert asked[0] == [([0, 1, 0], 0), ([0, 1, 0], 2)]
    assert [step for _, step in asked[1]] == [0, 0]
    assert sum(row[2] == 3 for row, _ in asked[1]) == 1


@pytest.mark.parametrize(
    ("choice", "message"), [("zebra", "'zebra' is not in"), ("cat zebra", "knows only 'cat' of it"), (" ", "empty")]
)
def test_unknown_choices_are_named(words, choice, message):
    filler = Filler(words, Chain(words.input_size), word_masks(words, False), np.ones(1))
    with pytest.raises(UsageError, match=message):
        filler.rank(parse("the [ ] milk", words), ["cat", choice])


def test_a_beam_narrower_than_the_answers_is_filled():
    for beam, tokens in itertools.product((1, 3), (3, 5)):
        start = Puzzle(np.zeros(3, np.int32), (0, 2), (0, 0))
        [found] = solve([start], Chain(tokens), torch.zeros(2, tokens), beam)
        assert len(found) == min(beam, (tokens - 1) ** 2)
