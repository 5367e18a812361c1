"""Changes inside a run against cells computed by hand, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import recurra
from recurra import SequenceClassifier, nn
from recurra.cells import Cell, Step, linear
from recurra.errors import DataError, UsageError
from recurra.inspect import ablate, clamp, intervene, patch, unit_ablation

LENGTHS = [6, 0, 3]
every_kind = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def deep(kind, **options):
    """Two layers in both directions."""
    layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True, batch_first=True, **options).double()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return layer


def test_a_clamped_gate_is_that_of_a_cell_computed_by_hand():
    layer, x = nn.LSTM(3, 5, batch_first=True).double(), torch.randn(2, 8, 3, dtype=torch.float64)
    effect = intervene(layer, x, [clamp("forget", 1.0, layer=0, units=[3], time=slice(5, None))])
    h = c = torch.zeros(2, 5, dtype=torch.float64)
    outputs = []
    for t in range(8):
        gates = x[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        if t >= 5:
            f = f.clone()
            f[:, 3] = 1
        c = f * c + i * g
        h = o * c.tanh()
        outputs.append(h)
    by_hand = torch.stack(outputs, 1).detach().numpy()
    np.testing.assert_allclose(effect.output_after, by_hand, atol=1e-12)
    np.testing.assert_allclose(effect.output_before, layer(x)[0].detach(), atol=1e-12)
    np.testing.assert_allclose(effect.score_after, by_hand[:, -1].sum(1), atol=1e-12)
    moved = effect.moved[""]
    assert (moved[:, :5] == 0).all()
    assert (moved[:, 5:] > 0).all()
    np.testing.assert_allclose(moved, np.linalg.norm(effect.output_change, axis=-1), atol=1e-12)


@every_kind
@pytest.mark.parametrize("what", ["states", "gates"])
def test_patching_everything_from_another_run_gives_its_output(kind, what):
    layer, x, other = deep(kind), *torch.randn(2, 3, 6, 3, dtype=torch.float64)
    trace = recurra.trace(layer, other, lengths=LENGTHS)
    cell = layer.stack.cell
    changes = [patch(name, trace) for name in (cell.states if what == "states" else cell.gates)]
    effect = intervene(layer, x, changes, lengths=LENGTHS)
    expected = layer(other, lengths=LENGTHS)[0].detach()
    np.testing.assert_allclose(effect.output_after, expected, atol=1e-12)
    assert np.abs(effect.output_change[0]).max() > 0.01


@every_kind
def test_changing_nothing_changes_nothing(kind):
    layer, x = deep(kind).float(), torch.randn(3, 6, 3)
    for changes in ([], [ablate("hidden", units=[])], [clamp("candidate", 5.0, units=[])]):
        effect = intervene(layer, x, changes, lengths=LENGTHS)
        np.testing.assert_array_equal(effect.output_before, effect.output_after)
        np.testing.assert_array_equal(effect.score_change, 0)


def test_where_a_change_happens():
    layer, x = deep("GRU"), torch.randn(3, 6, 3, dtype=torch.float64)

    def changed_by(**where):
        effect = intervene(layer, x, [clamp("hidden", 0.5, **where)], lengths=LENGTHS)
        return effect.output_after, effect.output_after != effect.output_before

    output, changed = changed_by(layer=1, direction="backward", units=[2], time=1)
    assert (output[[0, 2], 1, 4 + 2] == 0.5).all()
    assert not changed[..., :4].any()  # the other direction does not know
    assert not changed[:, 2:].any()  # the backward direction comes to these first
    assert changed[[0, 2], 0, 4:].all()
    assert not changed[1].any()  # an empty sequence
    _, changed = changed_by(layer=0, direction="forward", units=0, time=[-1])  # each sequence's own last step
    assert changed[0].any(-1).all()
    assert changed[2, :3].any(-1).all()
    _, changed = changed_by(layer=1, direction="forward", units=slice(1, 3), time=-1)
    assert np.argwhere(changed).tolist() == [[0, 5, 1], [0, 5, 2], [2, 2, 1], [2, 2, 2]]


def test_values_for_each_unit_and_the_later_of_two_changes():
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(2, 5, 3)
    changes = [clamp("hidden", [0.1, 0.2], units=[3, 1]), clamp("hidden", 0.9, units=[1], time=0)]
    output = intervene(layer, x, changes).output_after
    np.testing.assert_allclose(output[:, :, 3], 0.1, rtol=1e-6)
    np.testing.assert_allclose(output[:, 0, 1], 0.9, rtol=1e-6)
    np.testing.assert_allclose(output[:, 1:, 1], 0.2, rtol=1e-6)


def test_ablation_to_the_mean_of_a_corpus():
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    corpus = recurra.trace(layer, torch.randn(9, 7, 3), lengths=[7, 0, 1, 2, 3, 4, 5, 6, 7])
    output = intervene(layer, x, [ablate("hidden", mean_of=corpus, units=[2])]).output_after
    values = corpus["hidden"].sel(unit=2).values
    np.testing.assert_allclose(output[:, :, 2], np.nanmean(values), rtol=1e-5)
    assert np.isnan(values).any()


def test_a_shorter_run_patches_the_steps_that_it_has():
    layer, x = nn.RNN(3, 4, batch_first=True), torch.randn(2, 5, 3)
    trace = recurra.trace(layer, torch.randn(1, 3, 3))
    output = intervene(layer, x, [patch("hidden", trace, time=slice(0, 3))]).output_after
    np.testing.assert_allclose(output[:, :3], trace["hidden"].values[0, 0].repeat(2, 0), atol=1e-6)
    with pytest.raises(UsageError, match="no 'hidden' of sequence 0, step 3, unit 0"):
        intervene(layer, x, [patch("hidden", trace)])
    with pytest.raises(UsageError, match="no 'hidden' of sequence 0, step 0, unit 1"):
        intervene(layer, x, [patch("hidden", recurra.trace(layer, x, units=[0]))])
    with pytest.raises(UsageError, match="2 sequences"):
        intervene(layer, torch.randn(3, 5, 3), [patch("hidden", recurra.trace(layer, x))])
    with pytest.raises(UsageError, match="holds no 'hidden'"):
        intervene(layer, x, [patch("hidden", recurra.trace(layer, x, names=["candidate"]))])


class Gated(Cell):
    """A cell of one's own whose step takes no `alter`."""

    name, gates, states = "own", ("forget", "candidate"), ("hidden",)

    def step(self, x, state, weights):
        (h,) = state
        f, n = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(2, -1)
        f, n = torch.sigmoid(f), torch.tanh(n)
        return Step(((1 - f) * h + f * n,), (f, n))


def test_a_cell_of_ones_own():
    layer, x = nn.Recurrent(Gated(), 3, 4, batch_first=True), torch.randn(2, 5, 3)
    effect = intervene(layer, x, [ablate("hidden", units=[1])])
    assert (effect.output_after[..., 1] == 0).all()
    with pytest.raises(UsageError, match=r"takes no argument `alter`.*its states can: 'hidden'"):
        intervene(layer, x, [clamp("forget", 1.0)])
    assert unit_ablation(layer, x).score_change.shape == (1, 1, 4)
    with pytest.raises(UsageError, match="takes no argument `alter`"):
        unit_ablation(layer, x, of="forget")


def test_torchs_own_layers_and_models_with_several():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lower, self.upper = torch.nn.LSTM(3, 4, batch_first=True), torch.nn.GRU(4, 4, batch_first=True)

        def forward(self, values):
            return self.upper(self.lower(values)[0])[0]

    model, x = Two().train(), torch.randn(2, 5, 3)
    effect = intervene(model, x, [clamp("cell", 0.0, part="lower", time=slice(2, None))])
    assert list(effect.moved) == ["lower"]
    assert (effect.output_change[:, :2] == 0).all()
    assert (effect.output_change[:, 3:] != 0).any()
    assert model.training
    assert "forward" not in vars(model.lower)
    with pytest.raises(UsageError, match="several recurrent layers, 'lower', 'upper'; choose one with part="):
        intervene(model, x, [ablate("hidden")])
    with pytest.raises(UsageError, match="no recurrent layer 'middle'"):
        intervene(model, x, [ablate("hidden", part="middle")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (clamp("forgot", 1.0), "no 'forgot' in a lstm; there are 'input', 'forget'"),
        (clamp("forget", 1.0, units=[4, 9]), "'forget' has units 0 to 4, not 9"),
        (clamp("forget", 1.0, units=-1), "'forget' has units 0 to 4, not -1"),
        (clamp("forget", 1.0, layer=1), "layer must be between 0 and 0, got 1"),
        (clamp("forget", 1.0, direction="backward"), "direction is one of 'forward', not 'backward'"),
        (clamp("forget", 1.0, time=8), "time=8 selects none of the 8 steps"),
        (clamp("forget", 1.0, time=slice(9, None)), "selects none of the 8 steps"),
        (clamp("forget", [1.0, 2.0], units=[1, 2, 3]), "one for each of the 3 chosen units"),
        (("forget", 1.0), "created by clamp, ablate and patch; got tuple"),
    ],
    ids=["name", "unit", "negative unit", "layer", "direction", "step", "slice", "values", "kind"],
)
def test_wrong_changes_are_named(change, message):
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        intervene(nn.LSTM(3, 5, batch_first=True), torch.randn(2, 8, 3), [change])


@pytest.fixture(scope="module")
def classifier():
    options = {"hidden_size": 8, "embedding_size": 6, "dropout": 0.0, "token_dropout": 0.0, "verbose": 0}
    texts, labels = ["정말 재미있다", "최고의 영화", "정말 지루하다", "최악의 영화"] * 20, [1, 1, 0, 0] * 20
    return SequenceClassifier(tokens="word", epochs=8, batch_size=16, learning_rate=0.02, **options).fit(texts, labels)


def test_effects_on_an_estimator(classifier):
    texts, labels = ["정말 재미있다", "최악의 영화"], [1, 0]
    effect = intervene(classifier, texts, [ablate("hidden")], labels)
    assert effect.subject.score_name == "log-odds of the answer"
    chosen = classifier.network_.head.bias.detach()[[1, 0]]
    np.testing.assert_allclose(effect.score_after, chosen - chosen.flip(0), atol=1e-6)  # nothing but the bias is left
    assert (effect.score_before > effect.score_after).all()
    assert effect.loss_change is not None
    np.testing.assert_allclose(effect.loss_before, np.log1p(np.exp(-effect.score_before)).mean(), rtol=1e-4)
    np.testing.assert_allclose(effect.loss_after, np.log1p(np.exp(-effect.score_after)).mean(), rtol=1e-4)
    assert effect.moved["encoder.recurrent"]["token"].values[0].tolist() == ["정말", "재미있다"]
    assert json.loads(effect.to_json())["rows"][1]["batch"] == 1
    assert "loss" in repr(effect)
    assert intervene(classifier, texts, [ablate("hidden")]).loss_change is None


# importance


@every_kind
@pytest.mark.parametrize("of", ["hidden", "candidate"])
def test_importance_is_the_effect_of_each_ablation_alone(kind, of):
    layer, x = deep(kind), torch.randn(3, 6, 3, dtype=torch.float64)
    subject = recurra.inspect.subject_of(layer, x, lengths=LENGTHS)
    told = []
    found = unit_ablation(subject, of=of, progress=lambda done, count: told.append((done, count)))
    for layer_number, direction, unit in [(0, 0, 1), (0, 1, 3), (1, 0, 0), (1, 1, 2)]:
        where = {"layer": layer_number, "direction": ("forward", "backward")[direction], "units": [unit]}
        effect = intervene(subject, changes=[ablate(of, **where)])
        expected = np.abs(effect.score_change).mean()
        np.testing.assert_allclose(found.score_change[layer_number, direction, unit], expected, atol=1e-12)
    assert found.score_change.shape == (2, 2, 4)
    assert told[-1] == (16, 16)
    rows = found.rows()
    assert rows[0]["score_change"] == found.score_change.max() >= rows[-1]["score_change"]
    assert len(found.rows(3)) == 3


def test_importance_for_the_loss(classifier):
    texts, labels = ["정말 재미있다", "최악의 영화", ""], [1, 0, 1]
    found = unit_ablation(classifier, texts, labels)
    assert found.loss_change is not None
    effect = intervene(classifier, texts, [ablate("hidden", units=[2])], labels)
    np.testing.assert_allclose(found.loss_change[0, 0, 2], effect.loss_change, atol=1e-5)
    assert "loss" in repr(found)
    json.loads(found.to_json())
    with pytest.raises(DataError, match="every sequence is empty"):
        unit_ablation(classifier, ["", " "])
    with pytest.raises(UsageError, match="no 'memory' in a lstm"):
        unit_ablation(classifier, texts, of="memory")
