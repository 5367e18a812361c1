"""Blank fillers in JavaScript: words, probabilities and every gate equal Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import BlankFiller
from recurra.exporting import export

LINES = [
    "the cat drinks milk .",
    "a dog eats the bread !",
    "고양이는 우유를 마신다 .",
    "강아지가 빵을 먹는다",
    "🎬 영화를 본다 ?",
    "école e\u0301té",
]
TOLERANCE = {"rtol": 0, "atol": 1e-5}
KINDS = {
    "word": {"tokens": "word", "num_layers": 2},
    "bpe": {"tokens": "bpe", "vocab_size": 90, "cell": "gru"},
    "char": {"tokens": "char", "direction": "forward", "cell": "rnn"},
}


def texts(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(LINES, random.integers(1, 4))) for _ in range(count)]


def blanked(count: int) -> list[str]:
    """Texts with one to three blanks, also within and beside words."""
    random = np.random.default_rng(2)
    found = []
    for text in texts(count, seed=1):
        words = text.split()
        for place in random.choice(len(words), min(random.choice([1, 1, 1, 1, 2, 3]), len(words) - 1), replace=False):
            words[place] = random.choice(
                ["[ ]", "___", "[]", "____", words[place][:1] + "___", "[  ]" + words[place][-1:]]
            )
        found.append(" ".join(words))
    return [text for text in found if any(mark in text for mark in ("[", "___"))]


@pytest.fixture(scope="module", params=KINDS)
def filler(request, tmp_path_factory):
    options = {"hidden_size": 12, "embedding_size": 10, "epochs": 6, "learning_rate": 0.02, "random_state": 0}
    model = BlankFiller(verbose=0, **options, **KINDS[request.param]).fit(texts(120))
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors", format="web")


def compare(found: list[Any], expected: list[Any], close: float = 1e-5) -> None:
    for answer, filling in zip(found, expected, strict=True):
        np.testing.assert_allclose(answer["probability"], filling.probability, rtol=0, atol=close)
        for words, known in zip(answer["blanks"], filling.blanks, strict=True):
            chances = np.array([one.probability for one in known])
            np.testing.assert_allclose([one["probability"] for one in words], chances, rtol=0, atol=close)
            for one, right in zip(words, known, strict=True):
                assert one["word"] == right.word or (np.abs(chances - right.probability) < 1e-5).sum() > 1
        assert answer["text"] == filling.text


@pytest.mark.parametrize("run", RUNNERS)
def test_110_texts_have_the_same_words(filler, run):
    model, path = filler
    X = blanked(110)
    X += [
        "the [ ]",
        "[ ] milk",
        " the\u3000cat  [ ]\n milk",
        "龍 [ ] <unk> <UNK>a ___",
        "[UNK] ___",
        "x" * 300 + " [ ]",
        "가\u11a8___ 🎬",
    ]
    (found,) = run([{"model": path, "call": "predict", "inputs": X}])
    compare(found, model.predict(X))


def test_punctuation_marks_and_more_words(filler):
    model, path = filler
    X, options = blanked(12), {"top": 12, "marks": True}
    (found,) = run([{"model": path, "call": "predict", "inputs": X, "options": options}])
    compare(found, model.predict(X, **options))


def test_every_gate_of_both_directions(filler):
    model, path = filler
    X = ["the [ ] drinks milk .", "ca___ [ ] 마신다 🎬"]
    for text, answer in zip(X, run([{"model": path, "call": "inspect", "inputs": X}])[0], strict=True):
        trace = recurra.trace(model, [text])
        names = ["forwards", "backwards"] if model.direction == "both" else ["forwards"]
        assert [part["name"] for part in answer["parts"]] == names
        for part in answer["parts"]:
            expected = trace.part(part["name"]) if len(names) > 1 else trace
            assert part["pieces"] == expected.to_xarray().token.values[0].tolist()
            for name, gate in {**part["gates"], **part["states"]}.items():
                np.testing.assert_allclose(tensor(gate), expected[name].values[:, :, 0], **TOLERANCE)


def test_texts_without_a_blank_are_refused(filler):
    _, path = filler
    wrong = {
        "there is no blank": "the cat",
        "the text is empty": " \n",
        "21 blanks": "a" + " [ ]" * 21,
        "nothing but blanks": "[ ] ___",
        "the model reads texts": ["[ ]"],
    }
    found = run([{"model": path, "call": "predict", "inputs": [text]} for text in wrong.values()])
    found += run([{"model": path, "call": "predict", "inputs": ["a [ ]"], "options": {"top": 0}}])
    for part, answer in zip([*wrong, "top must be at least 1"], found, strict=True):
        assert part in answer["error"]
