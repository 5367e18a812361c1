"""The memory horizon of models that use a known number of steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import nn
from recurra.data.batching.batches import IGNORE
from recurra.errors import UsageError
from recurra.inspect import memory_horizon

K = 5


def _shift_register(kind=torch.nn.RNN, batch_first=True):
    """A relu RNN whose unit j holds the input of j steps before: it knows the last five inputs, exactly."""
    layer = kind(1, K, nonlinearity="relu", bias=False, batch_first=batch_first)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.diag(torch.ones(K - 1), -1))
        layer.weight_ih_l0.zero_()
        layer.weight_ih_l0[0] = 1.0
    return layer


class Sum(torch.nn.Module):
    """The sum of the last five inputs."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths=None):
        if lengths is None:
            return self.layer(x)[0][:, -1].sum(1)
        return self.layer(x, lengths=lengths)[1][-1].sum(1)


@pytest.mark.parametrize("lengths", [None, [30, 12, 0, 4, 5, 30]])
def test_a_model_of_the_last_five_inputs_has_horizon_five(lengths):
    torch.manual_seed(0)
    x = torch.rand(6, 30, 1)
    model = Sum(_shift_register(torch.nn.RNN if lengths is None else nn.RNN))
    full = model(x) if lengths is None else model(x, torch.tensor(lengths))
    found = memory_horizon(model, x, loss=lambda output: (output - full).square() + 0.1, lengths=lengths)
    assert found.steps == K
    assert found.full == pytest.approx(0.1)
    loss = dict(zip(found.loss["lag"].values.tolist(), found.loss.values.tolist(), strict=True))
    for lag in (1, 2, 3, 4):
        rows = x[:, :, 0] if lengths is None else [row[:n, 0] for row, n in zip(x, lengths, strict=True)]
        missing = [float(row[-K:].sum() - row[-lag:].sum()) for row in rows]
        assert loss[lag] == pytest.approx(0.1 + np.square(missing).mean(), rel=1e-4)
    assert found.verdict.startswith(
        "the last 5 steps are enough (of up to 30) for a loss within 1 % of the full one: 0.1;"
    )


def test_the_horizon_is_found_between_the_steps_of_the_series():
    torch.manual_seed(0)
    x = torch.rand(4, 200, 1)

    class Past(torch.nn.Module):
        """The input of 37 steps ago, which is the 38th of the last."""

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.RNN(1, 1, batch_first=True)

        def forward(self, x):
            self.layer(x)
            return x[:, -38, 0] if x.shape[1] >= 38 else x[:, 0, 0] * 0 - 1

    full = x[:, -38, 0]
    assert memory_horizon(Past(), x, loss=lambda output: (output - full).square()).steps == 38
    coarse = memory_horizon(Past(), x, loss=lambda output: (output - full).square(), lags=[10, 37, 50, 500])
    assert coarse.steps == 50
    assert coarse.loss["lag"].values.tolist() == [10, 37, 50, 200]


def test_time_first():
    torch.manual_seed(0)
    x = torch.rand(30, 6, 1)
    layer = _shift_register(batch_first=False)
    full = layer(x)[0][-1].sum(1)
    found = memory_horizon(layer, x, loss=lambda output: (output[0][-1].sum(1) - full).square() + 0.1)
    assert found.steps == K


def test_a_classifier_keeps_its_last_steps(untrained):
    X, y = ["good film", "bad one too", "so good", "bad"] * 10, ["p", "n", "p", "n"] * 10
    model = recurra.SequenceClassifier(
        hidden_size=8, embedding_size=4, tokens="char", pooling="last", bidirectional=True
    ).fit(X, y)
    found = memory_horizon(model, X, y, lags=[1, 3, 7, 50])
    for lag in (1, 3, 7):
        cut = model.evaluate([text[-lag:] for text in X], y)["loss"]
        assert float(found.loss.sel(lag=lag)) == pytest.approx(cut, rel=1e-5)
    assert found.full == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-5)
    with pytest.raises(UsageError, match="needs the targets: give y"):
        memory_horizon(model, X)


def test_a_regressor_of_several_numbers_is_not_taken_for_aligned(untrained):
    X, y = [np.random.default_rng(n).normal(size=(6, 2)) for n in range(12)], np.arange(72.0).reshape(12, 6)
    model = recurra.SequenceRegressor(hidden_size=4, pooling="last", bidirectional=False).fit(X, y)
    found = memory_horizon(model, X, y, lags=[2])
    assert float(found.loss.sel(lag=2)) == pytest.approx(model.evaluate([x[-2:] for x in X], y)["loss"], rel=1e-5)


def test_a_language_model_that_knows_two_characters(untrained):
    texts = ["abcabcabcabc", "bcabca", "cab", "aaaabbbb"] * 5
    model = recurra.LanguageModel(hidden_size=16, embedding_size=8, tokens="char", cell="rnn").fit(texts)
    recurrent = model.network_.recurrent
    with torch.no_grad():  # units 8…15 hold what units 0…7 held a step before; beyond that nothing is kept
        for weight in recurrent.parameters():
            weight.zero_()
        recurrent.weight_ih_l0[:8] = torch.eye(8)
        recurrent.weight_hh_l0[8:, :8] = torch.eye(8)
    loss = memory_horizon(model, texts, lags=[1, 2, 3, 8]).loss
    assert float(loss[-1]) == pytest.approx(model.evaluate(texts)["loss"], rel=1e-5)
    assert loss.sel(lag=[2, 3, 8]).values == pytest.approx([float(loss[-1])] * 3, rel=1e-6)
    assert abs(float(loss.sel(lag=1) - loss[-1])) > 0.01


@pytest.mark.parametrize("bidirectional", [False, True])
def test_steps_with_targets_see_their_last_inputs_and_all_that_follows(bidirectional):
    from typing import NamedTuple

    from recurra.tasks.subject import Subject

    class Steps(NamedTuple):
        values: torch.Tensor
        lengths: torch.Tensor
        targets: torch.Tensor

    torch.manual_seed(0)
    layer = nn.GRU(3, 2, batch_first=True, bidirectional=bidirectional)
    head = torch.nn.Linear(layer.stack.output_size, 4)
    network = torch.nn.ModuleList([layer, head])
    lengths = torch.tensor([7, 0, 4])
    targets = torch.randint(4, (3, 7))
    targets[torch.arange(7) >= lengths[:, None]] = IGNORE
    targets[0, 3] = IGNORE
    batch = Steps(torch.randn(3, 7, 3), lengths, targets)

    def forward(batch):
        return head(layer(batch.values, lengths=batch.lengths)[0])

    def loss(batch):
        found = torch.nn.functional.cross_entropy(
            forward(batch).flatten(0, 1), batch.targets.flatten(), reduction="sum"
        )
        return found, (batch.targets != IGNORE).sum()

    found = memory_horizon(Subject(network, batch, forward, lambda o: o.sum((1, 2)), loss=loss), lags=[1, 3])
    for lag in (1, 3, 7):
        losses = []
        for row, length in enumerate(lengths.tolist()):
            for step in range(length):
                if targets[row, step] != IGNORE:
                    first = max(0, step - lag + 1)
                    window = batch.values[row : row + 1, first : length if bidirectional else step + 1]
                    scores = head(layer(window)[0])[0, step - first]
                    losses.append(float(torch.nn.functional.cross_entropy(scores, targets[row, step]).detach()))
        assert float(found.loss.sel(lag=lag)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_tagger_that_reads_both_sides(untrained):
    X = [["the", "cat", "sat", "down"], ["a", "cat"], ["dogs", "sat", "down"]] * 8
    y = [["D", "N", "V", "P"], ["D", "N"], ["N", "V", "P"]] * 8
    model = recurra.SequenceTagger(hidden_size=8).fit(X, y)
    found = memory_horizon(model, X[:3], y[:3])
    assert found.loss["lag"].values[-1] == 4
    assert found.full == pytest.approx(model.evaluate(X[:3], y[:3])["loss"], rel=1e-4)


def test_wrong_arguments_are_named():
    layer, x = torch.nn.RNN(1, 3, batch_first=True), torch.randn(2, 4, 1)

    def loss(output):
        return output[0][:, -1].square().sum(1)

    for wrong, words in (
        ({}, "needs the targets"),
        ({"loss": loss, "tolerance": -1}, "tolerance must be 0 or more"),
        ({"loss": loss, "lags": [0, 2]}, "lags must be numbers of steps from 1 on"),
        ({"loss": loss, "lags": []}, "lags must be numbers of steps from 1 on"),
    ):
        with pytest.raises(UsageError, match=words):
            memory_horizon(layer, x, **wrong)
    with pytest.raises(UsageError, match="no recurrent layer"):
        memory_horizon(torch.nn.Linear(1, 1), x, loss=lambda output: output[:, -1, 0])
    with pytest.raises(UsageError, match="give a batch of sequences"):
        memory_horizon(layer, x[0], loss=lambda output: output[0][-1:])
