"""The unit browser on real reviews: time of one core and memory."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recurra import SequenceClassifier
from recurra.inspect import attribute, label_association, max_activating, similar

pytestmark = pytest.mark.data


def read(path, count):
    lines = path.read_text(encoding="utf-8").splitlines()[1 : count + 1]
    rows = [line.split("\t") for line in lines]
    return [row[1] for row in rows], [int(row[2]) for row in rows]


@pytest.fixture(scope="module")
def fitted(data_dir):
    texts, labels = read(data_dir / "nsmc" / "small_train_20000.txt", 4000)
    return SequenceClassifier(epochs=3, verbose=0).fit(texts, labels)


def test_five_thousand_reviews_in_twenty_seconds_of_one_core(fitted, data_dir):
    texts, labels = read(data_dir / "nsmc" / "small_test_5000.txt", 5000)
    begin = time.process_time()
    found = label_association(fitted, texts, labels)
    assert time.process_time() - begin < 20
    assert abs(found.relations[0].value) > 0.4
    begin = time.process_time()
    page = max_activating(fitted, texts, found.relations[0].unit, labels)
    assert time.process_time() - begin < 20
    kind = 1 if page.relation.value > 0 else 0
    assert sum(span.label == kind for span in page.high) >= 7
    begin = time.process_time()
    assert len(similar(fitted, texts, page.high[0]).spans) == 10
    assert time.process_time() - begin < 20


def test_what_speaks_for_an_answer(fitted, data_dir):
    texts = ["정말 최고의 영화", "이건 그냥 쓰레기"]
    assert fitted.predict(texts).tolist() == [1, 0]
    found = attribute(fitted, texts)
    assert found.completeness.gap < 1e-3
    assert dict(found.words(0))["최고의"] > 0.5
    assert dict(found.words(1))["쓰레기"] > 0.5
    reviews = read(data_dir / "nsmc" / "small_test_5000.txt", 50)[0]
    ways = [attribute(fitted, reviews, method=m).values.values for m in ("integrated_gradients", "occlusion")]
    known = ~np.isnan(ways[0])
    assert np.corrcoef(ways[0][known], ways[1][known])[0, 1] > 0.9  # two ways to ask, one answer
