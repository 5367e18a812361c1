"""The unit browser on real reviews: time of one core and memory."""

from __future__ import annotations

import time

import pytest

from recurra import SequenceClassifier
from recurra.inspect import attribute, browse, similar, telling_units

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
    found = telling_units(fitted, texts, labels)
    assert time.process_time() - begin < 20
    assert abs(found.relations[0].value) > 0.4
    begin = time.process_time()
    page = browse(fitted, texts, found.relations[0].unit, labels)
    assert time.process_time() - begin < 20
    kind = 1 if page.relation.value > 0 else 0
    assert sum(span.label == kind for span in page.high) >= 7
    begin = time.process_time()
    assert len(similar(fitted, texts, page.high[0]).spans) == 10
    assert time.process_time() - begin < 20


def test_the_word_that_says_it(fitted):
    found = attribute(fitted, ["정말 최고의 영화", "이건 그냥 쓰레기"])
    assert found.completeness.gap < 1e-3
    assert max(found.words(0), key=lambda pair: pair[1])[0] == "최고의"
    assert max(found.words(1), key=lambda pair: pair[1])[0] == "쓰레기"
