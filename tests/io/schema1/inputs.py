"""Tiny training data and inputs to predict on, from which `make.py` made the folders beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

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

FOLDERS = Path(__file__).parent
EXPECTED = json.loads((FOLDERS / "expected.json").read_text(encoding="utf-8"))
"""What the models answered when they were made."""

QUICK: dict[str, Any] = {"hidden_size": 4, "epochs": 2, "batch_size": 8, "verbose": 0, "learning_rate": 0.02}
TEXTS = ["a good film", "a bad film, really", "좋은 영화", "so bad", "나쁜 영화", "good good"] * 4
LABELS = ["pos", "neg", "pos", "neg", "neg", "pos"] * 4


def series(rows: int = 12) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    found = [random.normal(size=(3 + n % 4, 2)) for n in range(rows)]
    found[1][1, 0] = np.nan
    return found


def sounds() -> list[tuple[np.ndarray, int]]:
    time = np.arange(1000) / 8000
    tone = {letter: np.sin(2 * np.pi * hertz * time) for letter, hertz in (("a", 300), ("b", 1200))}
    return [(np.concatenate([tone[letter] for letter in text]), 8000) for text in ("ab", "ba", "a", "b") * 3]


def table() -> dict[str, list[Any]]:
    days = np.datetime64("2024-01-01") + np.arange(60)
    sold = 10 + np.sin(np.arange(60) * 2 * np.pi / 7)
    return {"day": days.astype(str).tolist(), "sold": sold.tolist(), "promo": (np.arange(60) % 5 == 0).astype(float)}


def many() -> list[np.ndarray]:
    return [np.sin(np.arange(60) / (3 + n)) * 10**n for n in range(2)]


def known_table(rows: int) -> dict[str, list[Any]]:
    return {name: list(column[:rows]) for name, column in table().items()}


SENTENCES = [["Anna", "Kim", "sleeps"], ["Ben", "and", "Anna", "sing"]] * 6
TAGS = [["B-PER", "I-PER", "O"], ["B-PER", "O", "B-PER", "O"]] * 6

MADE: dict[str, Any] = {
    "classify": lambda: SequenceClassifier(**QUICK, embedding_size=4, vocab_size=60).fit(TEXTS, LABELS),
    "classify-words": lambda: SequenceClassifier(
        **QUICK, embedding_size=4, tokens="word", class_weight={0: 1.0, 1: 2.0}, cell="gru", pooling="last"
    ).fit(TEXTS, [int(label == "pos") for label in LABELS]),
    "classify-series": lambda: SequenceClassifier(**QUICK, cell="rnn").fit(series(), list("ab") * 6),
    "classify-sounds": lambda: SequenceClassifier(**QUICK, cell="none").fit(sounds(), list("xy") * 6),
    "regress": lambda: SequenceRegressor(**QUICK).fit(series(), np.arange(24.0).reshape(12, 2)),
    "tag": lambda: SequenceTagger(**QUICK, embedding_size=4, char_embedding_size=3, char_hidden_size=3, crf=True).fit(
        SENTENCES, TAGS
    ),
    "forecast": lambda: Forecaster(**QUICK, horizon=3).fit(table(), known=["promo"], time="day", target="sold"),
    "forecast-arrays": lambda: Forecaster(**QUICK, horizon=3, split=(0.7, 0.2, 0.1), cell="lstm").fit(many()),
    "generate": lambda: LanguageModel(**QUICK, embedding_size=4, bptt=16).fit("a cat sat on the mat\n" * 20),
    "generate-texts": lambda: LanguageModel(**QUICK, embedding_size=4, tokens="bpe", vocab_size=280).fit(TEXTS, LABELS),
    "translate": lambda: Translator(**QUICK, embedding_size=4, beam_size=2, vocab_size=40).fit(
        ["one two", "two three", "three one"] * 8, ["일 이", "이 삼", "삼 일"] * 8
    ),
    "fill": lambda: BlankFiller(**QUICK, embedding_size=4).fit(["the cat drinks milk", "a dog eats meat"] * 10),
    "fill-pieces": lambda: BlankFiller(**QUICK, embedding_size=4, tokens="bpe", vocab_size=40).fit(
        ["the cat drinks milk", "a dog eats meat"] * 10
    ),
    "transcribe": lambda: Transcriber(**QUICK, num_layers=1).fit(sounds(), ["ab", "ba", "a", "b"] * 3),
}
"""How each folder was trained, by its name."""


def answers(name: str, model: Any) -> Any:
    """What a model says about its inputs, as JSON can hold it."""
    task = name.partition("-")[0]
    if name.startswith("classify"):
        inputs = {"classify-series": series, "classify-sounds": sounds}.get(name, lambda: TEXTS)()[:4]
        return [model.predict(inputs).tolist(), model.predict_proba(inputs).tolist()]
    if name == "forecast":
        given = {k: list(v) for k, v in known_table(40).items()}
        future = {k: list(v[40:43]) for k, v in table().items() if k != "sold"}
        table_found = model.predict(given, future=future)
        return {k: [str(v) for v in column] for k, column in table_found.to_pydict().items()}
    if name == "forecast-arrays":
        return [found.tolist() for found in model.predict(many())]
    if task == "regress":
        return model.predict(series()[:4]).tolist()
    if task == "tag":
        tags, sure = model.predict_with_confidence([["Anna", "sings"], ["Zoe"]])
        return [tags, sure]
    if task == "generate":
        label = "pos" if name == "generate-texts" else None
        return [model.generate("a c", length=20, seed=3, condition=label), model.log_probability(["a film"]).tolist()]
    if task == "translate":
        return [[found.text, found.score] for found in model.candidates(["two one", "three three"])[0]]
    if task == "fill":
        found = model.predict(["the [ ] drinks milk"], top=2)[0]
        return [found.text, found.probability, [list(word) for word in found.blanks[0]]]
    return [[found.text, found.confidence] for found in model.transcribe(sounds()[:2])]
