"""Running text: pieces, and tokens that lose no space and no newline."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra._util.schema import check
from recurra.data.encoders.running_text import (
    BEGIN,
    BEGIN_ID,
    END,
    END_ID,
    RunningTextConfig,
    RunningTextEncoder,
    Writer,
    documents,
    pieces,
)
from recurra.errors import ModelFolderError, UsageError

KOREAN = "그 겨울은  몹시 추웠다.\n\n\t봄은 😀 오지 않았다.\n"
CHARACTERS = st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\t가나다라각한글😀👨‍👩‍👧[]é"))
texts = st.text(CHARACTERS, max_size=60)


@pytest.fixture(scope="module")
def bpe():
    return RunningTextEncoder("bpe", 300).fit([[KOREAN, "the cat sat on the mat"] * 3])


@given(text=texts)
def test_byte_pieces_write_every_text_again(bpe, text):
    ids = bpe.encode([text])[0]
    normal = unicodedata.normalize("NFC", text)
    assert bpe.decode(ids) == normal
    assert bpe.characters[ids].sum() == len(normal)
    assert bpe.unknown(text) == []
    write, written = bpe.writer(), ""
    for token in ids.tolist():
        assert write.possible()[token]
        written += write(token)
    assert (written, write.within) == (normal, False)


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_possible_tokens_are_those_of_valid_texts(bpe, seed):
    random, write, written, words = np.random.default_rng(seed), bpe.writer(), b"", bpe.words
    for _ in range(30):
        possible = write.possible()
        for token in random.permutation(len(possible))[:20]:
            assert possible[token] == is_begin(written + words[token])
        token = random.choice(np.flatnonzero(possible))
        written += words[token]
        write(token)
    assert not write.possible().all()


def is_begin(written: bytes) -> bool:
    """Whether bytes are the beginning of a text in UTF-8."""
    try:
        written.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


@given(text=texts)
def test_characters_write_every_known_text_again(text):
    normal = unicodedata.normalize("NFC", text)
    encoder = RunningTextEncoder("char", 1000).fit([[normal + "x", normal + "x"]])
    ids = encoder.encode([text])[0]
    assert encoder.decode(ids) == normal
    assert encoder.characters[ids].sum() == len(ids) == len(normal)
    assert encoder.unknown(text) == []


@given(text=texts)
def test_a_long_text_is_encoded_in_pieces(bpe, text):
    whole = (text + "wood ") * 40
    assert "".join(pieces(whole)) == whole
    assert max(map(len, pieces(whole))) <= 512
    assert bpe.decode(np.concatenate(bpe.stream(whole))) == unicodedata.normalize("NFC", whole)


@pytest.mark.parametrize("tokens", ["char", "bpe"])
def test_names_of_special_tokens_in_a_text_are_text(tokens):
    text = "[BEGIN] a [UNK] b [END]"
    encoder = RunningTextEncoder(tokens, 300).fit([[text, text]])
    again = RunningTextEncoder.from_files(encoder.to_config(), encoder.to_files())
    for one in (encoder, again):
        (ids,) = one.encode([text])
        assert one.decode(ids) == text
        assert ids.min() > END_ID


def test_unknown_characters():
    encoder = RunningTextEncoder("char").fit([["abab", "c"]])
    assert encoder.encode(["acz"])[0].tolist()[1:] == [0, 0]
    assert encoder.unknown("azzc") == ["z", "c"]
    assert encoder.characters[encoder.encode(["acz"])[0]].sum() == 3


def test_documents_have_a_begin_and_an_end(bpe):
    empty, one = documents(bpe, ["", "cat"])
    assert empty.tolist() == [BEGIN_ID, END_ID]
    assert (one[0], one[-1], bpe.decode(one[1:-1])) == (BEGIN_ID, END_ID, "cat")


def test_wrong_encoders():
    with pytest.raises(UsageError, match="at least 259"):
        RunningTextEncoder("bpe", 100)
    with pytest.raises(UsageError, match="char, word, bpe"):
        RunningTextEncoder("syllable")


def test_words_are_separated_by_spaces_and_line_ends():
    encoder = RunningTextEncoder("word").fit([[" = A 's <unk> = \n", "= a , A 's\u3000영화\n", "<unk> , 영화"]])
    (ids,) = encoder.encode(["A 's  영화,\n\n = <unk> \tA"])
    assert [encoder.tokenizer.id_to_token(i) for i in ids] == ["A", "'s", "[UNK]", "\n", "\n", "=", "<unk>", "A"]
    assert encoder.decode(ids) == "A 's\n\n= <unk> A"
    assert encoder.unknown("A 영화 b b\n영화,") == ["b", "영화,"]
    again = RunningTextEncoder.from_files(encoder.to_config(), encoder.to_files())
    assert again.encode(["A 's\n"])[0].tolist() == encoder.encode(["A 's\n"])[0].tolist()
    assert again.words == encoder.words


def test_pieces_end_at_lines_spaces_or_anywhere():
    assert pieces("") == []
    assert [len(p) for p in pieces("a" * 512 + "\n")] == [512, 1]
    assert [len(p) for p in pieces("a" * 511 + "\n" + "b")] == [512, 1]
    assert [len(p) for p in pieces("a" * 300 + "\n" + "b" * 100 + "\n" + "c" * 200)] == [402, 200]
    assert [len(p) for p in pieces("a" * 300 + " " + "b" * 300)] == [300, 301]
    assert [len(p) for p in pieces("a" * 512 + " " + "b" * 10)] == [512, 11]
    assert [len(p) for p in pieces("a" * 1025)] == [512, 512, 1]


def test_numbers_and_bytes_of_tokens():
    encoder = RunningTextEncoder("char").fit([["aab", "ab"]])
    assert (encoder.kind, encoder.config_kind) == ("text", "plain")
    assert (encoder.tokens, encoder.vocab_size, encoder.specials) == ("char", 4000, (BEGIN, END))
    assert encoder.words == [b"", b"", b"", b"a", b"b"]
    assert encoder.characters.tolist() == [1, 0, 0, 1, 1]
    assert encoder.decode([1, 3, 4, 0, 2]) == "ab"
    assert encoder.encode(["ab"])[0].dtype == np.int32
    assert RunningTextEncoder("bpe", 259).fit([["a"]]).input_size == 259
    with pytest.raises(UsageError, match="at least 259, got 258"):
        RunningTextEncoder("bpe", 258)
    assert RunningTextEncoder("char", 2).vocab_size == 2
    pieces_of = RunningTextEncoder("bpe", 300).fit([["aa aa aa aa"] * 5])
    assert pieces_of.characters[0] == 0
    assert pieces_of.decode(pieces_of.encode(["한"])[0][:1]) == "\ufffd"


@pytest.mark.parametrize("specials", [["[BEGIN]"], ["[END]", "[BEGIN]"], []])
def test_configurations_are_checked(specials):
    config = RunningTextEncoder("char").to_config()
    assert check(RunningTextConfig, config, "config.json").specials == [BEGIN, END]
    with pytest.raises(ModelFolderError, match=r"specials are not \[BEGIN\] and \[END\]"):
        check(RunningTextConfig, {**config, "specials": specials}, "config.json")


def test_tokens_that_are_no_bytes_are_refused(bpe):
    files = bpe.to_files()
    damaged = files["tokenizer.json"].replace('"a":', '"한":', 1)
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json"):
        RunningTextEncoder.from_files(bpe.to_config(), {"tokenizer.json": damaged})


def test_a_long_text_in_any_number_of_batches(bpe):
    text = "word\n" * 3
    assert [ids.tolist() for ids in bpe.stream(text)] == [bpe.encode([text])[0].tolist()]
    assert bpe.stream("") == []


@pytest.mark.parametrize("text", ["é", "한", "😀", "a"])
def test_within_a_character_only_its_bytes_are_possible(text):
    data = text.encode()
    write = Writer([bytes([b]) for b in range(256)])
    for i, byte in enumerate(data):
        possible = set(np.flatnonzero(write.possible()).tolist())
        wanted = {b for b in range(256) if is_begin(data[:i] + bytes([b]))}
        assert possible == wanted
        assert write.within is (i > 0)
        assert write(byte) == (text if i == len(data) - 1 else "")
    assert not write.within
