"""Translation: what it learns, how it searches, what it measures, and what it refuses."""

from __future__ import annotations

import itertools
from unicodedata import normalize

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recurra
from killing import killed_after
from recurra import Translator
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks.translate.baselines import Neighbours
from recurra.tasks.translate.metrics import bleu_tokens, corpus_metrics, signatures
from recurra.tasks.translate.network import BEGIN, END, EncoderDecoder

NUMBERS = {"one": "일", "two": "이", "three": "삼", "four": "사"}
SOURCES = [" ".join(words) for n in (1, 2, 3) for words in itertools.product(NUMBERS, repeat=n)]
TARGETS = [" ".join(NUMBERS[word] for word in reversed(source.split())) for source in SOURCES]
QUICK = {
    "hidden_size": 24,
    "embedding_size": 16,
    "dropout": 0.0,
    "token_dropout": 0.0,
    "batch_size": 8,
    "learning_rate": 0.02,
    "epochs": 12,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def translator():
    return Translator(**QUICK).fit(SOURCES, TARGETS)


# what it learns


def test_learns_to_translate_from_end_to_beginning(translator):
    found = translator.evaluate(SOURCES, TARGETS)
    assert found["chrf"] > 90
    assert found["nearest_neighbour_chrf"] > 0
    assert found["n"] == found["sources"] == len(SOURCES)
    right = [a == b for a, b in zip(translator.predict(SOURCES), TARGETS, strict=True)]
    assert np.mean(right) > 0.9


def test_order_matters_to_it(translator):
    found = translator.order_test(SOURCES, TARGETS)
    assert found["in order"]["chrf"] > found["shuffled"]["chrf"] + 20
    assert found["in order"]["loss"] < found["shuffled"]["loss"]


def test_alignment_runs_against_the_order(translator):
    alignment = translator.align("one two three")
    assert alignment.text == translator.predict(["one two three"])[0] == "삼 이 일"
    assert (alignment.source, alignment.target) == (["one", "two", "three"], ["삼", "이", "일"])
    np.testing.assert_allclose(alignment.weights.sum(1), 1, rtol=1e-5)
    assert translator.align("  ").weights.shape == (0, 0)


@pytest.mark.parametrize("cell", ["rnn", "none"])
def test_other_cells(cell):
    arguments = {**QUICK, "epochs": 3, "num_layers": 2, "bidirectional": False}
    model = Translator(cell, **arguments).fit(SOURCES, TARGETS)
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]
    assert len(model.predict(["one two", ""])) == 2


@pytest.mark.parametrize("tokens", ["char", "word"])
def test_other_tokens(tokens):
    model = Translator(tokens=tokens, **{**QUICK, "epochs": 1}).fit(SOURCES, TARGETS)
    assert model.predict([""]) == [""]


def test_scripts_without_spaces():
    sources, targets = (
        ["猫が好きです。", "犬が好きです。", "猫が見える。"] * 20,
        ["我喜欢猫。", "我喜欢狗。", "我看见猫。"] * 20,
    )
    model = Translator(**{**QUICK, "epochs": 8}).fit(sources, targets)
    assert model.predict(sources[:3]) == targets[:3]
    assert model.bleu_tokens_ == "char"


# what it promises


def test_same_seed_same_model_and_saved_and_loaded_agree(tmp_path, translator):
    translator.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.get_params() == translator.get_params()
    assert again.candidates(SOURCES) == translator.candidates(SOURCES)
    assert again.evaluate(SOURCES, TARGETS) == translator.evaluate(SOURCES, TARGETS)
    twice = [Translator(**{**QUICK, "epochs": 1}).fit(SOURCES, TARGETS).candidates(SOURCES) for _ in range(2)]
    assert twice[0] == twice[1]
    (tmp_path / "m" / "target-tokenizer.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="tokenizer"):
        recurra.load(tmp_path / "m")


def test_neighbours_stay_out_of_the_folder_if_asked(tmp_path):
    model = Translator(neighbours=0, **{**QUICK, "epochs": 1}).fit(SOURCES, TARGETS)
    model.save(tmp_path / "m")
    assert "pairs.jsonl" not in [p.name for p in (tmp_path / "m").iterdir()]
    assert "nearest_neighbour_bleu" not in recurra.load(tmp_path / "m").evaluate(SOURCES, TARGETS)


def test_resumed_equals_uninterrupted(tmp_path):
    arguments = {**QUICK, "epochs": 2, "dropout": 0.2, "token_dropout": 0.2, "hidden_size": 8}
    with killed_after(12):  # in the second epoch: one has 9 or 10 steps
        Translator(**arguments).fit(SOURCES, TARGETS, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = Translator(**arguments).fit(SOURCES, TARGETS, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    whole = Translator(**arguments).fit(SOURCES, TARGETS)
    assert resumed.resumed_
    assert len(whole.history_) == 2
    for name, weight in whole.network_.state_dict().items():
        assert torch.equal(weight, resumed.network_.state_dict()[name])
    assert resumed.history_[-1]["valid_chrf"] == whole.history_[-1]["valid_chrf"]


def test_the_same_source_never_stands_on_both_sides(monkeypatch):
    seen = {}
    monkeypatch.setattr(Translator, "_train", lambda self, data, *_: seen.update(t=data.train, v=data.valid))
    Translator(**QUICK).fit([*SOURCES, *SOURCES], [*TARGETS, *reversed(TARGETS)])
    training, validation = ({SOURCES[row % len(SOURCES)] for row in seen[side].rows} for side in "tv")
    assert training.isdisjoint(validation)
    assert len(training) + len(validation) == len(SOURCES)
    assert all(len(known) == 2 or known[0] == known[-1] for known in seen["v"].references.values())


def test_predictions_do_not_depend_on_their_neighbours(translator):
    texts = ["one two", "", "   ", "龍😀", "three " * 60, "four"]
    together, alone = translator.candidates(texts), [translator.candidates([text])[0] for text in texts]
    for a, b in zip(together, alone, strict=True):
        assert [c.text for c in a] == [c.text for c in b]
        np.testing.assert_allclose([c.score for c in a], [c.score for c in b], atol=1e-4)
    assert [found[0].text for found in together[1:3]] == ["", ""]
    assert translator.predict([]) == []
    assert len(translator.predict(["three " * 60])[0]) < 400  # however it goes wrong, it ends


def test_several_references_count(translator):
    found = translator.evaluate(["one", "one", "two", "three"], ["다른 것", "일", "이", ""])
    assert (found["n"], found["sources"]) == (3, 2)
    assert found["chrf"] == pytest.approx(100)
    assert "nrefs:var" in found["bleu_signature"]


def test_constructor_only_stores_and_clones():
    assert clone(Translator(beam_size=7)).get_params() == Translator(beam_size=7).get_params()
    with pytest.raises(NotFittedError):
        Translator().predict(["a"])


# what it refuses


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (SOURCES, TARGETS[:5], "84 texts but y has 5"),
        (["", "a"], ["b", " "], "every pair has an empty side"),
        ([[1.0], [2.0]], ["a", "b"], "X holds numbers"),
        (["a"], None, "translations are missing"),
    ],
)
def test_wrong_data(X, y, message):
    with pytest.raises(DataError, match=message):
        Translator(**QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must lie"),
        ({"tokens": "syllable"}, "tokens is one of"),
        ({"neighbours": -1}, "neighbours must not be negative"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        Translator(**{**QUICK, **arguments}).fit(SOURCES, TARGETS)


def test_wrong_use(translator):
    with pytest.raises(DataError, match="numbers"):
        translator.predict([np.zeros((2, 2))])
    with pytest.raises(UsageError, match="sample_weight"):
        translator.evaluate(["one"], ["일"], [1.0])


# the network


def test_stepping_gives_what_teacher_forcing_gives():
    torch.manual_seed(0)
    for cell, layers in [("lstm", 2), ("gru", 1), ("none", 1)]:
        spec = RecurrentSpec(cell, 7, layers, bidirectional=True, dropout=0.5)
        network = EncoderDecoder(9, 11, 6, recurrent=spec, token_dropout=0.5).eval()
        values, lengths = torch.randint(3, 9, (3, 5)), torch.tensor([5, 1, 3])
        targets, steps = torch.randint(3, 11, (3, 4)), torch.tensor([4, 2, 0])
        with torch.no_grad():
            scores, expected = network(values, lengths, targets, steps)
            assert expected.tolist() == [*targets[0].tolist(), END, *targets[1, :2].tolist(), END, END]
            encoded = network.encode(values, lengths)
            state, tokens, rows = encoded.state, torch.full((3,), BEGIN), []
            for step in range(5):
                found, state, weights = network.step(tokens, state, encoded)
                rows.append(found)
                assert weights[1, 1:].abs().max() == 0  # nothing beyond the end is looked at
                tokens = targets[:, step] if step < 4 else tokens
        stepped = torch.stack(rows, dim=1)
        expected_rows = torch.cat([stepped[0], stepped[1, :3], stepped[2, :1]])
        torch.testing.assert_close(scores, expected_rows, rtol=1e-4, atol=1e-5)


# the figures


def test_bleu_tokens_follow_the_script():
    assert bleu_tokens(["나는 집에 간다 OK"]) == bleu_tokens(["我回家"]) == bleu_tokens(["うちへ帰る"]) == "char"
    assert bleu_tokens(["Ich gehe heim."]) == bleu_tokens(["Я иду"]) == bleu_tokens([""]) == "13a"
    assert bleu_tokens([normalize("NFD", "나는 집에 간다")]) == "char"


def test_figures_are_sacrebleu_s():
    references = [["나는 집에 간다.", "집에 갑니다."], ["그는 잔다."]]
    assert corpus_metrics(["집에 갑니다.", "그는 잔다."], references, "char")["bleu"] == pytest.approx(100)
    found = corpus_metrics(["나는 갑니다.", "그는"], references, "char")
    assert 0 < found["chrf"] < found["bleu"] < 100
    assert "tok:char" in signatures(references, "char")["bleu_signature"]
    with pytest.raises(UsageError, match="13a"):
        corpus_metrics(["a"], [["a"]], "no-such")


def test_nearest_neighbour_is_found_and_kept():
    neighbours = Neighbours(["I run.", "He sleeps.", "He sleeps."], ["달린다", "잔다", "자요"])
    assert neighbours.translate(["He sleeps!", "I ran."]) == ["잔다", "달린다"]
    again = Neighbours.from_files(neighbours.to_files())
    assert again is not None
    assert (again.sources, again.targets) == (neighbours.sources, neighbours.targets)


# the picture


def test_alignment_picture(tmp_path, translator):
    alignment = translator.align("one two")
    note = alignment.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert note is None or "font" in note
    with pytest.raises(DataError, match=r"a\.doc"):
        alignment.plot(tmp_path / "a.doc")
