"""What the tools that look inside are given of each task: that it is the model, its answer and its loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import recurra
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
from recurra.errors import DataError, UsageError
from recurra.tasks.base import Estimator
from recurra.tasks.forecast.baselines.mixture import Shares
from recurra.tasks.subject import Subject, unknown_notes

QUICK = {"hidden_size": 8, "epochs": 3, "batch_size": 8, "learning_rate": 0.02, "dropout": 0.0, "verbose": 0}
SMALL = QUICK | {"embedding_size": 6}
REVIEWS = ["정말 재미있다", "최고의 영화", "정말 지루하다", "최악의 영화"] * 10
WORDS = [["Anna", "sleeps"], ["the", "Ben", "and", "Anna", "sing"], ["Ben", "sleeps"]] * 10
TAGS = [["B-N", "O"], ["O", "B-N", "O", "B-N", "O"], ["B-N", "O"]] * 10
LINES = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 10
ENGLISH = ["one two", "two three", "three one", "one", "two"] * 6
KOREAN = ["일 이", "이 삼", "삼 일", "일", "이"] * 6
RATE = 8000
TONES = {"가": 250, "나": 800}


def tone(letters: str) -> tuple[np.ndarray, int]:
    time = np.arange(900) / RATE
    return np.concatenate([np.sin(2 * np.pi * TONES[letter] * time) for letter in letters]), RATE


def wave(steps: int) -> np.ndarray:
    return 10 + np.sin(np.arange(steps) * np.pi / 6)


def gate_of(subject: Subject, X, name: str) -> torch.Tensor:
    """What the network itself gives a recurrent layer's output, by a hook."""
    seen = []
    layer = subject.network.get_submodule(name)
    hook = layer.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    with torch.no_grad():
        subject.forward(subject.batch)
    hook.remove()
    return seen[0]


def check(estimator: Estimator, X, y=None, **known) -> Subject:
    """All that holds of every task; returns the subject."""
    subject = estimator.subject(X, y, **known)
    assert not subject.network.training
    assert subject.title == estimator.title
    assert subject.score_name
    rows = len(subject.batch.values)
    assert subject.scores().shape == (rows,)
    torch.testing.assert_close(subject.scores(), subject.scores(), rtol=0, atol=0)
    assert subject.answers is None or len(subject.answers) == rows
    if subject.steps is not None:
        assert [len(row) for row in subject.steps] == subject.batch.lengths.tolist()
    if subject.features is not None:
        assert len(subject.features) == subject.batch.values.shape[-1]
    # the trace is that of this run, and its tokens stand at their steps
    trace = recurra.trace(subject)
    for name, part in trace.parts.items():
        texts = subject.steps_of(name, part["length"].values.tolist())
        if texts is not None:
            assert [[t for t in row if t] for row in part["token"].values.tolist()] == [
                [t for t in row if t] for row in texts
            ]
        if "call" in name:
            continue
        hidden, lengths = gate_of(subject, X, name), part["length"].values
        top = part["hidden"].isel(layer=-1).values  # (direction, batch, time, unit)
        top = np.concatenate(list(top), -1)
        for row, steps in enumerate(lengths):
            np.testing.assert_allclose(top[row, :steps], hidden[row, :steps].numpy(), rtol=0, atol=1e-6)
            assert np.isnan(top[row, steps:]).all()
    # the score moves the weights of every recurrent layer
    weights = {name: p for name, p in subject.network.named_parameters() if "weight_hh" in name}
    assert weights
    found = torch.autograd.grad(subject.scores().sum(), list(weights.values()))
    assert all(bool(gradient.isfinite().all() and gradient.any()) for gradient in found), list(weights)
    return subject


def mean_loss(subject: Subject) -> float:
    assert subject.loss is not None
    total, count = subject.loss(subject.batch)
    assert total.requires_grad
    return float(total.detach()) / float(count)


def test_classify():
    model = SequenceClassifier(**SMALL, tokens="word").fit(REVIEWS, ["+", "+", "-", "-"] * 10)
    X, y = ["최고의 영화 정말", "", "정말 xyz"], ["+", "-", "-"]
    subject = check(model, X, y)
    chances = model.predict_proba(X)
    best = chances.max(1)
    np.testing.assert_allclose(subject.scores().detach(), np.log(best / (1 - best)), rtol=1e-4, atol=1e-5)
    assert subject.answers == [f"{a} ({p:.1%})" for a, p in zip(model.predict(X), best, strict=True)]
    assert mean_loss(subject) == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-5)
    assert subject.steps == [["최고의", "영화", "정말"], [], ["정말", "xyz"]]
    assert subject.notes == ["the model does not know 'xyz': read as unknown tokens"]
    column = pd.Series(X)
    assert model.subject(column).steps == subject.steps
    assert model.subject(X).loss is None


def test_regress():
    X = [np.full((n % 4 + 1, 2), n % 3, dtype=float) for n in range(40)]
    y = [float(x.sum()) for x in X]
    model = SequenceRegressor(**QUICK).fit(X, y)
    subject = check(model, X[:3], y[:3])
    assert mean_loss(subject) == pytest.approx(model.evaluate(X[:3], y[:3])["loss"], rel=1e-5)
    assert [float(a) for a in subject.answers or []] == pytest.approx(model.predict(X[:3]), rel=1e-5)
    with pytest.raises(DataError, match="the model was trained on numeric sequences, X holds texts"):
        recurra.trace(model, ["a text"])
    moved = subject.scores().detach().numpy() - model.predict(X[:3])  # a constant: the mean of the targets, or 0
    np.testing.assert_allclose(moved, moved[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("crf", [False, True])
def test_tag(crf):
    model = SequenceTagger(**SMALL, char_hidden_size=4, crf=crf).fit(WORDS, TAGS)
    X, y = [["Anna", "and", "Zoë"], [], ["Anna", "sing"]], [["B-N", "O", None], [], ["B-N", "O"]]
    subject = check(model, X, y)
    assert subject.steps == X
    assert list(recurra.trace(subject).parts) == ["spelling", "recurrent"]
    assert subject.layer_steps["spelling"] == [list("Anna"), list("and"), list("Zoë"), list("sing")]
    assert mean_loss(subject) == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-5)
    found = model.predict(X)
    assert subject.answers == [
        " ".join(f"{w}/{t}" for w, t in zip(*pair, strict=True)) for pair in zip(X, found, strict=True)
    ]
    if crf:  # the chances of single words do not multiply
        assert bool((subject.scores() <= 1e-5).all())
        whole = model.predict_with_confidence(X[2:])[1][0]
        assert 0 < subject.scores()[2].exp().item() <= min(whole) + 1e-6
    else:
        subject = SequenceTagger(**SMALL).fit(WORDS, [["a" if len(w) > 3 else "b" for w in row] for row in WORDS])
        sure = subject.predict_with_confidence(X)[1]
        scores = subject.subject(X).scores().detach()
        np.testing.assert_allclose(scores, [np.log(row).sum() for row in sure], rtol=1e-4, atol=1e-5)


SHARES = Shares(0.1, 0.0, 0.2, 0.7)  # a network that is not better than the baselines would have no share


def test_forecast():
    table = pd.DataFrame(
        {"day": pd.date_range("2024-01-01", periods=96), "sold": wave(96), "open": 1.0, "rain": wave(96)[::-1]}
    )
    sizes = {"horizon": 6, "context": 20, "segment": 4, "loss": "l1", "quantiles": ()}
    model = Forecaster(**QUICK, **sizes)
    model.fit(table, time="day", target="sold", features="rain", known="open")
    model._network.shares = SHARES
    future = table.iloc[90:][["day", "open"]]
    subject = check(model, table.iloc[:90], table["sold"].iloc[90:], future=future)
    expected = model.predict(table.iloc[:90], future=future)["forecast"]
    assert subject.scores().item() == pytest.approx(expected.mean(), rel=1e-5)
    assert subject.score_name == "mean of the forecasts of sold (in its own unit)"
    assert subject.features == ["sold", "rain", "open", *[n for n in subject.features or [] if " of the " in n]]
    (answer,) = subject.answers or []
    assert answer == "from 2024-03-31 on: sold " + ", ".join(f"{v:.6g}" for v in expected)
    layers = subject.layer_steps
    assert len(layers["recurrent"][0]) == 5
    assert layers["recurrent"][0][0] == "2024-03-11 … 2024-03-14"
    assert layers["recurrent"][0][-1] == "2024-03-27 … 2024-03-30"
    assert layers["recurrent (call 2)"] == [["2024-03-31 … 2024-04-03"], ["2024-04-04 … 2024-04-05"]]


def test_forecast_of_several_series():
    model = Forecaster(**QUICK, horizon=4, context=7, segment=3, loss="l1", quantiles=())
    model.fit([np.stack([wave(60), 2 * wave(60)], 1), np.stack([3 * wave(50), wave(50)], 1)])
    model._network.shares = SHARES
    X = [np.stack([wave(20), wave(20)], 1), np.stack([wave(4), wave(4)], 1)]
    y = [X[0][:4], np.where(np.arange(8).reshape(4, 2) == 0, np.nan, 8.0)]
    subject = check(model, X, y)
    predicted = model.predict(X)
    np.testing.assert_allclose(subject.scores().detach(), [p[:, 0].mean() for p in predicted], rtol=1e-5)
    # series, then targets; two steps of filling in front make nine of three segments
    steps = subject.layer_steps["recurrent"]
    assert steps == [["13", "14 … 16", "17 … 19"]] * 2 + [["", "0", "1 … 3"]] * 2
    assert [row[0] for row in subject.layer_steps["recurrent (call 2)"]][:4] == ["20 … 22", "23"] * 2
    # the loss is the mean absolute error of what came and was there
    total, count = subject.loss(subject.batch)  # type: ignore[misc]
    assert float(count) == 15
    scales = [model.preparation_.scales[str(i)] for i in range(2)]
    errors = [np.abs(a - b) / s[1] for a, b, s in zip(predicted, y, scales, strict=True)]
    assert float(total.detach()) == pytest.approx(np.nansum(np.concatenate(errors)), rel=1e-4)
    with pytest.raises(DataError, match=r"y\[0\] has shape"):
        model.subject(X, [X[0][:3], X[1]])
    with pytest.raises(DataError, match="must pair up"):
        model.subject(X, y[:1])
    assert check(model, None).answers == model.subject(None).answers


@pytest.mark.parametrize("labels", [None, ["p", "n", "p", "n"] * 10])
def test_generate(labels):
    model = LanguageModel(**SMALL).fit(LINES, labels)
    X, y = ["a cat Ω", ""], None if labels is None else ["p", None]
    subject = check(model, X, y)
    np.testing.assert_allclose(subject.scores().detach(), model.log_probability(X, y), rtol=1e-5)
    assert mean_loss(subject) == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-5)
    assert subject.steps == [["[BEGIN]", *"a cat Ω"], ["[BEGIN]"]]
    assert [a.split(" ")[0] for a in subject.answers or []] == [
        "continues" if token else "ends" for token in model.predict(X, y)
    ]
    assert subject.notes == ["the model does not know 'Ω': read as unknown tokens"]
    with pytest.raises(DataError, match="every text is empty"):
        model.subject(["", ""])


def test_generate_from_a_running_text_of_bytes():
    model = LanguageModel(**SMALL, bptt=8, tokens="bpe", vocab_size=270).fit("\n".join(LINES))
    X = ["the cat\n고양이"]
    subject = check(model, X)
    np.testing.assert_allclose(subject.scores().detach(), model.log_probability(X), rtol=1e-5)
    assert subject.notes == []


@pytest.mark.parametrize("tokens", ["word", "bpe", "char"])
def test_fill(tokens):
    model = BlankFiller(**SMALL, tokens=tokens).fit(LINES)
    X = ["the cat [ ] xyz", "a ___ eats [ ]"] if tokens == "word" else ["the cat [ ] milk and eats"]
    subject = check(model, X)
    found = model.predict(X, top=1)
    assert subject.answers == [f.text for f in found]
    if tokens != "bpe":  # of several pieces, each is judged beside the others
        chances = [sum(np.log(blank[0].probability) for blank in f.blanks) for f in found]
        np.testing.assert_allclose(subject.scores().detach(), chances, rtol=1e-4, atol=1e-5)
        assert mean_loss(subject) == pytest.approx(model.evaluate([f.text for f in found])["loss"], rel=1e-5)
    assert subject.layer_steps["backwards"] == [row[::-1] for row in subject.steps or []]
    joined = (" " if tokens == "word" else "").join(subject.steps[0])  # type: ignore[index]
    assert joined.replace(" ", "") == found[0].text.replace(" ", "")
    if tokens == "word":
        assert subject.notes == ["the model does not know 'xyz': read as unknown tokens"]
    with pytest.raises(DataError, match="no blank"):
        model.subject(["the cat"])


def test_fill_in_the_middle_of_a_word():
    model = BlankFiller(**SMALL, tokens="bpe").fit(LINES)
    subject = check(model, ["the cat[ ] drinks mi[ ]"])
    assert "".join(subject.steps[0]).startswith("thecat")  # type: ignore[index]


def test_translate():
    model = Translator(**SMALL, tokens="word", token_dropout=0.0, validation_fraction=0).fit(ENGLISH, KOREAN)
    X = ["two one", "three"]
    subject = check(model, X)
    best = [found[0] for found in model.candidates(X)]
    assert subject.answers == [b.text for b in best] == model.predict(X)
    steps = [len(b.text.split()) + 1 for b in best]  # the search compares means over the tokens and the end
    np.testing.assert_allclose(subject.scores().detach(), np.multiply([b.score for b in best], steps), rtol=1e-4)
    assert subject.layer_steps["decoder"] == [["[BEGIN]", *b.text.split()] for b in best]
    assert subject.loss is None
    given = check(model, X, ["이 일 xyz", "삼"])
    assert mean_loss(given) == pytest.approx(model.evaluate(X, ["이 일 xyz", "삼"])["loss"], rel=1e-5)
    assert given.layer_steps["decoder"] == [["[BEGIN]", "이", "일", "xyz"], ["[BEGIN]", "삼"]]
    total, _ = given.loss(given.batch)  # type: ignore[misc]
    assert float(total.detach()) == pytest.approx(-float(given.scores().detach().sum()))
    with pytest.raises(DataError, match=r"X\[1\] is empty"):
        model.subject(["one", " "])
    with pytest.raises(DataError, match="must pair up"):
        model.subject(X, ["일"])


def test_transcribe():
    pytest.importorskip("soundfile")
    texts = ["가나", "나", "가", "나가"] * 8
    model = Transcriber(**QUICK | {"epochs": 12}, num_layers=1).fit([tone(text) for text in texts], texts)
    X, y = [tone("가나"), tone("나")], ["가나", "나"]
    subject = check(model, X, y)
    said = model.transcribe(X)
    assert subject.answers == [s.text for s in said]
    chances = [len(s.tokens) * np.log(s.confidence) for s in said]  # whose mean over the tokens is the confidence
    assert all(s.tokens for s in said)
    np.testing.assert_allclose(subject.scores().detach(), chances, rtol=1e-4, atol=1e-5)
    assert mean_loss(subject) == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-5)
    assert subject.seconds == pytest.approx(0.03)
    steps = recurra.trace(subject).parts["encoder.recurrent"]["length"].values
    assert steps.tolist() == [-(-n // 3) for n in subject.batch.lengths.tolist()]
    with pytest.raises(DataError, match="a text is missing"):
        model.subject(X, ["가", None])


def test_nothing_to_look_at():
    model = SequenceTagger(**SMALL, cell="none").fit(WORDS, TAGS)
    with pytest.raises(DataError, match="every sequence is empty"):
        model.subject([[], []])
    with pytest.raises(DataError, match="X is empty"):
        model.subject([])
    # what spells words remembers even here; without it nothing does
    assert list(recurra.trace(model, [["Anna"]]).parts) == ["spelling"]
    model = SequenceTagger(**SMALL, cell="none", characters="none").fit(WORDS, TAGS)
    with pytest.raises(UsageError, match="baseline without memory"):
        recurra.trace(model, [["Anna"]])


@pytest.mark.parametrize("unknown", [[], [1], [0, 1, 2]])
def test_notes_name_what_is_unknown(unknown):
    values = torch.tensor([[0 if i in unknown else 5 for i in range(3)], [7, 0, 0]])
    notes = unknown_notes(values, torch.tensor([3, 1]), [["a", "b", "c"], ["d"]])
    names = ", ".join(repr("abc"[i]) for i in unknown)
    nothing = "; it knows nothing of text 1" if len(unknown) == 3 else ""
    assert notes == ([f"the model does not know {names}: read as unknown tokens{nothing}"] if unknown else [])
