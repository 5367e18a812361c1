"""Language models in JavaScript: the next tokens, texts and every gate equal Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import LanguageModel
from recurra.exporting import export

LINES = [
    "나는 학교에 간다.",
    "The cat's milk isn't 3.5 cold!\n",
    "정말 재미있는 영화 🎬🎬",
    "école\u0301  e\u0301té\t'll",
    "a b  c",
]
TOLERANCE = {"rtol": 0, "atol": 1e-5}
OPTIONS = {"hidden_size": 24, "embedding_size": 10, "epochs": 3, "random_state": 0, "verbose": 0}


def lines(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(LINES, random.integers(1, 5))) for _ in range(count)]


@pytest.fixture(scope="module", params=["char", "word", "bpe", "labels", "running text"])
def writer(request, tmp_path_factory):
    """Models of separate texts, of texts with labels, and of a running text."""
    X = lines(60)
    if request.param == "running text":
        model = LanguageModel(tokens="bpe", vocab_size=290, cell="gru", num_layers=2, **OPTIONS).fit("\n".join(X))
    elif request.param == "labels":
        model = LanguageModel(cell="rnn", **OPTIONS).fit(X, ["film" if "영화" in text else "other" for text in X])
    else:
        model = LanguageModel(tokens=request.param, vocab_size=320, **OPTIONS).fit(X)
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors", format="web")


def with_labels(model: LanguageModel, texts: list[str]) -> tuple[list[Any], Any]:
    """The inputs of recurra-web and the labels for Python."""
    if not len(model.classes_):
        return texts, None
    labels = [["film", "other", None][i % 3] for i in range(len(texts))]
    inputs = [{"text": text, "condition": label} for text, label in zip(texts, labels, strict=True)]
    return inputs, np.array(labels, dtype=object)


@pytest.mark.parametrize("run", RUNNERS)
def test_120_texts_have_the_same_next_tokens(writer, run):
    model, path = writer
    random = np.random.default_rng(1)
    texts = [text[: random.integers(0, len(text) + 1)] for text in lines(110, seed=1)]
    texts += ["", " ", "\n", "[END]a[UNK]", "龍가\u11a8", "\ud800b", "👩‍👩‍👧‍👦", "  \u3000\x85 x"]
    texts += ["'Re's ", "x" * 700]
    inputs, labels = with_labels(model, texts)
    (found,) = run([{"model": path, "call": "predict", "inputs": inputs, "options": {"top": 9}}])
    for answer, expected in zip(found, model.top(texts, labels, k=9), strict=True):
        chances = np.array([chance for _, chance in expected])
        np.testing.assert_allclose([one["probability"] for one in answer["top"]], chances, **TOLERANCE)
        assert (answer["token"], answer["probability"]) == tuple(answer["top"][0].values())
        for place, (one, (token, chance)) in enumerate(zip(answer["top"], expected, strict=True)):
            nearly_equal = (np.abs(chances - chance) < 1e-6).sum() > 1 or place == len(expected) - 1
            assert one["token"] == token or nearly_equal


SAMPLINGS = [
    {"temperature": 0},
    {"seed": 0},
    {"seed": 4503599627370497},
    {"seed": 7, "temperature": 1.5, "topK": 5},
    {"seed": 8, "temperature": 1.0, "topP": 0.7},
    {"seed": 9, "topK": 20, "topP": 0.9, "temperature": 2.5},
]


def test_the_same_seed_writes_the_same_text(writer):
    model, path = writer
    prompts = ["", "정말 ", "The cat", "é\n"]
    calls, expected = [], []
    for sampling in SAMPLINGS:
        for prompt in prompts:
            options = {"length": 60, **sampling}
            names = {"topK": "top_k", "topP": "top_p"}
            expected.append(list(model.stream(prompt, **{names.get(name, name): v for name, v in options.items()})))
            calls.append({"model": path, "call": "generate", "prompt": prompt, "options": options})
    assert run(calls) == expected


def test_labels_condition_the_text(writer):
    model, path = writer
    sampling = {"seed": 3, "length": 40, "condition": "film"}
    (found,) = run([{"model": path, "call": "generate", "prompt": "", "options": sampling}])
    if len(model.classes_):
        assert "".join(found) == model.generate("", **sampling)
    else:
        assert "trained without labels" in found["error"]


def test_steps_and_every_gate(writer):
    model, path = writer
    text = "정말 The 🎬\n"
    calls = [{"model": path, "call": call, "inputs": [text]} for call in ("inspect", "predict", "steps", "streams")]
    (inspected,), (answer,), steps, streamed = run(calls)
    trace = recurra.trace(model, [text])
    assert len(inspected["pieces"]) == len(trace.to_xarray().time)
    if model.encoder_.tokens == "char":
        assert inspected["pieces"][0] == "[BEGIN]"
    for name, gate in {**inspected["gates"], **inspected["states"]}.items():
        np.testing.assert_allclose(tensor(gate), trace[name].values[:, :, 0], **TOLERANCE)
    assert inspected["scores"] == answer["scores"]
    for found in (steps, streamed):  # they begin without the token that begins a text
        ids = model.encoder_.encode([text])[0]
        assert len(found[0]) == len(ids)
        assert len(found[0][-1]["scores"]) == model.encoder_.input_size
        np.testing.assert_allclose(found[0][-1]["scores"], steps[0][-1]["scores"], **TOLERANCE)


def test_wrong_inputs_are_refused(writer):
    model, path = writer
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("the model reads texts", {"call": "predict", "inputs": [3]}),
        ("the model reads texts", {"call": "predict", "inputs": [{"words": "a"}]}),
        ("the number of a token", {"call": "step", "input": 10**6}),
        ("topK must be", {"call": "generate", "options": {"topK": 0}}),
        ("topP must be", {"call": "generate", "options": {"topP": 1.5}}),
        ("temperature must be", {"call": "generate", "options": {"temperature": -1}}),
        ("length must be", {"call": "generate", "options": {"length": -1}}),
        ("a seed is a whole number", {"call": "generate", "options": {"seed": -1}}),
    ]
    if len(model.classes_):
        wrong.append(("one of film, other, not x", {"call": "predict", "inputs": [{"text": "", "condition": "x"}]}))
    for (part, _), found in zip(wrong, run([{"model": path, **call} for _, call in wrong]), strict=True):
        assert part in found["error"]
