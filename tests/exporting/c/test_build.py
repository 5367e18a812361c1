"""C files give the answers of their models, after each step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from compiled import run_steps
from divisions import rebuilt

import recurra
from recurra import cells, nn
from recurra.errors import RecurraError, UsageError
from recurra.exporting.c import build as building
from recurra.exporting.c.emulate import emulate
from recurra.exporting.c.read import read

STEPS = 1000
CELLS = ("rnn", "rnn_relu", "gru", "lstm", "none")
POOLINGS = ("last", "mean", "max", "attention")


def drawn(count: int, features: int = 3, missing: float = 0.2, steps: int = 20) -> list[np.ndarray]:
    """Sequences whose values are float32 numbers."""
    random = np.random.default_rng(0)
    rows = [random.normal([1e5, *[3] * (features - 1)], 2, size=(steps, features)) for _ in range(count)]
    for row in rows:
        row[random.random(row.shape) < missing] = np.nan
    return [row.astype(np.float32).astype(np.float64) for row in rows]


def fitted(kind, X, y, **params):
    return kind(hidden_size=4, epochs=1, verbose=0, random_state=0, bidirectional=False, **params).fit(X, y)


@pytest.fixture(scope="module")
def classifier():
    return fitted(recurra.SequenceClassifier, drawn(40), ["down", "up", "긍정", "up"] * 10)


@pytest.fixture(scope="module")
def regressor():
    return fitted(recurra.SequenceRegressor, drawn(40, 2, 0), np.random.default_rng(1).normal(50, 9, size=(40, 2)))


def answers(model, x: np.ndarray) -> np.ndarray:
    """The answers of a model after each step."""
    stepper = model.service().stepper()
    states, found = stepper.start(1), []
    for row in x:
        done = stepper.advance(states, [""], [row[None]])
        states = done.states
        found.append(done.outputs[0])
    return np.array(found)


def difference(found: np.ndarray, wanted: np.ndarray, size: float | np.ndarray = 1.0) -> float:
    """The largest difference, in units of `size`."""
    assert found.shape == wanted.shape
    return float((np.abs(found - wanted) / size).max())


@pytest.mark.parametrize(
    ("cell", "layers", "pooling", "compiler"),
    [
        ("rnn", 1, "last", "gcc"),
        ("rnn_relu", 2, "mean", "clang"),
        ("gru", 3, "max", "gcc"),
        ("lstm", 2, "attention", "clang"),
        ("none", 2, "max", "gcc"),
    ],
    indirect=["compiler"],
)
def test_classifiers_give_the_probabilities_of_python(classifier, cell, layers, pooling, compiler, tmp_path):
    model = rebuilt(classifier, cell=cell, num_layers=layers, hidden_size=13, pooling=pooling)
    (x,) = drawn(1, steps=STEPS)
    found = run_steps(recurra.export(model, tmp_path / "gesture.c"), x, compiler)
    assert difference(found, answers(model, x)) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "layers"), list(itertools.product(CELLS, (1, 2, 3))))
def test_all_models_give_the_answers_of_python(classifier, regressor, cell, layers, compiler, tmp_path):
    for i, model in enumerate((classifier, regressor)):
        pooling = POOLINGS[(CELLS.index(cell) + layers + 2 * i) % len(POOLINGS)]
        model = rebuilt(model, cell=cell, num_layers=layers, hidden_size=13, pooling=pooling)
        (x,) = drawn(1, model.encoder_.features, steps=STEPS)
        size = getattr(model, "target_scale_", 1.0)
        found = run_steps(recurra.export(model, tmp_path / "gesture.c"), x, compiler)
        assert difference(found, answers(model, x), size) <= 1e-5
        found = run_steps(recurra.export(model, tmp_path / "gesture.c", int8=True), x, compiler)
        assert difference(found, emulate(read(model).quantized(), x), size) <= 1e-5


@pytest.mark.parametrize(
    ("cell", "pooling", "compiler"), [("lstm", "last", "gcc"), ("gru", "max", "clang")], indirect=["compiler"]
)
def test_regressors_give_the_numbers_of_python(regressor, cell, pooling, compiler, tmp_path):
    model = rebuilt(regressor, cell=cell, num_layers=2, hidden_size=9, pooling=pooling)
    (x,) = drawn(1, 2, 0, STEPS)
    path = recurra.export(model, tmp_path / "level.c")
    assert difference(run_steps(path, x, compiler), answers(model, x), model.target_scale_) <= 1e-5
    for name in model.service().stepper().about()["outputs"]:
        assert f'"{name}"' in path.read_text(encoding="utf-8")


LAYERS = [
    nn.RNN(3, 7, 2),
    nn.RNN(3, 7, nonlinearity="relu", bias=False, batch_first=True),
    nn.GRU(3, 7, 3, batch_first=True),
    nn.GRU(3, 7, bias=False),
    nn.LSTM(3, 7, 3),
    nn.LSTM(3, 7, 2, proj_size=4, bias=False),
    nn.LSTM(3, 7, proj_size=4),
    nn.Recurrent(cells.GRU(), 3, 7, 2),
    nn.Memoryless(3, 7, 2),
    torch.nn.RNN(3, 7, nonlinearity="relu"),
    torch.nn.GRU(3, 7, 2).double(),
    torch.nn.LSTM(3, 7, proj_size=4),
    torch.nn.utils.parametrizations.weight_norm(nn.GRU(3, 7), "weight_hh_l0"),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # of torch's own layer
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers_give_their_outputs(layer, tmp_path):
    x = np.random.default_rng(2).normal(size=(STEPS, 3)).astype(np.float32)
    found = run_steps(recurra.export(layer, tmp_path / "layer.c"), x, "gcc")
    time = 0 if getattr(layer, "batch_first", isinstance(layer, nn.Memoryless)) else 1
    with torch.no_grad():
        wanted = layer(torch.from_numpy(x).unsqueeze(time).to(next(layer.parameters()).dtype))[0].squeeze(time)
    assert difference(found, wanted.numpy()) <= 1e-5


@pytest.mark.parametrize(
    ("cell", "compiler"), [("rnn_relu", "gcc"), ("gru", "clang"), ("lstm", "gcc")], indirect=["compiler"]
)
def test_int8_files_give_the_answers_of_8_bit_weights(classifier, cell, compiler, tmp_path):
    model = rebuilt(classifier, cell=cell, num_layers=2, hidden_size=13, pooling="attention")
    (x,) = drawn(1, steps=STEPS)
    small = recurra.export(model, tmp_path / "small.c", int8=True)
    found, wanted = run_steps(small, x, compiler), answers(model, x)
    assert difference(found, emulate(read(model).quantized(), x)) <= 1e-5
    assert 1e-5 < difference(found, wanted) < 0.05
    assert "int8_t" in small.read_text()


def test_int8_layer_with_projection(tmp_path):
    layer = nn.LSTM(3, 7, 2, proj_size=4)
    x = np.random.default_rng(2).normal(size=(STEPS, 3)).astype(np.float32)
    found = run_steps(recurra.export(layer, tmp_path / "layer.c", int8=True), x, "gcc")
    assert difference(found, emulate(read(layer).quantized(), x)) <= 1e-5


def test_constant_features_and_values_far_away(tmp_path):
    X = drawn(40, 2, 0)
    for x in X:
        x[:, 1] = 7
    model = fitted(recurra.SequenceClassifier, X, [0, 1] * 20, pooling="last")
    path = recurra.export(model, tmp_path / "flat.c")
    x = drawn(1, 2, 0, 50)[0]
    assert difference(run_steps(path, x, "gcc"), answers(model, x)) <= 1e-5
    missing, far = x.copy(), x.copy()
    missing[5, 0], far[5, 0] = np.nan, np.inf
    assert (run_steps(path, missing, "gcc") == run_steps(path, far, "gcc")).all()


class MyCell(cells.GRU):
    name = "mine"


def test_several_labels(tmp_path):
    labels = [["hot"], [], ["hot", "loud"], ["loud"]] * 10
    model = fitted(recurra.SequenceClassifier, drawn(40), labels)
    x = drawn(1, 3, 1, 50)[0]
    path = recurra.export(model, tmp_path / "labels.c")
    assert difference(run_steps(path, x, "gcc"), answers(model, x)) <= 1e-5
    assert "labels above 0.5" in path.read_text(encoding="utf-8")


REFUSED = [
    (nn.GRU(3, 4, bidirectional=True), r"bidirectional.*train with --one-direction"),
    (nn.Recurrent(MyCell(), 3, 4), "the cell mine has no form in C; train with one of the cells lstm, gru"),
    (torch.nn.Linear(3, 4), "not for a module Linear"),
    (torch.nn.Sequential(nn.GRU(3, 4)), "not for a module Sequential"),
    (type("Mine", (torch.nn.GRU,), {})(3, 4), "Mine may compute something else"),
    ("model", "not str"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refusals(model, message, tmp_path):
    with pytest.raises(UsageError, match=message) as error:
        recurra.export(model, tmp_path / "model.c")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_read_numbers_are_refused(tmp_path):
    texts = recurra.SequenceClassifier(hidden_size=4, epochs=1, verbose=0, tokens="char").fit(
        ["ab", "ba"] * 9, [0, 1] * 9
    )
    tagger = recurra.SequenceTagger(hidden_size=4, epochs=1, verbose=0).fit([["a", "b"]] * 9, [["x", "y"]] * 9)
    for model, message in ((texts, "reads texts"), (tagger, "not for the task tag")):
        with pytest.raises(UsageError, match=message):
            recurra.export(model, tmp_path / "model.c")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    layer = nn.GRU(3, 4)
    layer.weight_hh_l0.data[2, 1] = torch.nan
    with pytest.raises(UsageError, match="a weight of the model is not a finite number"):
        recurra.export(layer, tmp_path / "model.c")


def test_a_file_that_would_differ_is_not_written(classifier, monkeypatch, tmp_path):
    def wrong(model):
        plan = read(model)
        plan.layers[0].bias[:] += 1
        return plan

    monkeypatch.setattr(building, "read", wrong)
    for model in (classifier, nn.LSTM(3, 4)):
        with pytest.raises(RecurraError, match="other answers than the model"):
            recurra.export(model, tmp_path / "model.c")
    assert list(tmp_path.iterdir()) == []
