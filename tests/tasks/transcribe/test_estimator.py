"""Transcriber: what it learns, keeps and refuses; recordings for classifier and regressor."""

from __future__ import annotations

import inspect
from itertools import product

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recurra
from killing import killed_after
from recurra import SequenceClassifier, SequenceRegressor, Transcriber
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.tasks.transcribe.network import CTCObjective, as_read, ctc_losses

RATE = 8000
HERTZ = {"가": 250, "나": 800, "다": 2000}
QUICK = {"hidden_size": 16, "num_layers": 1, "epochs": 24, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}
QUICK |= {"dropout": 0.0, "n_iter_no_change": None}


def say(text, random):
    """Each letter is a short tone with its own pitch, with silences around."""
    pieces = [np.zeros(random.integers(200, 500))]
    for letter in text:
        time = np.arange(random.integers(700, 1000)) / RATE
        pieces += [0.3 * np.sin(2 * np.pi * HERTZ[letter] * time), np.zeros(random.integers(300, 500))]
    sound = np.concatenate(pieces)
    return sound + random.normal(scale=1e-3, size=len(sound))


def spoken(n=72, seed=0):
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list(HERTZ), random.integers(1, 4))) for _ in range(n)]
    return [(say(text, random), RATE) for text in texts], texts


@pytest.fixture(scope="module")
def model():
    return Transcriber(**QUICK).fit(*spoken())


def test_constructor_only_stores():
    names = list(inspect.signature(Transcriber.__init__).parameters)[1:]
    marks = {name: object() for name in names}
    assert Transcriber(**marks).get_params() == marks
    assert clone(Transcriber(frames=2)).frames == 2
    with pytest.raises(NotFittedError):
        Transcriber().predict(spoken(1)[0])


def test_learns_to_write_what_it_hears(model):
    X, texts = spoken(30, seed=1)
    figures = model.evaluate(X, texts)
    assert set(figures) == {"cer", "wer", "exact", "loss", "n", "baselines", "comparison"}
    assert figures["cer"] < 0.05
    assert figures["n"] == 30
    found = model.predict(X)
    assert model.score(X, texts) == 1 - figures["cer"]
    assert figures["exact"] == np.mean([a == b for a, b in zip(found, texts, strict=True)])


def test_times_and_confidence(model):
    X, texts = spoken(20, seed=2)
    for (samples, _), text, said in zip(X, texts, model.transcribe(X), strict=True):
        assert 0 < said.confidence <= 1
        assert "".join(token.token for token in said.tokens) == said.text
        edges = [edge for token in said.tokens for edge in (token.start, token.end)]
        assert edges == sorted(edges)
        assert 0 <= edges[0] < edges[-1] <= len(samples) / RATE + 0.04
        if said.text == text:  # the tones begin about 0.15 s apart
            assert all(b.start - a.start > 0.06 for a, b in zip(said.tokens, said.tokens[1:], strict=False))
    noise = np.random.default_rng(0).normal(scale=0.1, size=6000)
    assert model.transcribe([(noise, RATE)])[0].confidence < model.transcribe(X)[0].confidence


def test_confidence_is_the_probability_of_all_paths(model):
    X, _ = spoken(3, seed=3)
    network = model.network_
    for x, said in zip(X, model.transcribe(X), strict=True):
        values = torch.from_numpy(model.encoder_.encode([x])[0]).unsqueeze(0)
        with torch.inference_mode():
            log_probs = network(values, torch.tensor([values.shape[1]]))[0]
        ids = torch.tensor([model.text_encoder_.encode([said.text])[0].tolist()])
        loss = torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1), ids, [log_probs.shape[1]], [ids.shape[1]], blank=1, reduction="sum"
        )
        assert said.confidence == pytest.approx(float(torch.exp(-loss / ids.shape[1])), rel=1e-3)


def test_predictions_do_not_depend_on_their_neighbours(model):
    X, _ = spoken(8, seed=4)
    X += [(np.zeros(0), RATE), (np.tile(X[0][0], 4), RATE)]
    together = model.transcribe(X)
    alone = [model.transcribe([x])[0] for x in X]
    assert [t.text for t in together] == [t.text for t in alone]
    np.testing.assert_allclose([t.confidence for t in together], [t.confidence for t in alone], rtol=1e-4)
    assert together[8] == ("", 1.0, [])
    assert model.predict([]) == []
    assert model.predict([(np.zeros(0), RATE)]) == [""]


def test_beam_search_is_at_least_as_good(model):
    X, texts = spoken(12, seed=5)
    wide = clone(model)
    wide.__dict__.update(model.__dict__)
    wide.beam_size = 8
    assert wide.evaluate(X, texts)["cer"] <= model.evaluate(X, texts)["cer"] + 0.02
    wide.length_bonus = 30.0
    assert sum(map(len, wide.predict(X))) > sum(map(len, model.predict(X)))


@pytest.mark.parametrize("changes", [{"tokens": "word"}, {"cell": "gru"}, {"cell": "none"}])
def test_saved_and_loaded_models_agree(tmp_path, changes):
    X, texts = spoken(16)
    texts = [" ".join(text) for text in texts]
    model = Transcriber(**{**QUICK, "epochs": 2, **changes}).fit(X, texts)
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert isinstance(again, Transcriber)
    assert again.get_params() == model.get_params()
    assert again.transcribe(X) == model.transcribe(X)
    assert again.evaluate(X, texts) == model.evaluate(X, texts)
    assert "recording.wav" in (tmp_path / "m" / "README.md").read_text()
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(ModelFolderError):
        recurra.load(tmp_path / "m")


def test_order_matters_to_a_transcriber(model):
    found = model.order_test(*spoken(20, seed=1))
    assert found["in order"]["cer"] < 0.05
    assert found["shuffled"]["cer"] > 0.5


def test_same_seed_same_model_and_resumed_equals_uninterrupted(tmp_path):
    X, texts = spoken(20)
    arguments = {**QUICK, "epochs": 3, "dropout": 0.3}

    def figures(fitted):
        return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in fitted.history_]

    whole = Transcriber(**arguments).fit(X, texts)
    other = Transcriber(**arguments, random_state=1).fit(X, texts)
    assert figures(other) != figures(whole)
    with killed_after(4):
        Transcriber(**arguments).fit(X, texts, checkpoint=tmp_path, checkpoint_minutes=0.0)
    resumed = Transcriber(**arguments).fit(X, texts, checkpoint=tmp_path, resume=True)
    assert resumed.resumed_
    assert figures(resumed) == figures(whole)
    assert resumed.transcribe(X) == whole.transcribe(X)
    with pytest.raises(UsageError, match="training data"):
        Transcriber(**arguments).fit(X, texts[1:] + texts[:1], checkpoint=tmp_path, resume=True)


def test_what_cannot_be_learned_is_left_out_and_counted():
    X, texts = spoken(20)
    X += [(np.zeros(0), RATE), (X[0][0][:600], RATE), X[1]]
    texts += ["가", "가나다" * 9, None]
    model = Transcriber(**{**QUICK, "epochs": 1}, validation_fraction=0).fit(X, texts)
    found = model.data_
    assert found["recordings trained on"] == 20
    assert found["left out for a missing text"] == 1
    assert found["left out for a text too long for its recording"] == 2
    assert found["sample rate (Hz)"] == RATE
    figures = model.evaluate(X, texts)
    assert figures["n"] == 22
    assert all(np.isfinite(figures[name]) for name in ("cer", "wer", "exact", "loss"))


def test_error_rates():
    class Fake:
        def decode(self, ids):
            return ids

    rows = [("one two", "one  two", 1.0, 7), ("three", "tree", 3.0, 5), ("a b c d", "", np.inf, 7)]
    found = CTCObjective(Fake(), 1, 0.0).metrics([rows[:2], rows[2:]])
    assert found == {
        "cer": (0 + 1 + 7) / 19,
        "wer": (0 + 1 + 4) / 7,
        "exact": 1 / 3,
        "loss": 4 / 12,
    }


def test_composed_and_decomposed_hangul_are_the_same():
    assert as_read("\u1100\u1161") == "가"


def test_ctc_losses_against_every_path():
    torch.manual_seed(0)
    log_probs = torch.randn(3, 4, 3).log_softmax(-1)
    steps, targets, sizes = torch.tensor([4, 2, 0]), torch.tensor([[2, 2], [0, -100], [-100, -100]]), [2, 1, 0]

    def spells(path, tokens):
        runs = [t for i, t in enumerate(path) if i == 0 or path[i - 1] != t]
        return [t for t in runs if t != 1] == tokens

    found = ctc_losses(log_probs, steps, targets, torch.tensor(sizes))
    for row, size in enumerate(sizes):
        tokens, p = targets[row, :size].tolist(), 0.0
        for path in product(range(3), repeat=int(steps[row])):
            if spells(path, tokens):
                p += float(sum(log_probs[row, i, t] for i, t in enumerate(path)).exp()) if path else 1.0
        assert float(found[row]) == pytest.approx(-np.log(p), abs=1e-5)
    nothing = ctc_losses(log_probs[:, :0], 0 * steps, targets, torch.tensor([0, 1, 0]))
    assert nothing.tolist() == [0.0, float("inf"), 0.0]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([np.zeros((4, 2))], ["a"], "no recordings"),
        (["a text"], ["a"], "no recordings"),
        (["no.wav"], ["a"], r"no\.wav"),
        ([(np.zeros(800), RATE)], [""], "every text is missing"),
        ([(np.zeros(800), RATE)] * 2, [7, 8], "which is no text"),
        ([(np.zeros(800), RATE)] * 2, ["a"], "must pair up"),
        ([(np.random.default_rng(0).normal(size=800), RATE)] * 2, ["가나다라마바사"] * 2, "too long for its recording"),
        ([(np.zeros(0), RATE)] * 2, ["가"] * 2, "every sequence is empty"),
    ],
)
def test_refuses(X, y, message):
    with pytest.raises(DataError, match=message):
        Transcriber(**QUICK, validation_fraction=0).fit(X, y)


def test_wrong_arguments(model):
    for arguments, message in (({"frames": 0}, "frames"), ({"beam_size": 0}, "beam_size"), ({"tokens": "x"}, "tokens")):
        with pytest.raises(UsageError, match=message):
            Transcriber(**{**QUICK, **arguments}).fit(*spoken(4))
    with pytest.raises(DataError, match="no weights"):
        model.evaluate(*spoken(2), sample_weight=[1, 1])


# recordings for one answer each


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    paths, labels = [], []
    for i in range(48):
        label = "다" if i % 2 else "가"
        paths.append(folder / f"{i}.wav")
        soundfile.write(paths[-1], say(label, random), RATE)
        labels.append(label)
    return paths, labels


def test_classifier_of_recordings(tmp_path, tones):
    X, y = tones
    quick = {"hidden_size": 12, "epochs": 8, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}
    model = SequenceClassifier(**quick).fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.score([str(path) for path in X], y) == 1.0
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert "recording.wav" in (tmp_path / "m" / "README.md").read_text()
    probabilities = model.predict_proba([*X[:2], (np.zeros(0), RATE)][:2])
    np.testing.assert_allclose(probabilities, model.predict_proba(X)[:2], atol=1e-6)
    assert np.isfinite(model.predict_proba([(np.zeros(0), RATE)])).all()
    with pytest.raises(DataError, match="trained on recordings, X holds texts"):
        model.predict(["a text"])
    found = model.order_test(X, y)
    assert found["in order"]["accuracy"] == 1.0


def test_regressor_of_recordings(tones):
    X, y = tones
    numbers = [HERTZ[label] for label in y]
    quick = {"hidden_size": 12, "epochs": 15, "batch_size": 8, "learning_rate": 0.02, "dropout": 0.0, "verbose": 0}
    model = SequenceRegressor("none", pooling="mean", n_iter_no_change=None, **quick).fit(X, numbers)
    assert model.score(X, numbers) > 0.9
