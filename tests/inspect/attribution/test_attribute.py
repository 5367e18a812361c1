"""Attributions where the right ones are known, on every kind of model, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch

from recurra import SequenceClassifier, SequenceRegressor, nn
from recurra.errors import UsageError
from recurra.inspect import attribute, subject_of

LENGTHS = [7, 0, 3, 5]
SIGNED = ["integrated_gradients", "gradient_x_input", "occlusion", "removal"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def decaying(factor: float, kind=torch.nn.RNN):
    """h_t = x_t + factor * h_{t-1} while all is positive: the share of x_t in the last output is factor^(T-1-t) x_t."""
    layer = kind(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    torch.nn.init.ones_(layer.weight_ih_l0)
    torch.nn.init.constant_(layer.weight_hh_l0, factor)
    return layer


@pytest.mark.parametrize("kind", [torch.nn.RNN, nn.RNN], ids=["torch", "ours"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "occlusion"])
def test_a_linear_model_has_the_exact_attributions(method, kind):
    x = torch.rand(3, 6, 1) + 0.1
    found = attribute(decaying(0.5, kind), x, method=method)
    np.testing.assert_allclose(found.values, (x[..., 0] * 0.5 ** torch.arange(5.0, -1, -1)).numpy(), rtol=1e-4)
    assert found.completeness.gap < 1e-5


def test_saliency_is_the_size_of_the_gradient():
    found = attribute(decaying(0.5), torch.rand(1, 4, 1) + 0.1, method="saliency")
    np.testing.assert_allclose(found.values, [[0.125, 0.25, 0.5, 1]])


def test_removal_takes_the_step_away_instead_of_setting_it_to_nothing():
    found = attribute(decaying(0.5), torch.tensor([[[8.0], [4.0], [2.0]]]), method="removal")
    # 8/4 + 4/2 + 2 = 6; without the first 4/2 + 2 = 4, without the second 8/2 + 2 = 6, without the last 8/2 + 4 = 8
    np.testing.assert_allclose(found.values, [[2, 0, -2]])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_integrated_gradients_are_complete(kind, bidirectional):
    layer = getattr(nn, kind)(3, 8, num_layers=2, bidirectional=bidirectional, batch_first=True)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # far from linear
    x = torch.randn(4, 7, 3) * 2
    found = attribute(layer, x, lengths=LENGTHS)
    assert np.abs(found.completeness.difference).max() > 0.05
    assert found.completeness.gap < 1e-3
    assert attribute(layer, x, lengths=LENGTHS, method="gradient_x_input").completeness.gap > 0.1


@pytest.mark.parametrize("method", [*SIGNED, "saliency"])
def test_a_ragged_batch_is_what_its_sequences_are_alone(method):
    layer, x = nn.LSTM(3, 8, bidirectional=True, batch_first=True), torch.randn(4, 7, 3)
    for row, length in zip(x, LENGTHS, strict=True):
        row[length:] = torch.nan  # occlusion of padding, and all else about it, is nothing
    together = attribute(layer, x, lengths=LENGTHS, method=method, steps=8).values
    assert together["length"].values.tolist() == LENGTHS
    for b, length in enumerate(LENGTHS):
        assert np.isnan(together[b, length:]).all()
        if length:
            alone = attribute(layer, x[b : b + 1, :length], method=method, steps=8).values
            np.testing.assert_allclose(together[b, :length], alone[0], atol=1e-5)


def test_time_first_layers_packed_sequences_and_torchs_own_layers():
    layer, x, lengths = torch.nn.GRU(3, 5), torch.randn(6, 2, 3), torch.tensor([6, 4])

    class Packing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = layer

        def forward(self, values):
            packed = torch.nn.utils.rnn.pack_padded_sequence(values, lengths, enforce_sorted=False)
            return self.inner(packed)[1][0].sum(-1)

    ours = nn.GRU(3, 5)
    ours.load_state_dict(layer.state_dict())
    packed = attribute(Packing(), x)
    assert packed.values.dims == ("batch", "time")
    assert packed.values.shape == (2, 6)
    direct = attribute(ours, x, lengths=lengths)
    np.testing.assert_allclose(packed.values, direct.values, atol=1e-6)
    np.testing.assert_allclose(attribute(layer, x[:, :1]).values[0], direct.values[0], atol=1e-6)
    with pytest.raises(UsageError, match="one prediction per sequence"):
        attribute(layer, x, method="removal")


def test_a_layer_that_spells_words_is_not_the_one_over_the_steps():
    class Spelling(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.spelling, self.words = torch.nn.GRU(2, 3, batch_first=True), torch.nn.GRU(3, 4, batch_first=True)

        def forward(self, values):  # (batch, words, characters, features)
            spelt = self.spelling(values.flatten(0, 1))[1][0]
            return self.words(spelt.view(*values.shape[:2], 3))[1][0].sum(-1)

    subject = subject_of(Spelling(), torch.randn(2, 5, 3, 2))
    words = dataclasses.replace(subject, steps=[list("abcde"), list("fghij")])
    found = attribute(words, method="occlusion")
    assert found.values.attrs["layer"] == "words"
    assert found.values["token"].values.tolist() == [list("abcde"), list("fghij")]
    assert found.completeness.gap < 0.2
    assert attribute(words, layer="spelling").values.shape == (10, 3)


def test_baselines():
    layer, x = decaying(0.5), torch.tensor([[[1.0], [2.0], [6.0]]])
    mean = attribute(layer, x, baseline="mean", method="occlusion")
    np.testing.assert_allclose(mean.values, [[(1 - 3) / 4, (2 - 3) / 2, 6 - 3]], rtol=1e-5)
    given = attribute(layer, x, baseline=torch.tensor([2.0]), method="occlusion")
    np.testing.assert_allclose(given.values, [[-1 / 4, 0, 4]], atol=1e-5)
    assert (mean.values.attrs["baseline"], given.values.attrs["baseline"]) == ("mean", "given")


# estimators

NOISE = ["그", "영화", "를", "어제", "보았다", "친구", "와"]


@pytest.fixture(scope="module")
def decided():
    """A classifier of texts that are bad where one word stands, and good where it does not."""
    random = np.random.default_rng(0)
    texts, labels = [], []
    for label in [0, 1] * 100:
        words = random.choice(NOISE, random.integers(3, 7)).tolist()
        if label == 0:
            words.insert(int(random.integers(0, len(words) + 1)), "나쁜")
        texts.append(" ".join(words))
        labels.append(["bad", "good"][label])
    options = {"hidden_size": 8, "embedding_size": 8, "dropout": 0.0, "token_dropout": 0.0, "verbose": 0}
    return SequenceClassifier(tokens="word", epochs=8, batch_size=16, learning_rate=0.02, **options).fit(texts, labels)


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "occlusion", "removal"])
def test_the_word_that_decides_gets_the_attribution(decided, method):
    texts = ["그 영화 를 나쁜 친구 와", "나쁜 영화", "어제 보았다 나쁜"]
    assert decided.predict(texts).tolist() == ["bad", "bad", "bad"]
    found = attribute(decided, texts, method=method)
    shares = np.array([dict(found.words(row))["나쁜"] for row in range(3)])
    others = np.nansum(np.abs(found.values), axis=1) - shares
    assert (shares > others).all()
    assert found.values["token"].values[1].tolist() == ["나쁜", "영화", "", "", "", ""]
    assert "나쁜 +" in repr(found)
    assert [row["token"] for row in found.rows()][:2] == ["그", "영화"]
    assert json.loads(found.to_json())["tokens"][2] == ["어제", "보았다", "나쁜"]


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "occlusion"])
def test_words_that_are_nothing_to_the_model_get_nothing(decided, method):
    model = copy.deepcopy(decided)
    word = model.encoder_.encode(["나쁜"])[0][0]
    with torch.no_grad():
        embedding = model.network_.encoder.embedding.weight
        embedding[torch.arange(len(embedding)) != word] = 0
    values = attribute(model, ["그 영화 를 나쁜 친구 와"], method=method).values.values[0]
    assert abs(values[3]) > 0.1
    np.testing.assert_allclose(np.delete(values, 3), 0, atol=1e-5)


def test_pieces_of_a_word_are_added_up():
    texts = ["재미있다 정말", "재미없다 정말"] * 30
    options = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "verbose": 0}
    model = SequenceClassifier(tokens="char", **options).fit(texts, [1, 0] * 30)
    found = attribute(model, ["정말 재미없다"], method="occlusion")
    words = found.words()
    assert [word for word, _ in words] == ["정말", "재미없다"]
    np.testing.assert_allclose(words[1][1], found.values[0, 2:].sum(), rtol=1e-6)
    np.testing.assert_allclose(sum(v for _, v in words), found.values.sum(), rtol=1e-5)


def test_series_have_attributions_by_feature():
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(3, 8), 2)) for _ in range(120)]
    y = [float(3 * x[:, 1].max()) for x in X]
    model = SequenceRegressor(hidden_size=8, epochs=12, batch_size=16, learning_rate=0.02, verbose=0).fit(X, y)
    found = attribute(model, X[:40])
    assert found.by_feature is not None
    assert found.by_feature.dims == ("batch", "time", "feature")
    np.testing.assert_allclose(found.by_feature.sum("feature", skipna=False), found.values, rtol=1e-4, atol=1e-6)
    size = np.abs(found.by_feature).sum(["batch", "time"])
    assert size[1] > 2 * size[0]  # the first feature is noise
    with pytest.raises(UsageError, match="not tokens of a text"):
        found.words()


def test_a_score_of_ones_own(decided):
    of_bad, of_good = (attribute(decided, ["나쁜 영화"], score=lambda output, i=i: output[:, i]) for i in (0, 1))
    assert dict(of_good.words())["나쁜"] < 0 < dict(of_bad.words())["나쁜"]


# the check with random weights


def ignoring(question):
    return question.layer_input.values.norm(dim=-1)


def test_a_method_that_ignores_the_weights_fails_the_sanity_check():
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.GRU(8, 16, bidirectional=True, batch_first=True)

        def forward(self, values):
            return self.recurrent(values)[0][..., 0].mean(1)

    model, x = Mean(), torch.randn(4, 40, 8)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    failed = attribute(model, x, method=ignoring).sanity()
    assert failed.passes is False
    assert failed.correlation == 1
    assert failed.verdict.startswith("fails")
    passed = attribute(model, x).sanity()
    assert passed.passes is True
    assert abs(passed.correlation) < 0.2
    assert passed.verdict.startswith("passes")
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_the_sanity_check_says_when_it_cannot_tell(decided):
    assert attribute(decided, ["나쁜"]).sanity().passes is None
    assert "no sequence has two steps" in attribute(decided, ["나쁜"]).sanity().verdict
    with pytest.raises(UsageError, match="draws"):
        attribute(decided, ["나쁜"]).sanity(draws=1)


# what is refused


def test_wrong_arguments_are_named():
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    with pytest.raises(UsageError, match="method is one of integrated_gradients"):
        attribute(layer, x, method="magic")
    with pytest.raises(UsageError, match=r"must return a tensor \(2, 5\)"):
        attribute(layer, x, method=lambda question: torch.zeros(2))
    with pytest.raises(UsageError, match="baseline is 'zeros'"):
        attribute(layer, x, baseline="ones")
    with pytest.raises(UsageError, match="baseline of shape"):
        attribute(layer, x, baseline=torch.zeros(4))
    with pytest.raises(UsageError, match="steps must be at least 1"):
        attribute(layer, x, steps=0)
    with pytest.raises(UsageError, match="does not call a recurrent layer 'top'"):
        attribute(layer, x, layer="top")
    with pytest.raises(UsageError, match="no recurrent layer"):
        attribute(torch.nn.Linear(3, 4), x)
    with pytest.raises(UsageError, match="only step"):
        attribute(layer, x[:, :1], method="removal")


def test_the_model_is_left_as_it_was():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), nn.GRU(4, 5, batch_first=True)).train()
    subject = subject_of(model, torch.randn(2, 5, 3))
    attribute(subject)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert "forward" not in vars(model[1])
