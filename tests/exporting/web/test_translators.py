"""Translators in JavaScript: translations, scores, attention and every gate equal Python's."""

from __future__ import annotations

import numpy as np
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import Translator
from recurra.exporting import export

PAIRS = {
    "one": "일",
    "two": "이",
    "three": "삼,",
    "cat!": "고양이",
    "e\u0301cole": "학교",
    "🎬": "영화🎬",
    "(four)": "사?",
}
TOLERANCE = {"rtol": 0, "atol": 1e-5}
KINDS = {
    "bpe": {"tokens": "bpe", "vocab_size": 60, "num_layers": 2},
    "word": {"tokens": "word", "cell": "gru", "bidirectional": False, "length_penalty": 0.3},
    "char": {"tokens": "char", "cell": "rnn", "beam_size": 1},
}


def sources(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(list(PAIRS), random.integers(1, 6))) for _ in range(count)]


@pytest.fixture(scope="module", params=KINDS)
def translator(request, tmp_path_factory):
    X = sources(80)
    y = [" ".join(PAIRS[word] for word in text.split()) for text in X]
    options = {"hidden_size": 16, "embedding_size": 12, "epochs": 40, "learning_rate": 0.02, "random_state": 0}
    model = Translator(verbose=0, dropout=0.0, **options, **KINDS[request.param]).fit(X, y)
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors", format="web")


@pytest.mark.parametrize("run", RUNNERS)
def test_110_texts_have_the_same_translations(translator, run):
    model, path = translator
    X = [
        *sources(100, seed=1),
        "",
        " \n",
        "  two\u3000one\x1f ",
        "龍 two 👩‍👩‍👧‍👦",
        "[END] one [UNK]",
        "\ud800",
        "x" * 40,
    ]
    X += ["가\u11a8 one", "(four)(four)", "one, two; three"]
    (found,) = run([{"model": path, "call": "predict", "inputs": X}])
    assert [answer["translation"] for answer in found] == model.predict(X)
    for answer, candidates in zip(found, model.candidates(X), strict=True):
        ranked = answer["candidates"] or [{"translation": "", "score": 0}]
        assert [one["translation"] for one in ranked] == [one.text for one in candidates]
        np.testing.assert_allclose([one["score"] for one in ranked], [one.score for one in candidates], **TOLERANCE)
        assert (answer["translation"], answer["score"]) == tuple(ranked[0].values())


@pytest.mark.parametrize("beam", [1, 3, 12])
def test_the_size_of_the_beam(translator, beam):
    model, path = translator
    X = sources(20, seed=2)
    (found,) = run([{"model": path, "call": "predict", "inputs": X, "options": {"beam": beam}}])
    expected = model.candidates(X, beam)
    assert [answer["translation"] for answer in found] == [some[0].text for some in expected]
    np.testing.assert_allclose([answer["score"] for answer in found], [some[0].score for some in expected], **TOLERANCE)


def test_attention_and_every_gate(translator):
    model, path = translator
    X = ["two e\u0301cole 🎬", "(four)"]
    for text, answer in zip(X, run([{"model": path, "call": "inspect", "inputs": X}])[0], strict=True):
        known, trace = model.align(text), recurra.trace(model, [text])
        assert (answer["alignment"]["source"], answer["alignment"]["target"]) == (known.source, known.target)
        np.testing.assert_allclose(tensor(answer["alignment"]["weights"]), known.weights, **TOLERANCE)
        assert answer["translation"] == known.text
        assert [part["name"] for part in answer["parts"]] == ["encoder.recurrent", "decoder"]
        for part in answer["parts"]:
            expected = trace.part(part["name"])
            assert part["pieces"] == expected.to_xarray().token.values[0].tolist()
            for name, gate in {**part["gates"], **part["states"]}.items():
                np.testing.assert_allclose(tensor(gate), expected[name].values[:, :, 0], **TOLERANCE)


def test_wrong_inputs_are_refused(translator):
    _, path = translator
    calls = [
        ("the model reads texts", {"call": "predict", "inputs": [[1, 2]]}),
        ("nothing to translate", {"call": "inspect", "inputs": [" "]}),
        ("beam is from 1 to 1000", {"call": "predict", "inputs": ["one"], "options": {"beam": 0}}),
        ("no single steps", {"call": "steps", "inputs": ["one"]}),
        ("no texts to write", {"call": "generate"}),
    ]
    for (part, _), found in zip(calls, run([{"model": path, **call} for _, call in calls]), strict=True):
        assert part in found["error"]
