"""Places where the same units are active: an exhaustive search, a known network, and wrong input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recurra
from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import unit_pattern
from recurra.inspect.units.unit_pattern import _windows


def slow_search(values: np.ndarray, threshold: float, width: int, own: tuple[int, int]) -> list[tuple]:
    """All places that do not overlap, by comparing every step of every unit."""
    found = []
    for row, states in enumerate(values):
        length, places = int((~np.isnan(states[:, 0])).sum()), []
        on = [[bool(states[t, u] >= threshold) for u in range(states.shape[1])] for t in range(length)]
        for at in range(length - width + 1):
            through = [u for u in range(states.shape[1]) if all(on[t][u] for t in range(at, at + width))]
            beside = [t for t in (at - 1, at + width) if 0 <= t < length]
            exact = [u for u in through if not any(on[t][u] for t in beside)]
            if through:
                places.append((-len(through), -len(exact), -float(states[at : at + width].mean()), at))
        taken = set(range(own[1], own[1] + width)) if row == own[0] else set()
        for active, exact, mean, at in sorted(places):
            if not taken & set(range(at, at + width)):
                taken |= set(range(at, at + width))
                found.append((active, exact, mean, row, at))
    return sorted(found)


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_as_an_exhaustive_search(seed, width, top):
    random = np.random.default_rng(seed)
    values = random.normal(size=(5, 7, 4))
    for row, length in enumerate(random.integers(0, 8, 5)):
        values[row, length:] = np.nan
    own = int(random.integers(0, 5)), int(random.integers(0, 5))
    found = _windows(values, 0.2, width, top, own)
    expected = slow_search(values, 0.2, width, own)[:top]
    assert [(-active, -exact) for _, _, active, exact, _ in found] == [place[:2] for place in expected]
    assert [(row, at) for row, at, *_ in found] == [place[3:] for place in expected]
    assert [mean for *_, mean in found] == pytest.approx([-place[2] for place in expected])


def counter() -> nn.RNN:
    """A layer whose unit u is active at the steps at which feature u is 1: no memory, weights by hand."""
    layer = nn.RNN(3, 3, batch_first=True, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(3 * torch.eye(3))
        layer.weight_hh_l0.zero_()
    return layer


def test_places_of_a_known_network():
    x = torch.zeros(4, 6, 3)
    x[0, 1:3, :2] = 1  # the pattern: the units 0 and 1 for two steps
    x[1, 2:4, :2] = 1  # the same
    x[2, 0:4, :2] = 1  # longer
    x[3, 3:5, 1] = 1  # one unit
    found = unit_pattern(counter(), x, (0, 1, 3), list("abcd"))
    assert found.units == [0, 1]
    assert [(m.span.row, m.span.begin, m.active, m.exact) for m in found.matches[:4]] == [
        (1, 2, 2, 2),
        (2, 0, 2, 0),
        (2, 2, 2, 0),
        (3, 3, 1, 1),
    ]
    assert [m.span.label for m in found.matches] == ["b", "c", "c", "d"]
    assert found.matches[0].span.values == [0, 0, 2, 2, 0, 0]
    only = unit_pattern(counter(), x, (0, 1, 3), units=[1], threshold=0.9, top=2)
    assert [(m.span.row, m.active, m.exact) for m in only.matches] == [(1, 1, 1), (3, 1, 1)]
    assert found.to_dict()["matches"][0]["unit"] == "layer/0/forward/0"
    assert "2 of 2 units, 2 exact" in repr(found)


def test_chunks_do_not_matter(monkeypatch):
    torch.manual_seed(0)
    layer, x = nn.GRU(2, 8, batch_first=True), torch.randn(30, 9, 2)
    whole = unit_pattern(layer, x, (4, 2, 4), threshold=0.1, top=7)
    monkeypatch.setattr("recurra.inspect.core.corpus.CHUNK", 4)
    assert unit_pattern(layer, x, (4, 2, 4), threshold=0.1, top=7).to_dict() == whole.to_dict()


def test_wrong_arguments():
    layer, x = nn.GRU(2, 8, batch_first=True), torch.randn(3, 9, 2)
    with pytest.raises(UsageError, match="there is no row 3 among 3 sequences"):
        unit_pattern(layer, x, (3, 0, 1))
    with pytest.raises(UsageError, match="the sequence has 9 steps; there is no span 4 to 10"):
        unit_pattern(layer, x, (1, 4, 10))
    with pytest.raises(UsageError, match="no unit is at least 2 at all steps from 1 to 2; the highest threshold"):
        unit_pattern(layer, x, (0, 1, 3), threshold=2.0)
    with pytest.raises(UsageError, match="units are from 0 to 7, got 3, 8"):
        unit_pattern(layer, x, (0, 1, 3), units=[3, 8])
    with pytest.raises(UsageError, match="there is no 'cell' in a gru"):
        unit_pattern(layer, x, (0, 1, 3), of="cell")


def test_texts_with_context():
    texts = ["so good", "so very good", "so bad", "good"] * 3
    model = recurra.SequenceClassifier(hidden_size=8, epochs=1, tokens="word", verbose=0).fit(texts, [1, 1, 0, 1] * 3)
    states = recurra.trace(model, [texts[1]])["hidden"].values[0, 0, 0, 1:3]
    found = unit_pattern(model, texts, (1, 1, 3), threshold=float(states.min(0).max()) - 1e-3)
    same = [match for match in found.matches if match.span.tokens == texts[1].split()]
    assert [(match.span.row, match.active, match.span.begin) for match in same] == [
        (5, len(found.units), 1),
        (9, len(found.units), 1),
    ]
    assert str(same[0].span).endswith("so [very good]")
