"""Word vectors from a file: words that training did not see are understood, and a model does not need the file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

import recurra
from killing import killed_after
from recurra import SequenceClassifier, SequenceRegressor, SequenceTagger
from recurra.data.pieces import LargeTable
from recurra.errors import DataError, UsageError

GOOD = ["good", "fine", "lovely", "great", "superb", "nice"]
BAD = ["bad", "awful", "poor", "dull", "horrid", "weak"]
TEXTS = [f"a {word} film" for word in GOOD[:3] + BAD[:3]] * 12
LABELS = (["pos"] * 3 + ["neg"] * 3) * 12
UNSEEN = GOOD[3:] + BAD[3:]
SMALL = {"hidden_size": 8, "embedding_size": 4, "epochs": 25, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Vectors of adjectives, of which the first number is the opinion."""
    random = np.random.default_rng(0)
    found = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    rows = [(word, sign) for words, sign in ((GOOD, 1.0), (BAD, -1.0)) for word in words] + [("film", 0.0), ("a", 0.0)]
    found.write_text("".join(f"{w} {s} {' '.join(map(str, random.normal(size=3) / 9))}\n" for w, s in rows))
    return found


def classifier(path, **changes):
    return SequenceClassifier(**{**SMALL, "vectors": path, **changes})


def tagger(path, **changes):
    return SequenceTagger(**{**SMALL, "characters": "none", "vectors": path, **changes})


def sentences():
    return [text.split() for text in TEXTS], [["-", label, "-"] for label in LABELS]


def test_a_classifier_knows_words_that_only_the_file_has(path, tmp_path):
    clf = classifier(path).fit(TEXTS, LABELS)
    texts = [f"a {word.upper()} film" for word in UNSEEN]
    assert clf.predict(texts).tolist() == ["pos"] * 3 + ["neg"] * 3
    assert clf.data_["word vectors"] == "vectors.txt"
    clf.save(tmp_path / "model")
    loaded = recurra.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(texts), clf.predict_proba(texts))
    assert str(path.parent) not in (tmp_path / "model" / "README.md").read_text()
    assert clone(clf).vectors == path


def test_a_tagger_knows_words_that_only_the_file_has(path, tmp_path):
    model = tagger(path).fit(*sentences())
    words = [[word.title()] for word in UNSEEN]
    assert [tags[0] for tags in model.predict([["a", *w] for w in words])] == ["-"] * 6
    assert [tags[1] for tags in model.predict([["a", *w, "film"] for w in words])] == ["pos"] * 3 + ["neg"] * 3
    model.save(tmp_path / "model")
    loaded = recurra.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(words)[0], model.predict_proba(words)[0])
    assert loaded.evaluate(*sentences())["accuracy"] == model.evaluate(*sentences())["accuracy"]


def test_given_vectors_are_not_trained(path):
    before = classifier(path, epochs=1, learning_rate=1e-30).fit(TEXTS, LABELS)
    after = classifier(path).fit(TEXTS, LABELS)
    given = [dict(model.network_.named_buffers())["encoder.embedding.given"] for model in (before, after)]
    assert given[0].equal(given[1])
    assert float(given[0].float().square().mean().sqrt()) > 0


def test_only_frequent_words_are_kept(path):
    model = tagger(path, vector_words=4, epochs=1).fit(*sentences())
    assert set(model.encoder_.numbered()) == {"", "a", "film", *GOOD[:4], *BAD[:3]}


def test_a_run_continues_bit_for_bit(path, tmp_path):
    whole = classifier(path, epochs=3).fit(TEXTS, LABELS)
    with killed_after(4):
        classifier(path, epochs=3).fit(TEXTS, LABELS, checkpoint=tmp_path / "run", checkpoint_minutes=0)
    again = classifier(path, epochs=3).fit(TEXTS, LABELS, checkpoint=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), whole.predict_proba(TEXTS))


def test_data_larger_than_memory(path, tmp_path):
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), tmp_path / "a.parquet", row_group_size=24)
    table = LargeTable(tmp_path / "a.parquet", ["text", "label"], tmp_path / "converted")
    clf = classifier(path).fit(table["text"], table["label"])
    assert clf.predict([f"a {word} film" for word in UNSEEN]).tolist() == ["pos"] * 3 + ["neg"] * 3


def test_another_model_starts_from_one_with_vectors(path):
    source = classifier(path).fit(TEXTS, LABELS)
    model = SequenceClassifier(start_from=source, epochs=1, learning_rate=1e-30, verbose=0).fit(TEXTS, LABELS)
    texts = [f"a {word} film" for word in UNSEEN]
    np.testing.assert_array_equal(model.predict_proba(texts), source.predict_proba(texts))


def test_export_and_inspection(path, tmp_path):
    clf = classifier(path, epochs=1).fit(TEXTS, LABELS)
    recurra.export(clf, tmp_path / "model.onnx")
    recurra.export(tagger(path, epochs=1).fit(*sentences()), tmp_path / "tagger.onnx")
    assert len(recurra.trace(clf, TEXTS[:1]).parts) == 1
    with pytest.raises(UsageError, match="has no word vectors"):
        recurra.export(clf, tmp_path / "model.html")


def test_what_is_refused(path, tmp_path):
    series = [np.zeros((3, 2))] * 6
    with pytest.raises(UsageError, match="these sequences are not texts"):
        SequenceRegressor(vectors=path, epochs=1).fit(series, range(6))
    with pytest.raises(UsageError, match="either vectors or start_from"):
        classifier(path, start_from=tmp_path).fit(TEXTS, LABELS)
    with pytest.raises(DataError, match="there is no file"):
        tagger(tmp_path / "none").fit(*sentences())
    with pytest.raises(UsageError, match="vectors is the path of a file, not 3"):
        tagger(3).fit(*sentences())
