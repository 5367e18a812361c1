"""Exported estimators give the answers of `predict`, from the texts in the file and ONNX Runtime alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from onnx_session import Session, padded
from openvino_session import OpenVinoSession
from tokenizers import Tokenizer

from recurra import (
    BlankFiller,
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
    Translator,
)
from recurra.data.encoders.running_text import BEGIN_ID
from recurra.errors import UsageError
from recurra.exporting.onnx import build
from recurra.tasks import registry
from recurra.tasks.forecast.baselines.mixture import Shares

RANDOM = np.random.default_rng(0)
PAIRS = ["good day", "good night", "bad day"] * 20, ["bonjour", "bonne nuit", "mauvais jour"] * 20
TEXTS = ["a good film", "bad", "", "very good, very very good", "좋은 영화 bad film"]
CELLS = ("lstm", "gru", "rnn", "rnn_relu", "none")
POOLINGS = ("last", "mean", "max", "attention")


@pytest.fixture(autouse=True, scope="module")
def _few_batches():
    """Lets the export itself compare a few batches; `tests/onnx/test_check.py` tests their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recurra.onnx.check.BATCHES", 10)
        yield


def quick(**options: Any) -> dict[str, Any]:
    return {"epochs": 1, "hidden_size": 6, "verbose": 0, "batch_size": 16, "dropout": 0.0, **options}


def encoded(session: Session, texts: list[str], name: str = "tokenizer") -> dict[str, np.ndarray]:
    """Returns tokens by the tokenizer in the file."""
    tokenizer = Tokenizer.from_str(session.texts[name])
    found = padded([np.array(tokenizer.encode(text).ids, np.int64) for text in texts])
    return {"tokens": found["values"], "lengths": found["lengths"]}


@pytest.mark.parametrize(
    ("cell", "pooling"), [("lstm", "attention"), ("gru", "last"), ("rnn", "max"), ("none", "mean")]
)
def test_classifier_of_texts(cell, pooling):
    options = quick(cell=cell, pooling=pooling, bidirectional=pooling != "last", embedding_size=5, vocab_size=30)
    model = SequenceClassifier(**options).fit(["good film", "bad film", "very good", "bad"] * 10, ["up", "down"] * 20)
    session = Session(build(model))
    found = session(**encoded(session, TEXTS))
    assert np.abs(found["probabilities"] - model.predict_proba(TEXTS)).max() <= 1e-5
    assert [json.loads(session.texts["labels"])[i] for i in found["labels"]] == model.predict(TEXTS).tolist()
    assert session.texts["task"] == "classify"
    assert session.texts["card"].startswith("---\nlibrary_name: recurra")


def series(missing: bool) -> list[np.ndarray]:
    rows = [RANDOM.normal(size=(n % 7 + 1, 3)) * [1, 1e-3, 50] + [0, 5, 1e4] for n in range(40)]
    for row in rows[::3] if missing else ():
        row[0, 1] = np.nan
    return [row.astype(np.float32).astype(float) for row in rows]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_regressor_of_series(missing, several):
    X = series(missing)
    y = np.array([np.nansum(row) for row in X])
    model = SequenceRegressor(**quick(pooling="mean", num_layers=2)).fit(X, np.stack([y, -y], 1) if several else y)
    X = [*X[:6], np.zeros((0, 3))]
    found = padded([row.astype(np.float32) for row in X])
    scores = Session(build(model))(x=found["values"], lengths=found["lengths"])["scores"]
    expected = model.predict(X).reshape(len(X), -1)
    assert np.abs(scores - expected).max() <= 1e-5 * np.abs(y).max()


@pytest.mark.parametrize(
    ("missing", "pooling", "cell"),
    [
        (True, "last", "lstm"),
        (False, "last", "gru"),
        (True, "mean", "rnn"),
        (False, "max", "none"),
        (False, "attention", "lstm"),
    ],
)
def test_seven_chunks_of_a_series_equal_the_whole(missing, pooling, cell):
    X = series(missing)
    options = quick(pooling=pooling, bidirectional=False, num_layers=2, cell=cell)
    model = SequenceClassifier(**options).fit(X, [row[0, 0] > 0 for row in X])
    rows = RANDOM.normal(size=(3, 30, 3)) * [1, 1e-3, 50] + [0, 5, 1e4]
    if missing:
        rows[RANDOM.random(rows.shape) < 0.3] = np.nan
    session, x, lengths = Session(build(model)), rows.astype(np.float32), np.array([30, 4, 19])
    whole, states = session(x=x, lengths=lengths), {}
    for part in np.array_split(np.arange(30), 7):
        found = session(x=x[:, part], lengths=(lengths - part[0]).clip(0, len(part)), **states)
        states = {name.removesuffix(".next"): value for name, value in found.items() if name.endswith(".next")}
    assert ("state.last.0" in states) == missing
    assert np.abs(found["scores"] - whole["scores"]).max() <= 1e-5
    assert np.abs(found["probabilities"] - model.predict_proba([x[0], x[1, :4], x[2, :19]])).max() <= 1e-5


def recordings(count: int) -> list[tuple[np.ndarray, int]]:
    return [(RANDOM.normal(size=1600 + 160 * n).astype(np.float32), 8000) for n in range(count)]


def test_classifier_of_recordings():
    X = recordings(12)
    model = SequenceClassifier(**quick()).fit(X, ["a", "b"] * 6)
    found = padded(model.encoder_.spectra(X[:3]))
    answers = Session(build(model))(x=found["values"], lengths=found["lengths"])
    assert np.abs(answers["probabilities"] - model.predict_proba(X[:3])).max() <= 1e-5


WORDS = [["Anna", "sleeps"], ["Ben", "and", "Anna", "sing"]] * 10
PLACES = [["B-P", "O"], ["B-P", "O", "B-P", "I-P"]] * 10


@pytest.mark.parametrize("options", [{}, {"crf": True, "characters": "none"}, {"bidirectional": False, "cell": "gru"}])
def test_tagger(options):
    model = SequenceTagger(**quick(char_hidden_size=5, embedding_size=6, **options)).fit(WORDS, PLACES)
    session, sentences = Session(build(model)), [["Anna"], ["Ben", "and", "Zoé", "sing"], []]
    lexicon = [model.encoder_.lexicon(words) for words in sentences]
    known = padded([np.asarray(part.words, np.int64) for part in lexicon])
    feed = {"tokens": known["values"], "lengths": known["lengths"]}
    if "characters" in [value.name for value in session.session.get_inputs()]:
        shape = (*feed["tokens"].shape, 9, lexicon[0].characters[0].shape[1])
        feed |= {"characters": np.zeros(shape, np.int64), "character_lengths": np.zeros(shape[:2], np.int64)}
        for row, part in enumerate(lexicon):
            for place, signs in enumerate(part.characters):
                feed["characters"][row, place, : len(signs)] = signs
                feed["character_lengths"][row, place] = len(signs)
    labels = json.loads(session.texts["labels"])
    found = session(**feed)["labels"]
    assert [[labels[i] for i in row[: len(words)]] for row, words in zip(found, sentences, strict=True)] == (
        model.predict(sentences)
    )
    assert json.loads(session.texts["words"])["words"]["Anna"] == feed["tokens"][0, 0]


@pytest.mark.parametrize(("missing", "options"), [(True, {"bidirectional": False, "crf": True}), (False, {})])
def test_tagger_of_series(missing, options):
    X = series(missing)
    model = SequenceTagger(**quick(**options)).fit(X, [[str(step % 3) for step in range(len(row))] for row in X])
    session, feed = Session(build(model)), padded(X)
    found = session(x=feed["values"].astype(np.float32), lengths=feed["lengths"])
    names = [[json.loads(session.texts["labels"])[i] for i in row] for row in found["labels"]]
    assert [row[: len(steps)] for row, steps in zip(names, X, strict=True)] == model.predict(X)


@pytest.mark.parametrize(
    ("places", "crf"), [(PLACES, False), (PLACES, True), ([["X", "Y"], ["X", "Y", "X", "X"]] * 10, False)]
)
def test_pieces_of_a_sentence_have_the_best_tags_so_far(places, crf):
    options = quick(bidirectional=False, crf=crf, cell="gru", characters="none", embedding_size=6, epochs=3)
    model = SequenceTagger(**options).fit(WORDS, places)
    session = Session(build(model))
    chained = "probabilities" not in session.names
    assert chained == (crf or places is PLACES)
    words = ["Anna", "Ben", "and", "sing", "Anna", "sing", "and", "Ben"]
    tokens = np.asarray(model.encoder_.lexicon(words).words, np.int64)[None]
    states = {}
    for begin, end in ((0, 3), (3, 3), (3, 4), (4, 8)):
        part = tokens[:, begin : max(end, begin + 1)]
        found = session(tokens=part, lengths=np.array([end - begin]), **states)
        states = {name.removesuffix(".next"): value for name, value in found.items() if name.endswith(".next")}
        whole = session(tokens=tokens[:, :end], lengths=np.array([end]))
        labels = [model.classes_[label] for label in found["labels"][0, : end - begin]]
        assert labels == model.predict([words[:end]])[0][begin:end]
        assert np.abs(found["scores"][0, : end - begin] - whole["scores"][0, begin:end]).max(initial=0) <= 1e-5
    assert set(states) == {"state.hidden.0", *(["state.path.0", "state.words.0"] if chained else [])}


@pytest.mark.parametrize("options", [{"tokens": "char", "num_layers": 2}, {"tokens": "bpe", "cell": "gru"}])
def test_language_model(options):
    text = "a cat sat on the mat\n" * 30
    model = LanguageModel(**quick(embedding_size=5, **options)).fit(text)
    session = Session(build(model))
    given = encoded(session, ["a cat sat on the mat"])
    tokens = np.concatenate([[[BEGIN_ID]], given["tokens"]], 1)
    whole = session(tokens=tokens, lengths=np.array([tokens.shape[1]]))
    states, scores = {}, []
    for part in np.array_split(np.arange(tokens.shape[1]), 7):
        found = session(tokens=tokens[:, part], lengths=np.array([len(part)]), **states)
        scores.append(found.pop("scores"))
        states = {name.removesuffix(".next"): value for name, value in found.items()}
    assert np.abs(np.concatenate(scores, 1) - whole["scores"]).max() <= 1e-5
    logs = whole["scores"] - np.log(np.exp(whole["scores"]).sum(2, keepdims=True))
    mean = np.take_along_axis(logs[0, :-1], tokens[0, 1:, None], 1).mean()
    assert mean == pytest.approx(model.score("a cat sat on the mat"), abs=1e-5)


def test_language_model_with_labels():
    model = LanguageModel(**quick()).fit(["ab", "cd"] * 20, ["x", "y"] * 20)
    session = Session(build(model))
    assert session.inputs == ["tokens", "lengths", "label"]
    scores = [session(tokens=np.array([[1, 3]]), lengths=np.array([2]), label=np.array([i]))["scores"] for i in (1, 2)]
    assert np.abs(scores[0] - scores[1]).max() > 1e-4


@pytest.mark.parametrize(
    "options", [{"quantiles": (0.1, 0.5, 0.9)}, {"cell": "none"}, {"cell": "gru", "num_layers": 2}]
)
def test_forecaster(options):
    y = np.round(np.sin(np.arange(300) / 5) * 10 + 1000 + RANDOM.normal(size=300), 3)
    model = Forecaster(**quick(horizon=7, **options)).fit(y)
    model._network.season, model._network.shares = 5, Shares(0.1, 0.2, 0.3, 0.4)
    (forecast,) = model.forecast(y)
    session = Session(build(model))
    found = session(x=y[None, -model.context_ :, None].astype(np.float32))
    assert np.abs(found["scores"][0, :, 0] - forecast.values[:, 0]).max() <= 1e-3
    if "quantiles" in options:
        assert np.abs(found["quantiles"][0, :, 0] - forecast.quantiles[:, 0]).max() <= 1e-3


def test_a_forecaster_with_known_columns_and_missing_values_is_exported():
    y = np.sin(np.arange(300) / 5) * 10 + 1000
    y[::17] = np.nan
    options = quick(horizon=5, cell="gru", quantiles=(0.1, 0.9))
    values, known = np.stack([y, np.arange(300.0)], 1), RANDOM.normal(size=(300, 1))
    model = Forecaster(**options).fit(values, features=RANDOM.normal(size=(300, 2)), known=known)
    session = Session(build(model))
    shapes = {value.name: value.shape for value in session.session.get_inputs()}
    assert shapes == {"x": ["batch", model.context_, 5], "future": ["batch", 5, 1]}


def test_a_recursive_forecaster_is_refused():
    model = Forecaster(**quick(horizon=30, decoding="recursive")).fit(np.sin(np.arange(300) / 5))
    with pytest.raises(UsageError, match="calls its network several times; train it with decoding='direct'"):
        build(model)


@pytest.mark.parametrize("direction", ["both", "backward"])
def test_blank_filler(direction):
    model = BlankFiller(**quick(embedding_size=5, direction=direction)).fit(
        ["a cat sat on the mat", "the dog sat"] * 20
    )
    session = Session(build(model))
    given = encoded(session, ["the cat sat"])
    scores = session(**given)["scores"]
    given["tokens"][0, 1] = 0  # is not seen at its place
    assert np.abs(session(**given)["scores"][0, 1] - scores[0, 1]).max() <= 1e-6


def test_transcriber():
    X = recordings(12)
    model = Transcriber(**quick(beam_size=1)).fit(X, ["ab ba", "a b"] * 6)
    session, given = Session(build(model)), padded(model.encoder_.spectra(X))
    found = session(x=given["values"], lengths=given["lengths"])
    texts = [
        model.text_encoder_.decode(row[:count].tolist())
        for row, count in zip(found["labels"], found["label_lengths"], strict=True)
    ]
    assert texts == list(model.predict(X))


def test_translator():
    options = quick(epochs=8, hidden_size=16, embedding_size=8, learning_rate=0.01, beam_size=1)
    model = Translator(**options).fit(*PAIRS)
    session = Session(build(model))
    given = encoded(session, ["good night"], "source-tokenizer")
    said = model.target_encoder_.encode([model.predict(["good night"])[0]])[0]
    targets = np.concatenate([[1], said]).astype(np.int64)[None]
    found = session(**given, targets=targets)
    assert found["weights"].sum(2) == pytest.approx(1, abs=1e-5)
    alignment = model.align("good night")
    if alignment.text == model.predict(["good night"])[0]:
        assert np.abs(found["weights"][0, : len(alignment.weights)] - alignment.weights).max() <= 1e-5


def test_encoder_and_decoder_of_a_translator_run_step_by_step():
    model = Translator(**quick(hidden_size=16, embedding_size=8, num_layers=2)).fit(*PAIRS)
    whole, encoder, decoder = (Session(build(model, part=part)) for part in (None, "encoder", "decoder"))
    feed = encoded(whole, ["good night", "bad", ""], "source-tokenizer")
    targets = np.array([[1, 5, 3, 4], [1, 4, 4, 3], [1, 3, 5, 6]])
    expected, found = whole(**feed, targets=targets), encoder(**feed)
    for step, token in enumerate(targets.T):
        memory, states = found.get("memory"), {name: found[name] for name in found if name.startswith("state.")}
        answer = decoder(targets=token[:, None], lengths=feed["lengths"], memory=memory, **states)
        for name in ("scores", "weights"):
            assert np.abs(answer[name][:, 0] - expected[name][:, step]).max() <= 1e-5
        found = {"memory": memory, **{name: answer[f"{name}.next"] for name in states}}
    with pytest.raises(UsageError, match="a model of the task translate has no part 'attention'"):
        build(model, part="attention")


def test_every_task_has_a_graph_or_is_refused():
    for task in registry.BUILT_IN:
        assert task.graph


def random_model(seed: int) -> Any:
    """Returns a random model of a random task."""
    rng = np.random.default_rng(seed)
    size = {"num_layers": int(rng.integers(1, 4)), "hidden_size": int(rng.integers(2, 12))}
    shared = quick(cell=str(rng.choice(CELLS)), **size)
    ways, embedded = bool(rng.integers(2)), {"embedding_size": 4}
    pooled = {"pooling": str(rng.choice(POOLINGS)), "bidirectional": ways}
    match list(registry.BUILT_IN)[seed % len(registry.BUILT_IN)].name:
        case "classify":
            return SequenceClassifier(**shared, **pooled, **embedded).fit(TEXTS * 4, ["x", "y"] * 10)
        case "regress":
            X = series(bool(rng.integers(2)))
            return SequenceRegressor(**shared, **pooled).fit(X, [np.nansum(row) for row in X])
        case "tag":
            crf = bool(rng.integers(2))
            if rng.integers(2):
                X = series(bool(rng.integers(2)))
                places = [[str(step % 3) for step in range(len(row))] for row in X]
                return SequenceTagger(**shared, crf=crf, bidirectional=ways).fit(X, places)
            tagger = SequenceTagger(**shared, **embedded, crf=crf, bidirectional=ways, char_hidden_size=3)
            return tagger.fit(WORDS, PLACES)
        case "generate":
            return LanguageModel(**shared, **embedded).fit("a cat sat on the mat\n" * 20)
        case "forecast":
            quantiles = (0.1, 0.9) if ways else ()
            forecaster = Forecaster(**shared, horizon=int(rng.integers(1, 12)), quantiles=quantiles)
            return forecaster.fit(np.sin(np.arange(200) / 5) + rng.normal(size=200))
        case "fill":
            return BlankFiller(**shared, **embedded).fit(["a cat sat on the mat", "the dog sat"] * 10)
        case "transcribe":
            return Transcriber(**shared).fit(recordings(6), ["ab ba", "a b"] * 3)
        case "translate":
            return Translator(**shared, **embedded).fit(*PAIRS)
    raise AssertionError("a task without a random model")


def export_random(seed: int) -> None:
    """Exports a random model, which compares it with its file on random batches, in both runtimes."""
    model, int8 = random_model(seed), seed % 5 == 0
    parts = ["encoder", "decoder"] if model.task == "translate" else []
    for part in (None, *parts):
        build(model, int8=int8, part=part)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("recurra.onnx.check._session", OpenVinoSession)
            build(model, int8=int8, required_inputs=True, part=part)


@pytest.mark.parametrize("seed", range(8))
def test_random_models(seed):
    export_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_models(seed):
    export_random(seed)
