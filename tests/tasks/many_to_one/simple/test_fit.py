"""The linear models beside the networks of the many-to-one tasks: features, regularization, limits, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from recurra._util.schema import FileError
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.tasks.baselines import dump, parse
from recurra.tasks.many_to_one.simple import features, fit
from recurra.tasks.many_to_one.simple.fit import fit_models
from recurra.tasks.many_to_one.simple.models import KINDS, Problem


def batches(X, y, **options):
    return Batches(SequenceStore.build([X]), targets=torch.as_tensor(y), batch_size=64, **options)


def outputs(model, X):
    lengths = np.array([len(x) for x in X])
    values = np.zeros((len(X), lengths.max(), *X[0].shape[1:]), X[0].dtype)
    for row, x in zip(values, X, strict=True):
        row[: len(x)] = x
    return model(torch.from_numpy(values), torch.from_numpy(lengths)).numpy()


def texts(count, seed=0):
    """Texts of tokens 0 to 5; the class says whether 1 is followed by 2 somewhere."""
    random = np.random.default_rng(seed)
    X = [random.integers(0, 6, random.integers(4, 9)).astype(np.int32) for _ in range(count)]
    return X, np.array([int(((x[:-1] == 1) & (x[1:] == 2)).any()) for x in X])


OF_TEXTS, OF_SERIES = Problem("text", "bpe", 6, 2, True), Problem("series", "", 1, 1, False)


# features


def test_resampling_keeps_means_whatever_the_lengths():
    random = np.random.default_rng(0)
    series = random.normal(size=(2, 60, 3))
    found = features.resampled(series, np.array([60, 12]), 12).reshape(2, 12, 3)
    assert found[0] == pytest.approx(series[0].reshape(12, 5, 3).mean(1))
    assert found[1] == pytest.approx(series[1, :12])
    longer = features.resampled(series, np.array([7, 0]), 12).reshape(2, 12, 3)
    assert longer[0].mean(0) == pytest.approx(series[0, :7].mean(0))
    assert not longer[1].any()


def test_the_spectrum_has_the_power_of_a_wave_in_the_band_of_its_frequency():
    time = np.arange(400)
    rows = np.stack([np.sin(2 * np.pi * time * f) for f in (0.01, 0.2)])[..., None]
    found = features.spectral(rows, np.array([400, 300]))
    edges = np.geomspace(features.LOWEST, features.HIGHEST, features.BANDS)
    assert found[:, 1:].argmax(1).tolist() == np.searchsorted(edges, [0.01, 0.2]).tolist()
    noise = np.random.default_rng(0).normal(size=(1, 4096, 1))
    level = features.spectral(noise, np.array([4096]))
    assert level[0, -1] == pytest.approx(0, abs=0.2)  # of white noise the density is its variance
    assert features.spectral(np.arange(5.0)[None, :, None], np.array([5]))[0, 0] == pytest.approx(4)  # slope
    assert np.isfinite(features.spectral(np.ones((3, 2, 1)), np.array([0, 1, 2]))).all()


def test_n_grams_are_those_of_scikit_learn_and_stay_in_their_text():
    from sklearn.feature_extraction.text import TfidfVectorizer

    X, y = texts(80)
    model = fit_models(batches(X, y), OF_TEXTS)[0].model
    words = [" ".join(map(str, x)) for x in X]
    options = {"ngram_range": (1, 2), "min_df": 2, "sublinear_tf": True, "tokenizer": str.split, "token_pattern": None}
    peer = TfidfVectorizer(**options).fit(words)
    values = np.zeros((2, 8), np.int64)
    values[0, :5], values[1, :8] = X[0][:5], [1, 2, 3, 3, 3, 0, 5, 1]
    found = model.features(values, np.array([5, 8])).toarray()
    expected = peer.transform([" ".join(map(str, row[:n])) for row, n in zip(values, (5, 8), strict=True)]).toarray()
    assert np.sort(found, 1) == pytest.approx(np.sort(expected, 1))


# models


def test_pairs_of_tokens_are_learned():
    X, y = texts(600)
    test, expected = texts(300, seed=1)
    (fitted,) = fit_models(batches(X, y), OF_TEXTS)
    assert np.mean(outputs(fitted.model, test).argmax(1) == expected) > 0.9


def test_the_regularization_fits_the_data():
    """Spectra whose small differences say all, and targets that are noise."""
    random = np.random.default_rng(0)
    curve, parts = np.sin(np.linspace(0, 9, 200)) * 3, random.normal(size=(6, 200)).cumsum(1) * 0.01
    amounts = random.normal(size=(140, 6))
    X = [x[:, None].astype(np.float32) for x in curve + amounts @ parts + random.normal(size=(140, 200)) * 1e-4]
    y = amounts[:, :1]
    by_values, _ = fit_models(batches(X[:80], y[:80]), OF_SERIES)
    error = np.mean((outputs(by_values.model, X[80:]) - y[80:]) ** 2)
    assert error < 0.02 * y[80:].var()
    noise = random.normal(size=(140, 1))
    for fitted in fit_models(batches(X[:80], noise[:80]), OF_SERIES):
        assert outputs(fitted.model, X).var() < 0.05
        assert fitted.strength > by_values.strength


def test_a_feature_that_is_constant_up_to_rounding_has_no_weight():
    random = np.random.default_rng(0)
    X = [random.normal(size=(30, 1)) for _ in range(60)]
    X = [((x - x.mean()) / x.std()).astype(np.float32) for x in X]
    model = fit_models(batches(X, random.normal(size=(60, 1))), OF_SERIES)[1].model
    assert not model.weight[[0, 1, 2]].any()  # length, mean, deviation
    assert np.abs(model.weight).max() < 100


# limits


def test_the_work_is_limited(monkeypatch):
    X, y = texts(400)
    monkeypatch.setattr(fit, "FEWEST_ROWS", 10)
    monkeypatch.setitem(fit.MAX_VALUES, "text", 300)
    monkeypatch.setattr(fit, "MAX_NGRAMS", 15)
    (fitted,) = fit_models(batches(X, y), OF_TEXTS)
    count = len(fitted.examples.targets)
    assert 10 < count < 100
    assert fitted.model.note == f"fitted on {count} of 400 sequences"
    assert len(fitted.model.bias) == 2
    assert len(fitted.model.weight) == 15
    monkeypatch.setattr(fit, "MAX_WORK", 50 * 2 * 20)
    assert len(fit_models(batches(X, y), OF_TEXTS)[0].examples.targets) == 20


def test_many_classes_or_features_have_few_weights(monkeypatch):
    monkeypatch.setattr(fit, "MAX_WEIGHTS", 600)
    series = [np.random.default_rng(n).normal(size=(20, 7)).astype(np.float32) for n in range(40)]
    problem = Problem("series", "", 7, 3, True)
    for fitted in fit_models(batches(series, np.arange(40) % 3), problem):
        assert fitted.model.weight.size <= 600
        (again,) = parse(dump([fitted.model]), KINDS, problem.sizes())
        assert (outputs(again, series) == outputs(fitted.model, series)).all()


def test_few_or_empty_sequences():
    empty = np.zeros(0, np.int32)
    assert fit_models(batches([empty, empty], [0, 1]), OF_TEXTS) == []
    (one,) = fit_models(batches([np.array([3], np.int32)], [1]), OF_TEXTS)
    assert outputs(one.model, [np.array([3], np.int32), empty]).argmax(1).tolist() == [1, 1]
    series = [np.zeros((n, 1), np.float32) for n in (0, 1, 3)]
    for fitted in fit_models(batches(series, np.array([[0.0], [3.0], [6.0]])), OF_SERIES):
        assert outputs(fitted.model, series) == pytest.approx(3, abs=3)


# files


@pytest.fixture(scope="module")
def kept():
    """JSON and sizes of the models of texts, and of series of two features."""
    random = np.random.default_rng(0)
    series = [random.normal(size=(8, 2)).astype(np.float32) for _ in range(30)]
    of_series = Problem("series", "", 2, 1, False)
    of_sounds = Problem("audio", "", 2, 1, False)
    y = random.normal(size=(30, 1))
    found = [(fit_models(batches(series, y), problem), problem.sizes()) for problem in (of_series, of_sounds)]
    found.append((fit_models(batches(*texts(40)), OF_TEXTS), OF_TEXTS.sizes()))
    return [(fitted.model, sizes) for models, sizes in found for fitted in models]


def test_models_are_the_same_after_loading(kept):
    assert [type(model).__name__ for model, _ in kept] == [
        "LinearOnValues", "LinearOnSpectrum", "LinearOnValues", "LinearOnStatistics", "LinearOnNgrams",
    ]  # fmt: skip
    for model, sizes in kept:
        (again,) = parse(dump([model]), KINDS, sizes)
        X = texts(9)[0] if sizes["tokens"] else [np.arange(12, dtype=np.float32).reshape(6, 2)] * 3
        assert (outputs(again, X) == outputs(model, X)).all()


@pytest.mark.parametrize(
    ("number", "field", "damage"),
    [
        (0, "weight", lambda found: found[:-1]),
        (0, "mean", lambda found: found[:-1]),
        (0, "scale", lambda found: [0.0, *found[1:]]),
        (1, "weight", lambda found: found[:-1]),
        (1, "scale", lambda found: [*found, 1.0]),
        (1, "weight", lambda found: found * 9),
        (3, "mean", lambda found: found[:-2]),
        (4, "tokens", lambda found: found + 1),
        (4, "tokens", lambda found: True),
        (4, "order", lambda found: 99),
        (4, "order", lambda found: 1),
        (4, "known", lambda found: found[::-1]),
        (4, "known", lambda found: [-1, *found[1:]]),
        (4, "known", lambda found: []),
        (4, "idf", lambda found: found[:-1]),
        (4, "weight", lambda found: [row[:1] for row in found]),
    ],
)
def test_a_damaged_model_is_refused(kept, number, field, damage):
    model, sizes = kept[number]
    (row,) = json.loads(dump([model]))
    row[field] = damage(row[field])
    with pytest.raises(FileError, match="does not fit"):
        parse(json.dumps([row]), KINDS, sizes)


def test_models_of_earlier_versions_are_read():
    row = {"name": "n", "note": "", "weight": [[0.5]] * 21, "bias": [1.0]}
    (model,) = parse(json.dumps([{"kind": "LinearOnSeries", **row}]), KINDS, Problem("series", "", 2, 1, False).sizes())
    series = np.arange(6, dtype=np.float32).reshape(3, 2)
    expected = 0.5 * features.summary(series[None], np.array([3])).sum() + 1
    assert outputs(model, [series]) == pytest.approx(expected)
    row = {"kind": "LinearOnTokens", **row, "weight": [[3.0], [5.0]], "idf": [1.0, 2.0]}
    (model,) = parse(json.dumps([row]), KINDS, Problem("text", "bpe", 2, 1, False).sizes())
    assert outputs(model, [np.array([1], np.int32)]) == pytest.approx(6)
