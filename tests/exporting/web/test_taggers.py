"""Taggers in JavaScript: tags, probabilities and every gate equal Python's."""

from __future__ import annotations

import numpy as np
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import SequenceTagger
from recurra.exporting import export

WORDS = [
    "나는",
    "서울에",
    "간다",
    "Anna",
    "lives",
    "in",
    "Ulm",
    "école",
    "e\u0301cole",
    "가\u11a8",
    "🎬",
    "3.5",
    "x" * 90,
    "ㅋㅋ",
]
TOLERANCE = {"rtol": 0, "atol": 1e-5}
KINDS = {
    "crf": {"crf": True},
    "scheme": {"cell": "gru", "num_layers": 2, "characters": "char"},
    "words": {"characters": "none", "bidirectional": False, "cell": "rnn"},
}


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Sentences of known words, and of words that are new by one character."""
    random = np.random.default_rng(seed)
    found = [random.choice(WORDS, random.integers(1, 14)).tolist() for _ in range(count)]
    return [[word + random.choice(["", "", "ê", "는"]) * (seed > 0) for word in words] for words in found]


@pytest.fixture(scope="module", params=KINDS)
def tagger(request, tmp_path_factory):
    """A tagger of parts of speech, or of names in the scheme BIO."""
    X = sentences(80)
    if request.param == "scheme":
        y = [
            [
                "B-PLACE" if word == "Ulm" else "I-PLACE" if i and words[i - 1] == "Ulm" else "O"
                for i, word in enumerate(words)
            ]
            for words in X
        ]
    else:
        y = [["NAME" if word in WORDS[:4] else "VERB" if len(word) % 2 else "OTHER" for word in words] for words in X]
    options = {"hidden_size": 9, "embedding_size": 6, "char_hidden_size": 5, "char_embedding_size": 4}
    model = SequenceTagger(epochs=3, random_state=0, **options, **KINDS[request.param]).fit(X, y)
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.mark.parametrize("run", RUNNERS)
def test_150_sentences_have_the_same_tags(tagger, run):
    model, path = tagger
    X = [*sentences(140, seed=1), [], ["Ulm"], ["Ulm", "Ulm", "Ulm"], ["", "a"], ["\ud800b"], ["🇰🇷🇺🇸", "👩‍👩‍👧‍👦"]]
    texts = ["Anna  lives\tin\u3000Ulm", "\x85나는\x1f서울에 간다\ufeff ", "", " \n"]
    (found,) = run([{"model": path, "call": "predict", "inputs": [*X, *texts]}])
    X += [text.split() for text in texts]
    assert [answer["words"] for answer in found[-4:]] == X[-4:]
    tags, confidence = model.predict_with_confidence(X)
    assert [answer["tags"] for answer in found] == tags
    for answer, sure, chances in zip(found, confidence, model.predict_proba(X), strict=True):
        np.testing.assert_allclose(answer["confidence"], sure, **TOLERANCE)
        np.testing.assert_allclose(tensor(answer["probabilities"]), chances, **TOLERANCE)


def test_every_gate_of_words_and_characters(tagger):
    model, path = tagger
    X = [["Anna", "lives", "in", "Ulm", "Anna"], ["ê🎬", "가\u11a8는"]]
    for words, answer in zip(X, run([{"model": path, "call": "inspect", "inputs": X}])[0], strict=True):
        trace = recurra.trace(model, [words])
        different = list(dict.fromkeys(words))
        places = [("recurrent", None)]
        if model.characters != "none":
            places += [("spelling", word) for word in different]
        assert [(part["name"], part["of"]) for part in answer["parts"]] == places
        assert answer["pieces"] == words
        for part in answer["parts"]:
            row = 0 if part["of"] is None else different.index(part["of"])
            known = trace.part(part["name"]) if model.characters != "none" else trace
            for name, gate in {**part["gates"], **part["states"]}.items():
                expected = known[name].values[:, :, row, : len(part["pieces"])]
                np.testing.assert_allclose(tensor(gate), expected, **TOLERANCE)


def test_inputs_that_are_no_sentences_are_refused(tagger):
    _, path = tagger
    calls = [{"model": path, "call": "predict", "inputs": [wrong]} for wrong in (3, ["a", 2], None)]
    calls += [{"model": path, "call": call, "inputs": [["a"]]} for call in ("steps", "streams")]
    parts = ["a text or a list of words", "not 2", "a text or a list", "no single steps", "no single steps"]
    for found, part in zip(run(calls), parts, strict=True):
        assert part in found["error"]
