"""The filler of blanks: what it learns, its figures, saving and resuming, and what it refuses."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recurra
from killing import killed_after
from recurra import BlankFiller
from recurra.errors import DataError, UsageError
from recurra.nn import SampledSoftmax
from recurra.tasks.fill.search import Filling

QUICK = {
    "hidden_size": 16,
    "embedding_size": 12,
    "epochs": 6,
    "batch_size": 16,
    "learning_rate": 0.03,
    "dropout": 0.0,
    "n_iter_no_change": None,
    "verbose": 0,
}


def texts(rows: int = 200, seed: int = 0) -> list[str]:
    """The middle word follows from both ends together, and from neither alone: in 가 … 다 it is the third kind."""
    random = np.random.default_rng(seed)
    left, right, middle = ["가", "나"], ["다", "라"], [["하나", "둘"], ["셋", "넷"]]
    chosen = random.integers(0, 2, (rows, 2))
    return [f"{left[a]} 은 {middle[a][b]} 이 {right[b]}" for a, b in chosen]


@pytest.fixture(scope="module")
def filler():
    return BlankFiller(**QUICK).fit(texts())


def test_constructor_only_stores():
    names = list(inspect.signature(BlankFiller.__init__).parameters)[1:]
    marks = {name: object() for name in names}
    assert BlankFiller(**marks).get_params() == marks
    assert clone(BlankFiller(direction="forward")).direction == "forward"
    with pytest.raises(NotFittedError):
        BlankFiller().predict(["a [ ]"])


def test_both_sides_are_needed_and_seen(filler):
    found = filler.predict(["가 은 [ ] 이 다", "나 은 ___ 이 다", "가 은 [ ] 이 라", "나 은 [ ] 이 라"], top=2)
    assert [f.text.split()[2] for f in found] == ["하나", "셋", "둘", "넷"]
    assert min(f.probability for f in found) > 0.8
    assert all(f.probability == f.blanks[0][0].probability for f in found)
    assert [len(f.blanks[0]) for f in found] == [2] * 4
    one = BlankFiller(direction="forward", **QUICK).fit(texts())
    both = filler.evaluate(texts(60, 1))
    assert one.evaluate(texts(60, 1))["top1"] < both["top1"] - 0.15


def test_blanks_are_filled_together(filler):
    [found] = filler.predict(["가 은 [ ] 이 [ ]"])
    assert found.text in ("가 은 하나 이 다", "가 은 둘 이 라")
    assert 0.2 < found.probability < 0.9
    assert [blank[0].word for blank in found.blanks] == [found.text.split()[2], found.text.split()[4]]
    assert filler.predict(["[ ] 은 하나 이 [ ]"])[0].text == "가 은 하나 이 다"
    assert filler.predict([]) == []


def test_probabilities_are_those_of_all_words(filler):
    [found] = filler.predict(["가 은 [ ] 이 다"], top=1000)
    assert sum(p for _, p in found.blanks[0]) == pytest.approx(1, abs=1e-5)
    assert [p for _, p in found.blanks[0]] == sorted((p for _, p in found.blanks[0]), reverse=True)


def test_texts_do_not_depend_on_their_neighbours(filler):
    asked = ["가 은 [ ] 이 다", "[ ] 은 둘", "나 은 [ ] 이 " + "다 은 셋 " * 50, "[ ] 龍"] * 20
    together = filler.predict(asked)
    for one, text in zip(together[:4], asked[:4], strict=True):
        [alone] = filler.predict([text])
        assert one.text == alone.text
        assert one.probability == pytest.approx(alone.probability, rel=1e-4)


def test_choices(filler):
    ranked = filler.choose("나 은 [ ] 이 라", ["하나", "둘", "셋", "넷"])
    assert ranked[0].choice == "넷"
    assert sum(c.probability for c in ranked) == pytest.approx(1)
    longer = filler.choose("가 은 [ ] 다", ["하나 이", "넷 이", "하나"])
    assert longer[0].choice == "하나 이"
    assert [r[0].choice for r in filler.choose(["가 은 [ ] 이 다", "나 은 [ ] 이 다"], ["하나", "셋"])] == [
        "하나",
        "셋",
    ]


def test_figures_by_hand(filler):
    held_out = [*texts(40, 2), "", "가 은 처음보는말 이 다"]
    found = filler.evaluate(held_out)
    ranks, unigram, tokens = [], [], 0
    order = np.argsort(-filler._frequencies(), kind="stable").tolist()
    for ids in filler.encoder_.encode(held_out):
        tokens += len(ids)
        if not len(ids):
            continue
        with torch.no_grad():
            context = filler.network_(torch.from_numpy(ids)[None], torch.tensor([len(ids)]))
            scores = filler.network_.logits(context)[0]
        scores[:, 0] = -torch.inf
        for step, token in enumerate(ids):
            if token:
                ranks.append(1 + int((scores[step] > scores[step, token]).sum()))
                unigram.append(1 + order.index(token))
    ranks, unigram = np.array(ranks), np.array(unigram)
    assert found["n"] == 41
    assert found["unknown"] == pytest.approx(1 - len(ranks) / tokens)
    assert found["unknown"] > 0
    for name, expected in (("", ranks), ("unigram_", unigram)):
        assert found[f"{name}top1"] == pytest.approx((expected == 1).mean())
        assert found[f"{name}top5"] == pytest.approx((expected <= 5).mean())
        assert found[f"{name}mrr"] == pytest.approx((1 / expected).mean(), rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(found["loss"]))
    assert found["perplexity"] < found["unigram_perplexity"]


def test_order_matters_to_this_language(filler):
    found = filler.order_test(texts(60, 1))
    assert found["in order"]["top1"] > found["shuffled"]["top1"] + 0.2


def test_words_of_more_pieces_than_a_blank_may_have():
    model = BlankFiller(tokens="bpe", vocab_size=14, **{**QUICK, "epochs": 1}).fit(["lkjihgfedcba abcdefghijkl"] * 40)
    assert model.spans_.tolist() == [0.25] * 4
    try:
        assert model.predict(["[ ] hgfedcba"])
    except DataError as error:  # the vocabulary of pieces differs from run to run
        assert "no token of the model begins a word" in str(error)  # noqa: PT017


def test_pieces_make_words_that_were_never_seen():
    rows = [f"{who} {what}{how} ." for who in ("나는", "너는") for what in "먹걷웃" for how in ("었다", "겠다")]
    model = BlankFiller(tokens="bpe", vocab_size=24, **QUICK).fit(rows * 15)
    assert model.spans_.sum() == pytest.approx(1)
    assert (model.spans_[1:] > 0).any()
    found = model.predict(["나는 [ ] .", "너는 먹[ ] .", "[ ] 걷겠다 [ ]"], top=3, marks=True)
    assert found[0].text.split()[1] in {row.split()[1] for row in rows}
    assert found[1].text in ("너는 먹었다 .", "너는 먹겠다 .")
    assert all(isinstance(f, Filling) and 0 < f.probability <= 1 for f in found)
    ranked = model.choose("너는 [ ] .", ["먹었다", "웃겠다", ". ."])
    assert ranked[-1].choice == ". ."
    assert model.evaluate(rows)["top1"] > model.evaluate(rows)["unigram_top1"]


def test_a_blank_of_one_character():
    model = BlankFiller(tokens="char", **{**QUICK, "epochs": 4}).fit(texts(120))
    assert model.predict(["가 은 하[ ] 이 다"])[0].text == "가 은 하나 이 다"


def test_punctuation_marks_only_where_they_are_wanted():
    model = BlankFiller(**QUICK).fit(["one , two .", "two , one ."] * 60)
    assert model.predict(["one [ ] two ."], top=10)[0].blanks[0][0].word in ("one", "two")
    assert model.predict(["one [ ] two ."], marks=True)[0].text == "one , two ."
    only = BlankFiller(**{**QUICK, "epochs": 1}).fit(["! ?", "? !"] * 30)
    assert only.predict(["! [ ]"], marks=True)[0].text == "! ?"
    with pytest.raises(DataError, match="punctuation"):
        only.predict(["! [ ]"])


# the same again


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cell": "none"},
        {"cell": "gru", "num_layers": 2, "dropout": 0.2, "tokens": "bpe"},
        {"direction": "backward"},
    ],
)
def test_saved_and_loaded_models_agree(tmp_path, changes):
    model = BlankFiller(**{**QUICK, "epochs": 2, **changes}).fit(texts(60))
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    asked = ["가 은 [ ] 이 [ ]", "[ ] 이 다"]
    assert again.predict(asked) == model.predict(asked)
    assert again.choose(asked[1], ["하나", "둘 이"]) == model.choose(asked[1], ["하나", "둘 이"])
    assert again.evaluate(texts(20)) == model.evaluate(texts(20))
    assert "[ ]" in (tmp_path / "m" / "README.md").read_text()


def test_columns_of_every_library_train_the_same_model():
    rows, quick = texts(60), {**QUICK, "epochs": 1}
    expected = BlankFiller(**quick).fit(rows).evaluate(rows)
    for X in (pd.Series(rows), pa.chunked_array([rows])):
        assert BlankFiller(**quick).fit(X).evaluate(X) == expected
    assert BlankFiller(**{**quick, "random_state": 1}).fit(rows).evaluate(rows) != expected


def test_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    # a large vocabulary, so that the softmax is sampled
    monkeypatch.setattr("recurra.tasks.fill.estimator.SampledSoftmax", partial(SampledSoftmax, negatives=4))
    rows = [*texts(80), *(f"{i} {i} {i + 1} {i + 1}" for i in range(300, 340))]
    options = {**QUICK, "epochs": 3, "dropout": 0.2, "token_dropout": 0.2}
    whole = BlankFiller(**options).fit(rows)
    with killed_after(10):
        BlankFiller(**options).fit(rows, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = BlankFiller(**options).fit(rows, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    assert resumed.resumed_
    for name, weight in whole.network_.state_dict().items():
        torch.testing.assert_close(resumed.network_.state_dict()[name], weight, rtol=0, atol=0)


# what is refused


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([""] * 10, "every text is empty"),
        (["one", "two", "three"], "no word occurs twice"),
        ([np.zeros((3, 2))] * 4, "blanks are filled in texts"),
        ("one text", "list of texts"),
    ],
)
def test_texts_that_teach_nothing(X, message):
    with pytest.raises(DataError, match=message):
        BlankFiller(**{**QUICK, "validation_fraction": 0.0}).fit(X)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"direction": "up"}, "direction is one of both"), ({"tokens": "x"}, "tokens is one of")]
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        BlankFiller(**{**QUICK, **arguments}).fit(texts(10))


def test_wrong_questions_are_named(filler):
    with pytest.raises(DataError, match="no blank") as error:
        filler.predict(["가 [ ]", "가 나"])
    assert error.value.row == 1
    with pytest.raises(DataError, match="the text has 2"):
        filler.choose("[ ] 가 [ ]", ["하나"])
    with pytest.raises(UsageError, match="list of candidates"):
        filler.choose("가 [ ]", "하나")
    with pytest.raises(UsageError, match="top must be"):
        filler.predict(["가 [ ]"], top=0)
    with pytest.raises(DataError, match="vocabulary"):
        filler.evaluate(["zebra zebra"])
