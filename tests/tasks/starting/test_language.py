"""Networks that start from a language model: they read as it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import BlankFiller, LanguageModel, SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError

TEXTS, LABELS = ["good film", "bad film", "so good", "so bad"] * 12, ["pos", "neg"] * 24
QUICK = {"epochs": 1, "batch_size": 16, "verbose": 0}
SMALL = {**QUICK, "hidden_size": 6, "embedding_size": 4, "num_layers": 2}


def started(kind, model, y):
    """With a learning rate of almost 0, so that the weights are those of the model."""
    return kind(start_from=model, learning_rate=1e-30, **QUICK).fit(TEXTS, y)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_both_directions_of_a_blank_filler_become_one_encoder(cell):
    filler = BlankFiller(cell=cell, tokens="bpe", **SMALL).fit(TEXTS)
    fitted = started(SequenceClassifier, filler, LABELS)
    ids = torch.from_numpy(np.stack(filler.encoder_.encode(["good film"])))
    assert ids.tolist() == [row.tolist() for row in fitted.encoder_.encode(["good film"])]
    lengths = torch.tensor([ids.shape[1]])
    network = filler.network_.eval()
    with torch.inference_mode():
        output, _ = fitted.network_.encoder.eval()(ids, lengths)
        before = network.forwards(network.embedding(ids), lengths=lengths)[0]
        after = network.backwards(network.embedding(ids.flip(1)), lengths=lengths)[0].flip(1)
    torch.testing.assert_close(output, torch.cat([before, after], 2))


@pytest.mark.parametrize(("tokens", "labels"), [("char", None), ("bpe", LABELS)])
def test_a_language_model_becomes_an_encoder_of_one_direction(tokens, labels, tmp_path):
    model = LanguageModel(tokens=tokens, vocab_size=270, **SMALL).fit(TEXTS, labels)
    fitted = started(SequenceRegressor, model, range(len(TEXTS)))
    assert fitted.resolved_params_["bidirectional"] is False
    ids = torch.from_numpy(model.encoder_.encode(["good film"])[0])[None]
    with torch.inference_mode():
        values = ids if labels is None else torch.stack([ids, torch.zeros_like(ids)], 2)
        network = model.network_.eval()
        wanted = network.recurrent(network._embed(values))[0]
        output, _ = fitted.network_.encoder.eval()(ids, torch.tensor([ids.shape[1]]))
    torch.testing.assert_close(output, wanted)
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(recurra.load(tmp_path / "model").predict(TEXTS), fitted.predict(TEXTS))


def test_layers_of_the_language_model_are_trained_further():
    filler = BlankFiller(**SMALL).fit(TEXTS)
    fitted = SequenceClassifier(start_from=filler, **QUICK).fit(TEXTS, LABELS)
    assert not torch.equal(fitted.network_.encoder.embedding.weight, filler.network_.embedding.weight)


def test_a_model_that_reads_backwards_only_is_refused():
    filler = BlankFiller(direction="backward", **SMALL).fit(TEXTS)
    with pytest.raises(UsageError, match="starts from a model of classify, fill, generate"):
        SequenceClassifier(start_from=filler, **QUICK).fit(TEXTS, LABELS)
    with pytest.raises(UsageError, match="bidirectional is False, but the model that training starts from has True"):
        SequenceClassifier(start_from=BlankFiller(**SMALL).fit(TEXTS), bidirectional=False, **QUICK).fit(TEXTS, LABELS)


def topics(random, count):
    """Texts of five words, of which each belongs to one of two topics; and the topics."""
    found = random.integers(0, 2, count)
    return [" ".join(f"{'ab'[topic]}{word}" for word in random.integers(0, 60, 5)) for topic in found], found


def test_a_language_model_makes_up_for_missing_labels():
    """Six labelled texts have a quarter of the words; 600 others show which words belong together."""
    random = np.random.default_rng(0)
    (plain, _), (X, y), test = (topics(random, count) for count in (600, 6, 200))
    options = {"epochs": 20, "batch_size": 4, "learning_rate": 0.01, "validation_fraction": 0, "verbose": 0}
    sizes = {"hidden_size": 12, "embedding_size": 12}
    filler = BlankFiller(**{**options, "epochs": 6, "batch_size": 16, "learning_rate": 0.02}, **sizes, dropout=0.0)
    filler.set_params(validation_fraction=0.1).fit(plain)
    without = SequenceClassifier(**options, **sizes, tokens="word", bidirectional=True).fit(X, y)
    assert without.score(*test) < 0.8
    assert SequenceClassifier(start_from=filler, **options).fit(X, y).score(*test) > 0.95
