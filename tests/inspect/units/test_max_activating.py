"""The unit browser on models whose units are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recurra import SequenceClassifier, nn
from recurra.errors import DataError, UsageError
from recurra.inspect import UnitName, label_association, max_activating, similar, subject_of
from recurra.inspect.core.corpus import CHUNK, Corpus

WORDS = ["영화", "배우", "음악", "감독", "장면"]


def texts_with(word: str, count: int, share: float, seed: int = 0):
    """Texts of some words, and how often `word` stands in each."""
    random = np.random.default_rng(seed)
    texts, times = [], []
    for _ in range(count):
        words = random.choice(WORDS, random.integers(2, 8)).tolist()
        here = random.random() < share
        if here:
            words[random.integers(len(words))] = word
        texts.append(" ".join(words))
        times.append(int(here))
    return texts, np.array(times)


@pytest.fixture(scope="module")
def model():
    """Unit 2 fires at the word "최고" and forgets it at once; unit 5 does so with the other sign; 7 never moves."""
    texts = [" ".join([*WORDS, "최고"])] * 20
    options = {"hidden_size": 8, "embedding_size": 4, "epochs": 1, "verbose": 0}
    found = SequenceClassifier(cell="rnn", tokens="word", **options).fit(texts, [0, 1] * 10)
    encoder = found.network_.encoder
    with torch.no_grad():
        embedding, layer = encoder.embedding.weight, encoder.recurrent
        embedding[:, 0] = 0.1
        embedding[found.encoder_.encode(["최고"])[0][0], 0] = 2
        for unit, factor in ((2, 1.0), (5, -1.0), (7, 0.0)):
            layer.weight_ih_l0[unit] = torch.tensor([factor, 0, 0, 0])
            layer.weight_hh_l0[unit] = 0
            layer.bias_ih_l0[unit] = layer.bias_hh_l0[unit] = 0
    return found


@pytest.fixture(scope="module")
def corpus():
    texts, times = texts_with("최고", CHUNK + 44, 0.3)
    texts[3] = ""  # empty texts count as rows
    times[3] = 0
    return texts, times


def test_a_units_page_shows_the_token_at_which_it_fires(model, corpus):
    texts, times = corpus
    page = max_activating(model, texts, unit=2, y=times, top=12, context=2)
    assert str(page.unit) == "encoder.recurrent/0/forward/2"
    assert len(page.high) == 12
    for span in page.high:
        words = texts[span.row].split()
        assert (span.end - span.begin, words[span.begin], span.label) == (1, "최고", 1)
        assert span.start == max(0, span.begin - 2)
        assert span.tokens == words[span.start : span.end + 2]
        assert len(span.values) == len(span.tokens)
        assert span.value == span.values[span.begin - span.start] == pytest.approx(np.tanh(2))
        assert "[최고]" in str(span)
    assert len({(span.row, span.begin) for span in page.high}) == 12
    assert [(t.token, t.times) for t in page.best_tokens(1)] == [("최고", times.sum())]
    assert "최고" not in [t.token for t in page.best_tokens(1, low=True)]
    assert page.relation is not None
    assert page.relation.value > 0.8  # not 1: the mean over a longer text is smaller
    assert page.minimum == pytest.approx(np.tanh(0.1))
    assert page.low[0].value == page.minimum
    assert json.loads(page.to_json())["high"][0]["tokens"]
    assert "최고" in repr(page)
    assert sum(row["kind"] == "high" for row in page.rows()) == 12


def test_rows_of_later_chunks_and_of_what_is_given(model, corpus):
    texts, times = corpus
    rows = {span.row for span in max_activating(model, texts, unit="0/forward/2", top=1000).high}
    assert rows == set(np.flatnonzero(times))
    assert max(rows) >= CHUNK
    for given in (pd.Series(texts), pa.chunked_array([texts[:10], texts[10:]]), tuple(texts)):
        assert {span.row for span in max_activating(model, given, unit=2, top=1000).high} == rows
    assert max_activating(model, texts, unit=5, top=1).low[0].row in rows
    alone = max_activating(model.subject(texts[:40]), unit="encoder.recurrent/0/forward/2", top=99)
    assert {span.row for span in alone.high} == {row for row in rows if row < 40}


def test_spans_do_not_overlap_and_take_in_what_belongs_to_the_peak():
    layer = torch.nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    torch.nn.init.ones_(layer.weight_ih_l0)
    torch.nn.init.zeros_(layer.weight_hh_l0)  # the unit is its input
    x = torch.tensor([[0, 1, 8, 9, 7, 0, 0, 5, 0, 0], [0, 0, 6, 0, 0, 0, 0, 0, 0, 0.0]]).unsqueeze(-1)
    page = max_activating(layer, x, top=3, context=1)
    assert [(s.row, s.begin, s.end, s.value) for s in page.high] == [(0, 2, 5, 9), (1, 2, 3, 6), (0, 7, 8, 5)]
    assert page.high[0].values == [1, 8, 9, 7, 0]
    assert page.high[0].tokens is None
    assert page.mean == pytest.approx(x.mean().item())


def test_gates_of_deep_layers_in_both_directions():
    layer, x = nn.LSTM(2, 3, num_layers=2, bidirectional=True), torch.randn(9, 300, 2)
    page = max_activating(layer, x, "1/backward/2", of="forget", lengths=[9, 4] * 150)
    import recurra

    values = recurra.trace(layer, x, lengths=[9, 4] * 150)["forget"].sel(layer=1, direction="backward", unit=2).values
    best = page.high[0]
    assert values[best.row].ravel()[np.nanargmax(values[best.row])] == np.nanmax(values) == pytest.approx(best.value)
    assert page.unit == UnitName("", 1, "backward", 2)
    assert page.mean == pytest.approx(np.nanmean(values), rel=1e-5)


def test_the_telling_units_go_with_the_labels(model, corpus):
    texts, times = corpus
    found = label_association(model, texts, times, summary="max")
    by_unit = {r.unit.unit: r for r in found.relations}
    assert by_unit[2].value == pytest.approx(1)
    assert by_unit[2].measure == "r"
    assert (by_unit[7].value, by_unit[7].p, by_unit[7].q) == (0, 1, 1)
    assert by_unit[7] not in found.significant
    assert by_unit[2] in found.significant
    assert all(r.q >= r.p for r in found.relations)
    assert found.rows == len(texts) - 1  # one is empty
    assert found.relations[0].value == pytest.approx(1)
    lowest = label_association(model, texts, times, summary="min").relations
    assert {r.unit.unit: r.value for r in lowest}[5] == pytest.approx(-1)
    names = label_association(model, texts, np.where(times, "yes", "no"), summary="max").relations
    assert [r.value for r in names] == [r.value for r in found.relations]


def test_measures_against_their_definitions():
    layer, x = nn.GRU(2, 5, batch_first=True), torch.randn(60, 7, 2)
    hidden = layer(x)[0].detach().numpy()
    numbers = hidden[:, :, 3].mean(1) + np.random.default_rng(0).normal(size=60)
    by_unit = {r.unit.unit: r for r in label_association(layer, x, numbers).relations}
    assert by_unit[1].value == pytest.approx(np.corrcoef(hidden[:, :, 1].mean(1), numbers)[0, 1], abs=1e-6)
    classes = np.array(list("abc") * 20)
    last = hidden[:, -1, 4]
    between = sum(20 * (last[classes == c].mean() - last.mean()) ** 2 for c in "abc")
    relation = {r.unit.unit: r for r in label_association(layer, x, classes, summary="last").relations}[4]
    assert relation.measure == "eta2"
    assert relation.value == pytest.approx(between / ((last - last.mean()) ** 2).sum(), abs=1e-6)


def test_similar_spans_are_those_with_the_same_states(model, corpus):
    texts, _ = corpus
    texts = [*texts, "배우 최고 음악 장면", "배우 최고 음악 감독"]
    found = similar(model, texts, (len(texts) - 2, 1, 3), top=8)
    assert found.spans[0].row == len(texts) - 1
    assert (found.spans[0].begin, found.spans[0].end) == (1, 3)
    assert found.matches[0].similarity == pytest.approx(1, abs=1e-4)
    assert [m.similarity for m in found.matches] == sorted((m.similarity for m in found.matches), reverse=True)
    assert all(texts[s.row].split()[s.begin] == "최고" for s in found.spans[:4])
    alone = similar(model, texts, max_activating(model, texts, unit=2, top=1).high[0])
    assert 2 in alone.units  # it is on at the word, and off beside it
    own = max_activating(model, texts, unit=2, top=1).high[0]
    assert (own.row, own.begin) not in {(s.row, s.begin) for s in alone.spans}
    assert alone.matches[0].shared > 0
    json.loads(alone.to_json())
    assert "[최고]" in repr(alone)


def test_wrong_units_spans_and_labels_are_named(model, corpus):
    texts, times = corpus
    with pytest.raises(UsageError, match=r"no unit 0/forward/8; .*layers 0 to 0, forward, units 0 to 7 of 'hidden'"):
        max_activating(model, texts, unit=8)
    for wrong in ("0/backward/1", "1/forward/1"):
        with pytest.raises(UsageError, match=f"no unit {wrong}"):
            max_activating(model, texts, unit=wrong)
    for wrong in ("a", "1/2/3/4/5", "x/y", "-1"):
        with pytest.raises(UsageError, match="a unit is a number or part/layer/direction/unit"):
            max_activating(model, texts, unit=wrong)
    with pytest.raises(UsageError, match="no recurrent layer 'other'"):
        max_activating(model, texts, unit="other/0/forward/1")
    with pytest.raises(UsageError, match="no 'forget' in a rnn; there are 'candidate', 'hidden'"):
        max_activating(model, texts, unit=1, of="forget")
    with pytest.raises(UsageError, match="no 'forget' in a rnn"):
        label_association(model, texts, times, of="forget")
    with pytest.raises(UsageError, match="summary is one of mean, max, min, last"):
        label_association(model, texts, times, summary="median")
    with pytest.raises(UsageError, match="needs y"):
        label_association(model, texts)
    with pytest.raises(DataError, match="300 sequences and 2 labels"):
        label_association(model, texts, [0, 1])
    with pytest.raises(DataError, match="300 sequences and 2 labels"):
        max_activating(model, texts, y=[0, 1])
    with pytest.raises(DataError, match="there are too few labels"):
        label_association(model, texts, [1] * len(texts))
    with pytest.raises(DataError, match="too few of each to compare"):
        label_association(model, texts, [str(i) for i in range(len(texts))])
    with pytest.raises(UsageError, match="no row 300 among 300 sequences"):
        similar(model, texts, (300, 0, 1))
    steps = len(texts[0].split())
    for begin, end in ((2, 2), (-1, 1), (0, steps + 1)):
        with pytest.raises(UsageError, match=f"row 0 has {steps} steps; there is no span {begin} to {end}"):
            similar(model, texts, (0, begin, end))
    with pytest.raises(UsageError, match="row 3 has 0 steps"):
        similar(model, texts, (3, 0, 1))
    with pytest.raises(DataError, match="every sequence is empty"):
        max_activating(model, ["", " "])
    with pytest.raises(DataError, match="X is empty"):
        max_activating(model, [])


def test_a_corpus_comes_in_chunks_of_bounded_size(model):
    layer = nn.GRU(2, 3, batch_first=True)
    sizes = [len(s.batch.values) for _, s in Corpus(layer, torch.randn(CHUNK + 5, 3, 2))]
    assert sizes == [CHUNK, 5]
    assert len(list(Corpus(layer, torch.randn(3, 1 << 17, 2)))) == 2
    empty = Corpus(model, ["영화"] * CHUNK + [""] * CHUNK + ["배우"])
    assert [begin for begin, _ in empty] == [0, 2 * CHUNK]
    told = []
    max_activating(model, ["영화"] * (CHUNK + 1), progress=lambda done, count: told.append((done, count)))
    assert told == [(1, 2), (2, 2)]
    subject = subject_of(layer, torch.randn(4, 3, 2))
    assert len(list(Corpus(subject, None))) == 1
