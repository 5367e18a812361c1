"""Language models: what they learn, what they write, and that a cut-off run goes on to the same bits."""

from __future__ import annotations

import inspect

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recurra
from killing import killed_after
from recurra import LanguageModel
from recurra.errors import DataError, UsageError

LINE = "a cat sat on the mat\n"
TEXT = LINE * 60
REVIEWS, LABELS = ["good film", "bad film", "so good 😀", ""] * 20, ["p", "n", "p", "n"] * 20
QUICK = {
    "hidden_size": 24,
    "embedding_size": 12,
    "bptt": 16,
    "batch_size": 8,
    "epochs": 12,
    "dropout": 0.0,
    "learning_rate": 0.02,
    "n_iter_no_change": None,
    "verbose": 0,
}


def model(**changes) -> LanguageModel:
    return LanguageModel(**{**QUICK, **changes})


@pytest.fixture(scope="module")
def stream():
    return model().fit(TEXT)


@pytest.fixture(scope="module")
def labelled():
    return model(epochs=14, learning_rate=0.04).fit(REVIEWS, LABELS)


# the contract


def test_constructor_only_stores():
    names = list(inspect.signature(LanguageModel.__init__).parameters)[1:]
    marks = {name: object() for name in names}
    made = LanguageModel(**marks)
    assert made.get_params() == marks
    assert {k: v for k, v in vars(made).items() if not k.startswith("_")} == marks
    assert clone(LanguageModel(bptt=7)).get_params() == LanguageModel(bptt=7).get_params()


def test_not_fitted_yet():
    for ask in ("generate", "predict", "evaluate"):
        with pytest.raises(NotFittedError):
            getattr(LanguageModel(), ask)("a")


# a running text


def test_writes_what_it_has_read(stream):
    assert stream.generate("a c", 50, temperature=0) == (LINE * 3)[:53]
    assert stream.metrics_["valid"]["loss"] < 0.3
    assert stream.data_["characters"] + stream.data_["validation tokens"] == len(TEXT)


def test_same_seed_same_text(stream):
    one = stream.generate("the", 80, seed=3, temperature=1.5)
    assert one == stream.generate("the", 80, seed=3, temperature=1.5)
    assert one != stream.generate("the", 80, seed=4, temperature=1.5)
    assert stream.generate(length=30) != ""
    assert len(one) == 83
    assert "the" + "".join(stream.stream("the", 80, seed=3, temperature=1.5)) == one


def test_length_and_prompt_at_their_limits(stream):
    assert stream.generate("龍", 0) == "龍"
    assert stream.generate("", 0) == ""
    assert len(stream.generate("龍龍", 5)) == 7
    assert "\x00" not in stream.generate("the \x00", 9)[5:]


def test_streaming_leaves_torch_as_it_was(stream):
    import torch

    pieces = stream.stream("the", 3)
    next(pieces)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_figures_agree(stream):
    found = stream.evaluate(TEXT[:500])
    assert set(found) == {"loss", "perplexity", "bits_per_character", "n", "baselines", "comparison"}
    assert found["n"] == 500
    assert found["perplexity"] == pytest.approx(np.exp(found["loss"])) == stream.perplexity(TEXT[:500])
    assert found["bits_per_character"] == pytest.approx(found["loss"] / np.log(2))
    assert stream.score(TEXT[:500]) == -found["loss"]
    assert stream.log_probability([TEXT[:500]])[0] == pytest.approx(-500 * found["loss"], rel=1e-4)


def test_probabilities_of_texts(stream):
    chances = stream.log_probability([LINE, "mat the on\n", "", LINE * 2])
    assert chances[0] > chances[1]
    assert chances[2] == 0
    assert stream.log_probability([]).shape == (0,)
    alone = [stream.log_probability([text])[0] for text in [LINE, "mat the on\n", "", LINE * 2]]
    np.testing.assert_allclose(chances, alone, rtol=1e-5)


def test_next_tokens(stream):
    best = stream.top(["a ca", "a c"], k=3)
    assert [len(b) for b in best] == [3, 3]
    assert [b[0][0] for b in best] == ["t", "a"] == stream.predict(["a ca", "a c"]).tolist()
    assert all(1 >= b[0][1] >= b[1][1] >= b[2][1] > 0 for b in best)
    everything = stream.top([""], k=1000)[0]
    assert sum(p for _, p in everything) == pytest.approx(1, abs=1e-5)
    assert "" not in dict(everything)  # neither unknown nor begin nor end


def test_order_matters_to_this_text(stream):
    found = stream.order_test(TEXT[:400])
    assert found["shuffled"]["loss"] > 2 * found["in order"]["loss"]
    baseline = model(cell="none", epochs=4).fit(TEXT)
    assert baseline.evaluate(TEXT[:400])["loss"] > found["in order"]["loss"]
    assert len(baseline.generate("the", 20)) == 23


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_byte_pairs_and_other_cells(cell, tmp_path):
    fitted = model(cell=cell, tokens="bpe", vocab_size=280, num_layers=2, epochs=10, learning_rate=0.04).fit(TEXT)
    assert "cat sat" in fitted.generate("the", 20, temperature=0)
    fitted.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").generate("a", 20, seed=0) == fitted.generate("a", 20, seed=0)
    assert "\ufffd" not in fitted.generate("한", 200, temperature=50.0, seed=0)
    found = fitted.evaluate(TEXT[:210])
    assert found["bits_per_character"] == pytest.approx(found["loss"] * found["n"] / np.log(2) / 210)


def test_texts_shorter_than_a_window():
    fitted = model(epochs=2, validation_fraction=0.0).fit("abab")
    assert len(fitted.generate("", 4)) == 4
    assert fitted.evaluate("ab")["n"] == 2
    with pytest.raises(DataError, match="empty"):
        fitted.evaluate("")
    for text in ("", " \n"):
        with pytest.raises(DataError, match="nothing to learn"):
            model().fit(text)


def test_save_and_load(stream, labelled, tmp_path):
    for fitted, more in ((stream, {}), (labelled, {"condition": "n"})):
        fitted.save(tmp_path / "m")
        again = recurra.load(tmp_path / "m")
        assert again.generate("so", 60, seed=1, **more) == fitted.generate("so", 60, seed=1, **more)
        assert again.top(["g"], ["n"] if more else None) == fitted.top(["g"], ["n"] if more else None)
        assert again.metrics_ == fitted.metrics_


# many texts


def test_labels_condition_what_is_written(labelled):
    assert labelled.classes_.tolist() == ["n", "p"]
    sure = {"temperature": 0.2, "length": 40}
    written = {c: {labelled.generate(condition=c, seed=i, **sure) for i in range(9)} for c in ("p", "n")}
    assert written["p"] <= {"good film", "so good 😀"}
    assert written["n"] <= {"bad film", ""}
    assert labelled.generate(seed=0, **sure) in REVIEWS
    good, bad = labelled.log_probability(["good film"] * 2, ["p", "n"])
    assert good > bad + 1
    assert labelled.predict(["so goo", "bad film"], ["p", "n"]).tolist() == ["d", ""]


def test_columns_missing_labels_and_validation_data():
    table = pa.table({"x": REVIEWS, "y": ["p", None, "p", "n"] * 20})
    fitted = model(epochs=1).fit(table["x"], table["y"], validation_data=(REVIEWS[:4], LABELS[:4]))
    assert fitted.data_["texts"] == 80
    assert fitted.data_["validation tokens"] == sum(map(len, REVIEWS[:4])) + 4
    assert fitted.evaluate(REVIEWS, LABELS)["n"] == 80
    assert fitted.evaluate(REVIEWS)["n"] == 80
    assert set(fitted.order_test(REVIEWS)) == {"in order", "shuffled"}


def test_texts_without_labels():
    fitted = model(epochs=1).fit(REVIEWS)
    assert fitted.classes_.tolist() == []
    with pytest.raises(UsageError, match="without labels"):
        fitted.generate(condition="p")
    with pytest.raises(UsageError, match="without labels"):
        fitted.evaluate(REVIEWS, LABELS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.fit(TEXT, ["p"]), UsageError, "no labels"),
        (lambda m: m.fit(REVIEWS, LABELS[:3]), DataError, "pair up"),
        (lambda m: m.fit(REVIEWS, [None] * 80), DataError, "every label is missing"),
        (lambda m: m.fit(np.zeros((5, 3))), DataError, "learns from texts"),
        (lambda m: m.fit(["", " "]), DataError, "nothing to learn"),
        (lambda m: m.set_params(bptt=0).fit(TEXT), UsageError, "bptt"),
        (lambda m: m.set_params(tokens="syllable").fit(TEXT), UsageError, "char, word, bpe"),
        (lambda m: m.set_params(tokens="bpe", vocab_size=5).fit(TEXT), UsageError, "259"),
        (lambda m: m.set_params(max_minutes=0).fit(TEXT), UsageError, "max_minutes"),
    ],
)
def test_wrong_data(call, error, message):
    with pytest.raises(error, match=message):
        call(model(epochs=1))


def test_an_unknown_label_is_named(labelled):
    with pytest.raises(DataError, match="'ugly' was not in the training data; known are n, p"):
        labelled.generate(condition="ugly")
    with pytest.raises(DataError) as error:
        labelled.evaluate(REVIEWS[:3], ["p", "n", "ugly"])
    assert error.value.row == 2


# runs


def figures(fitted):
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in fitted.history_]


@pytest.fixture(scope="module")
def whole():
    return model(epochs=2, dropout=0.3).fit(TEXT[:900])


@pytest.mark.parametrize("step", [3, 7, 9])
def test_resumed_equals_uninterrupted(tmp_path, whole, step):
    changes = {"epochs": 2, "dropout": 0.3}
    assert len(whole.history_) == 2
    with killed_after(step):
        model(**changes).fit(TEXT[:900], checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = model(**changes).fit(TEXT[:900], checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    assert resumed.resumed_
    assert figures(resumed) == figures(whole)
    assert resumed.log_probability([TEXT[:99]]) == whole.log_probability([TEXT[:99]])


def test_same_seed_same_model():
    first, second, third = (model(epochs=1, dropout=0.3, random_state=s).fit(REVIEWS, LABELS) for s in (0, 0, 1))
    assert figures(first) == figures(second) != figures(third)


def test_recompute_gives_the_same_model():
    full, again = (model(epochs=1, memory=m).fit(TEXT[:400]) for m in ("full", "recompute"))
    assert again.metrics_["loss"] == pytest.approx(full.metrics_["loss"], rel=1e-5)
