"""Tagger: the scikit-learn contract, what it learns, what its answers always keep to, and what it refuses."""

from __future__ import annotations

import inspect
import itertools
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recurra
from killing import killed_after
from recurra import SequenceTagger
from recurra.data.batching.batches import IGNORE
from recurra.data.batching.words import WordBatch
from recurra.data.encoders.tag_schemes import OUT, Scheme, parts_of
from recurra.errors import DataError, UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks.tag.network import UNSEEN_TAG, Observed, TaggerNetwork, Tagging

QUICK = {
    "hidden_size": 8,
    "embedding_size": 6,
    "char_embedding_size": 6,
    "char_hidden_size": 6,
    "dropout": 0.0,
    "token_dropout": 0.1,
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 0.03,
    "verbose": 0,
}


def forms(rows: int = 80, seed: int = 0):
    """Verbs end in -다 and nouns in -가, whatever stands before; some sentences are empty."""
    random = np.random.default_rng(seed)
    stems = [chr(0xAC00 + 28 * int(i)) for i in random.integers(0, 390, 40)]
    X = [
        [stems[random.integers(40)] + "가다"[random.integers(2)] for _ in range(random.integers(0, 6))]
        for _ in range(rows)
    ]
    return X, [["VERB" if word.endswith("다") else "NOUN" for word in words] for words in X]


def after(rows: int = 120, seed: int = 0):
    """A word is tagged by the one before it: nothing but the order tells."""
    random = np.random.default_rng(seed)
    X = [["ab"[i] for i in random.integers(0, 2, random.integers(2, 9))] for _ in range(rows)]
    return X, [["O" if i == 0 else f"after-{words[i - 1]}" for i in range(len(words))] for words in X]


def names(rows: int = 120, seed: int = 0):
    """Spans of one to three capital words, in BIO."""
    random = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(rows):
        words, tags = [], []
        for _ in range(random.integers(1, 4)):
            words += ["so"] * int(random.integers(0, 3))
            tags += ["O"] * (len(words) - len(tags))
            kind, size = random.integers(0, 2), int(random.integers(1, 4))
            words += [["Bank", "Anna"][kind]] * size
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        X.append([*words, "."])
        y.append([*tags, "O"])
    return X, y


@pytest.fixture(scope="module")
def tagger():
    return SequenceTagger(**QUICK).fit(*forms())


@pytest.fixture(scope="module", params=[False, True], ids=["no crf", "crf"])
def finder(request):
    return SequenceTagger(crf=request.param, **QUICK).fit(*names())


# the contract


def test_constructor_only_stores():
    parameters = list(inspect.signature(SequenceTagger.__init__).parameters)[1:]
    marks = {name: object() for name in parameters}
    assert SequenceTagger(**marks).get_params() == marks
    assert clone(SequenceTagger(hidden_size=7)).get_params() == SequenceTagger(hidden_size=7).get_params()
    with pytest.raises(NotFittedError):
        SequenceTagger().predict([["a"]])


def test_answers_agree(tagger):
    X, y = forms(30, seed=1)
    found, chances = tagger.predict(X), tagger.predict_proba(X)
    assert [len(tags) for tags in found] == [len(words) for words in X]
    assert tagger.classes_.tolist() == ["NOUN", "VERB"]
    for tags, chance in zip(found, chances, strict=True):
        assert chance.shape == (len(tags), 2)
        np.testing.assert_allclose(chance.sum(1), 1, rtol=1e-5)
        assert tags == tagger.classes_[chance.argmax(1)].tolist()
    again, sure = tagger.predict_with_confidence(X)
    assert again == found
    assert [s for row in sure for s in row] == [pytest.approx(c) for row in chances for c in row.max(1)]
    right = [a == b for one, two in zip(found, y, strict=True) for a, b in zip(one, two, strict=True)]
    figures = tagger.evaluate(X, y)
    assert figures["accuracy"] == tagger.score(X, y) == np.mean(right)
    assert figures["n"] == len(right)
    assert set(figures) == {"accuracy", "macro_f1", "unseen_word_accuracy", "loss", "n", "baselines", "comparison"}


def test_pickle_and_saving(tmp_path, tagger, finder):
    for model, (X, _) in ((tagger, forms(20, 3)), (finder, names(20, 3))):
        model.save(tmp_path / "m")
        for again in (recurra.load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):  # noqa: S301
            assert again.get_params() == model.get_params()
            assert again.scheme_ == model.scheme_
            for one, two in zip(again.predict_proba(X), model.predict_proba(X), strict=True):
                np.testing.assert_array_equal(one, two)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["task"], config["targets"]["scheme"]) == ("tag", "BIO")
    assert set(config["gates"]) == {"input", "forget", "candidate", "output"}
    assert "recurra.load" in (tmp_path / "m" / "README.md").read_text()


def test_the_same_seed_gives_the_same_model():
    X, y = forms(24)
    short = {**QUICK, "epochs": 2, "dropout": 0.3}
    found = [SequenceTagger(**short, random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 0, 1)]
    for one, two, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
        assert len(three) == 0 or not np.array_equal(one, three)


@pytest.mark.parametrize("crf", [False, True])
def test_resumed_equals_uninterrupted(tmp_path, crf):
    X, y = names(40)
    y[3][0] = None
    model = SequenceTagger(crf=crf, **{**QUICK, "epochs": 3, "dropout": 0.2})
    with killed_after(7):
        clone(model).fit(X, y, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = clone(model).fit(X, y, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    assert resumed.resumed_
    for one, two in zip(resumed.predict_proba(X), model.fit(X, y).predict_proba(X), strict=True):
        np.testing.assert_array_equal(one, two)


def test_words_are_part_of_what_a_run_belongs_to(tmp_path):
    X, y = forms(20)
    model = SequenceTagger(**{**QUICK, "epochs": 1})
    model.fit(X, y, checkpoint=tmp_path)
    swapped = [[word.replace("가", "나") for word in words] for words in X]
    with pytest.raises(UsageError, match="training data"):
        model.fit(swapped, y, checkpoint=tmp_path, resume=True)


# what it learns


@pytest.mark.parametrize(("cell", "characters"), [("gru", "jamo"), ("rnn", "char"), ("none", "jamo")])
def test_forms_of_words_never_seen(cell, characters):
    X, y = forms()
    model = SequenceTagger(cell, characters=characters, **{**QUICK, "epochs": 9}).fit(X, y)
    assert model.score([["쀍가", "쀍다", "뒑가"]], [["NOUN", "VERB", "NOUN"]]) == 1.0
    assert model.score(*forms(40, seed=5)) > 0.95


def test_words_alone():
    X, y = [["der", "Hund", "x"], ["die", "Katze", "y"]] * 20, [["DET", "NOUN", "X"]] * 40
    model = SequenceTagger(characters="none", **QUICK).fit(X, y)
    assert model.score(X, y) == 1.0
    assert len(model.predict(["ein unbekanntes Wort"])[0]) == 3


def test_order_matters_and_the_baseline_without_memory_says_so(tmp_path):
    X, y = after(80)
    model = SequenceTagger("gru", **{**QUICK, "epochs": 8}).fit(X, y)
    found = model.order_test(X, y)
    assert found["in order"]["accuracy"] > 0.98
    assert found["shuffled"]["accuracy"] < 0.8
    baseline = SequenceTagger("none", **QUICK).fit(X, y)
    figures = baseline.order_test(X, y)
    assert figures["in order"] == pytest.approx(figures["shuffled"], abs=1e-5)
    assert figures["in order"]["accuracy"] < 0.7
    baseline.save(tmp_path / "none")
    assert json.loads((tmp_path / "none" / "config.json").read_text())["gates"] == []
    assert recurra.load(tmp_path / "none").predict(X) == baseline.predict(X)


def test_spans_are_found(finder):
    X, y = names(40, seed=7)
    figures = finder.evaluate(X, y)
    assert finder.scheme_ == "BIO"
    assert figures["f1"] > 0.8
    own = {"accuracy", "precision", "recall", "f1", "loss", "n"}
    assert own | {"baselines", "comparison"} == set(figures)
    assert "valid_f1" in finder.history_[0]


def test_missing_tags_are_left_out():
    X, y = forms(60)
    holes = [[None if i % 3 == 0 else tag for i, tag in enumerate(tags)] for tags in y]
    model = SequenceTagger(**QUICK).fit(X, holes)
    assert model.data_["words without a tag"] > 0
    known = sum(tag is not None for tags in holes for tag in tags)
    assert model.evaluate(X, holes)["n"] == known
    assert model.score(X, y) > 0.95


def test_neighbours_in_a_batch_do_not_matter(finder):
    X = [*names(20, seed=2)[0], [], ["龍😀"], ["so"] * 300, ["w" * 500]]
    together = finder.predict_proba(X)
    for words, chances in zip(X, together, strict=True):
        np.testing.assert_allclose(chances, finder.predict_proba([words])[0], atol=1e-5)
    assert finder.predict([]) == []
    assert finder.predict([[], []]) == [[], []]


# what its answers keep to


@given(st.lists(st.lists(st.sampled_from(["so", "Anna", "Bank", "x", "."]), max_size=8), min_size=1, max_size=4))
@settings(max_examples=25)
def test_spans_are_always_valid(finder, X):
    scheme, parts = Scheme("BIO"), dict(zip(finder.classes_, parts_of(finder.classes_.tolist()) or [], strict=True))
    for tags in finder.predict(X):
        assert all(scheme.allows(a, b) for a, b in itertools.pairwise([OUT, *(parts[t] for t in tags), OUT]))


def test_an_untrained_mind_is_bound_by_the_scheme_too():
    X, y = names(12)
    closed = []
    for tags in y:  # BIO to IOBES; every sentence ends in O
        ends = [not after.startswith("I") for after in tags[1:]]
        roles = {("B", True): "S", ("B", False): "B", ("I", True): "E", ("I", False): "I"}
        closed.append([roles[t[0], end] + t[1:] if t != "O" else t for t, end in zip(tags, [*ends, True], strict=True)])
    model = SequenceTagger(crf=True, **{**QUICK, "epochs": 1, "learning_rate": 1e-9}).fit(X, closed)
    assert model.scheme_ == "IOBES"
    parts, scheme = dict(zip(model.classes_, model.parts_, strict=True)), Scheme("IOBES")
    for tags in model.predict(names(30, seed=4)[0]):
        assert all(scheme.allows(a, b) for a, b in itertools.pairwise([OUT, *(parts[t] for t in tags), OUT]))


# figures


def test_figures_of_spans():
    parts = parts_of(["B-X", "I-X", "O"])

    def observed(found, targets, lengths):
        return Observed(*map(np.array, (found, targets, [False] * len(found), lengths)), 0.0)

    figures = Tagging(parts).metrics([observed([0, 1, 2, 0], [0, 1, 2, 2], [4]), observed([0, 0], [0, 1], [2])])
    assert (figures["precision"], figures["recall"]) == (0.25, 0.5)
    assert figures["f1"] == pytest.approx(1 / 3)
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert "unseen_word_accuracy" not in figures
    # a tag never seen is a span that no answer meets; a sentence with a missing tag is left out
    figures = Tagging(parts).metrics([observed([0, 2], [0, UNSEEN_TAG], [2]), observed([0], [IGNORE], [1])])
    assert (figures["precision"], figures["recall"], figures["accuracy"]) == (1.0, 0.5, 0.5)


def test_tags_never_seen_count_as_errors(tagger):
    figures = tagger.evaluate([["소가", "소다"]], [["NOUN", "INTJ"]])
    assert (figures["accuracy"], figures["n"]) == (0.5, 2)
    assert np.isfinite(figures["loss"])


# what it refuses


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([["a", "b"]] * 9, [["X", "X"]] * 9, "only one tag, X"),
        ([["a", "b"]] * 9, [[None, None]] * 9, "every tag is missing"),
        ([[], []] * 9, [[], []] * 9, "every tag is missing"),
        ([["a", "b"]] * 9, [["X", "Y"]] * 8, "must pair up"),
        ([["a", "b"]] * 9, [["X", "Y"]] * 8 + [["X"]], r"X\[8\] has 2 words"),
    ],
)
def test_wrong_data(X, y, message):
    with pytest.raises(DataError, match=message):
        SequenceTagger(**QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "transformer"}, "cell is one of"),
        ({"characters": "letters"}, "characters is one of"),
        ({"char_hidden_size": 0}, "char_hidden_size must be at least 1"),
        ({"token_dropout": 1.0}, "token_dropout must lie"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        SequenceTagger(**{**QUICK, **arguments}).fit(*forms())


def test_a_chain_of_too_many_tags():
    X = [[str(i), str(i + 1)] for i in range(0, 500, 2)]
    with pytest.raises(UsageError, match="at most 400 different tags"):
        SequenceTagger(crf=True, validation_fraction=0, **QUICK).fit(X, X)


@pytest.mark.parametrize(
    ("crf", "data", "learnt"), [(None, names, True), (None, forms, False), (False, names, False), (True, forms, True)]
)
def test_transitions_are_learnt_by_default_where_tags_mark_spans(crf, data, learnt, tmp_path):
    model = SequenceTagger(crf=crf, **{**QUICK, "epochs": 1}).fit(*data(30))
    model.save(tmp_path / "m")
    for one in (model, recurra.load(tmp_path / "m")):
        assert one.crf is crf
        assert one.crf_ == one.network_.chain.learnt == learnt


def test_a_model_that_goes_on_keeps_its_transitions():
    short = {**QUICK, "epochs": 1}
    model, (X, y) = SequenceTagger(**short).fit(*names(30)), names(30, seed=1)
    more = SequenceTagger(start_from=model, **short).fit([*X, ["zoo"]], [*y, ["OTHER"]])
    assert more.parts_ is None  # the new tag marks no span
    assert more.crf_
    with pytest.raises(UsageError, match="has its own loss"):
        SequenceTagger(start_from=model, loss=torch.nn.functional.cross_entropy, **short).fit(X, y)


def test_many_tags_of_spans_have_no_transitions_by_default():
    X = [[str(i), str(i + 1)] for i in range(0, 60, 2)]
    model = SequenceTagger(validation_fraction=0, **{**QUICK, "epochs": 1}).fit(X, [[f"B-{w}" for w in x] for x in X])
    assert (len(model.classes_), model.crf_) == (60, False)


def test_wrong_evaluation(tagger):
    with pytest.raises(UsageError, match="no sample_weight"):
        tagger.evaluate([["a"]], [["NOUN"]], [1.0])
    with pytest.raises(DataError, match="every tag is missing"):
        tagger.evaluate([["a"]], [[None]])
    with pytest.raises(DataError, match="every validation tag is missing"):
        SequenceTagger(**QUICK).fit(*forms(), validation_data=([["a"]], [[None]]))


def test_equally_many_spans_found_and_given():
    parts = parts_of(["B-X", "I-X", "O"])

    def figures(found, targets):
        rows = map(np.array, (found, targets, [False] * len(found), [len(found)]))
        return Tagging(parts).metrics([Observed(*rows, 0.0)])

    assert figures([0, 2], [2, 0])["f1"] == 0.0
    assert figures([0, 2, 0], [0, 2, 0])["f1"] == 1.0
    assert figures([2, 2], [2, 2])["f1"] == 1.0  # nothing to find, and nothing found


def test_right_and_known_tags_of_each_sentence():
    rows = map(np.array, ([0, 1, 1, 2, 0], [0, 2, 1, IGNORE, 1], [False] * 5, [3, 0, 2]))
    assert Tagging().items([Observed(*rows, 0.0)]).tolist() == [[2, 3], [0, 0], [0, 1]]
    assert Tagging(parts_of(["B-X", "O"])).items([]) is None


def test_a_word_that_is_dropped_is_read_as_the_unknown_word():
    torch.manual_seed(0)
    sizes = {"embedding_size": 3, "char_embedding_size": 2, "char_hidden_size": 2}
    spec = RecurrentSpec("gru", 4, bidirectional=True)
    network = TaggerNetwork(9, 0, 2, **sizes, recurrent=spec, token_dropout=1.0, crf=False, allowed=None)
    batch = WordBatch(*[torch.tensor(x) for x in ([[0, 1, 2]], [3], [[0, 0, 0]], [4, 8, 2], [0], [[[0]]], [1], [0])])
    known, unknown = network.eval()(batch), network.eval()(batch._replace(words=torch.zeros(3, dtype=torch.int64)))
    assert not torch.equal(known, unknown)
    assert torch.equal(network.train()(batch), unknown)
    network.token_dropout = 0.0
    assert torch.equal(network.train()(batch), known)
