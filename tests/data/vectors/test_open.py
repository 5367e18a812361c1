"""Files of word vectors: all formats give the same vectors, and damaged files are named with their place."""

from __future__ import annotations

import gzip
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.vectors import open_vectors
from recurra.data.vectors.fasttext import COUNTS, HEADER
from recurra.errors import DataError

FASTTEXT = Path(__file__).parent / "fasttext.bin"
"""Model of 13 words and 30 parts, written by gensim 4.4.0 (`save_facebook_model`, `min_n=2, max_n=4, bucket=30`)."""
EXPECTED = {  # `wv.get_vector` of gensim
    "the": [-0.004252009093761444, 0.00928821973502636, -0.04791495203971863, 0.0028547500260174274],
    "학교에": [0.062220968306064606, 0.00030413531931117177, -0.010458322241902351, -0.01167588122189045],
    "바다를": [0.09268955886363983, -0.041830580681562424, -0.025159800425171852, -0.06616100668907166],
    "seas": [0.07478440552949905, 0.021571265533566475, -0.021915055811405182, -0.0008618570864200592],
}
WORDS = {"the": [0.5, -1.0, 2.0], "바다": [0.25, 0.0, 1e-3], "Ship": [1.0, 2.0, 3.0], "sea": [4.0, 5.0, 6.0]}


def text(words: dict[str, list[float]], header: bool = False) -> bytes:
    lines = [f"{len(words)} 3"] * header + [f"{w} {' '.join(map(repr, v))}" for w, v in words.items()]
    return ("\n".join(lines) + "\n").encode()


def binary(words: dict[str, list[float]], end: bytes = b"") -> bytes:
    rows = [w.encode() + b" " + np.array(v, "<f4").tobytes() + end for w, v in words.items()]
    return f"{len(words)} 3\n".encode() + b"".join(rows)


FORMATS = {
    "glove": text(WORDS),
    "word2vec text": text(WORDS, header=True),
    "spaces at the end": text(WORDS, header=True).replace(b"\n", b" \r\n"),
    "gzip": gzip.compress(text(WORDS)),
    "word2vec binary": binary(WORDS),
    "line ends": binary(WORDS, b"\n"),
    "gzip of binary": gzip.compress(binary(WORDS)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name):
    path = tmp_path / "vectors"
    path.write_bytes(FORMATS[name])
    file = open_vectors(path)
    assert file.size == 3
    assert file.has_case()
    found = file.take(["SEA", "바다", "unknown"], most=1)
    assert {word: found.table[row].tolist() for word, row in found.rows.items()} == {
        "the": WORDS["the"],
        "바다": np.float32(WORDS["바다"]).tolist(),
        "sea": WORDS["sea"],
    }


def test_words_with_spaces_and_twice(tmp_path):
    path = tmp_path / "vectors"
    path.write_text(". . 1.0 2.0\nthe 3 4\nthe 5 6\n")
    found = open_vectors(path)
    assert found.size == 2
    assert dict(found.take([], most=9).rows) == {". .": 0, "the": 1}
    assert found.take([], most=9).table.tolist() == [[1, 2], [3, 4]]


def test_fasttext_composes_words_from_parts():
    file = open_vectors(FASTTEXT)
    found = file.take(EXPECTED, most=0)
    assert set(found.rows) == set(EXPECTED)
    for word, vector in EXPECTED.items():
        assert found.table[found.rows[word]].tolist() == pytest.approx(vector, rel=1e-6, abs=1e-9)


DAMAGED = {
    "the 0.5 1.0\nsea 0.5\n": "line 2: the vector has 1 numbers, but the first line has 2",
    "the 0.5 1.0\nsea 0.5 1.0 2.0\n": "line 2: the vector has 3 numbers, but the first line has 2",
    "2 3\nthe 0.5 1.0 2.0\nsea 1.0\n": "line 3: the vector has 1 numbers, but the first line states 3",
    "the 0.5 1.0\nsea 0.5 1,0\n": "line 2: number 2 of the vector of 'sea' is '1,0'",
    "the 0.5 1.0\nsea 0.5 nan\n": "line 2: the vector of 'sea' has a number that is not finite",
    "3 2\nthe 0.5 1.0\nsea 0.5 1.0\n": "line 3: the file ends after 2 of the 3 words",
    "only words\nand words\n": "line 1: a word and the numbers of its vector are needed",
    "": "is empty: there is no word vector in it",
    "7 0\n": "line 1: a vector has from 1 to 16,384 numbers, not 0",
}


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_text(tmp_path, content):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=r"vectors\.txt") as error:
        open_vectors(path).take([], most=10)
    assert DAMAGED[content] in str(error.value)


def test_damaged_binary(tmp_path):
    path = tmp_path / "vectors.bin"
    path.write_bytes(binary(WORDS)[:-2])
    with pytest.raises(DataError, match=r"word 4: the file ends inside its vector; the first line states 4 words"):
        open_vectors(path).take([], most=10)
    path.write_bytes(binary(WORDS).replace(b"4 3\n", b"9 3\n"))
    with pytest.raises(DataError, match="word 5: it has no end"):
        open_vectors(path).take([], most=10)


def test_damaged_fasttext(tmp_path):
    path, whole = tmp_path / "model.bin", FASTTEXT.read_bytes()
    changes = {
        "ends inside its matrix": whole[:-400],
        "version 11; only 12": whole[:4] + struct.pack("<i", 11) + whole[8:],
        "word 4: it is damaged": whole[: HEADER.size + COUNTS.size + 50],
        "it ends after 20 bytes": whole[:20],
    }
    for words, content in changes.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            open_vectors(path)
    with pytest.raises(DataError, match="there is no file"):
        open_vectors(tmp_path / "none")


@given(st.sampled_from([*FORMATS.values(), FASTTEXT.read_bytes()]), st.data())
def test_any_damage_gives_an_error_or_vectors(tmp_path_factory, content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.booleans())
    changed = content[:at] if cut else content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at + 8 :]
    path = tmp_path_factory.mktemp("damage") / "vectors"
    path.write_bytes(changed)
    with suppress(DataError):
        found = open_vectors(path).take(["the", "바다를"], most=50)
        assert np.isfinite(found.table).all()
        assert len(found.table) == len(found.rows)
    path.unlink()
