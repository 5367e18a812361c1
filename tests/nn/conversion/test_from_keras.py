"""Layers that are read from Keras, on its torch backend, against its own outputs."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import recurra
from recurra import nn
from recurra.errors import DataError, UsageError

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras itself warns

STEPS, BATCH, FEATURES, HIDDEN = 6, 3, 4, 5
CASES = {
    "tanh": ("SimpleRNN", {}),
    "relu without bias": ("SimpleRNN", {"activation": "relu", "use_bias": False}),
    "lstm": ("LSTM", {}),
    "lstm backwards": ("LSTM", {"go_backwards": True}),
    "lstm without bias": ("LSTM", {"use_bias": False}),
    "gru": ("GRU", {}),
    "gru without bias": ("GRU", {"use_bias": False}),
    "gru, reset before": ("GRU", {"reset_after": False}),
    "gru, reset before, without bias": ("GRU", {"reset_after": False, "use_bias": False, "go_backwards": True}),
}


def layer_of(kind, **options):
    return getattr(keras.layers, kind)(HIDDEN, return_sequences=True, bias_initializer="random_normal", **options)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)


def check(ours, theirs, x):
    with torch.no_grad():
        expected = keras.ops.convert_to_numpy(theirs(x))
        np.testing.assert_allclose(ours(torch.from_numpy(x))[0], expected, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_layer_computes_what_the_layer_of_keras_computes(case, x):
    kind, options = CASES[case]
    theirs = layer_of(kind, **options)
    theirs(x)
    check(recurra.from_keras(theirs), theirs, x)


@pytest.fixture(scope="module")
def model():
    """A model whose classes of layers occur twice; `first` is the second LSTM by its name."""
    return keras.Sequential(
        [
            keras.layers.Input((None, FEATURES)),
            layer_of("LSTM", name="second"),
            layer_of("LSTM", name="first"),
            keras.layers.Bidirectional(layer_of("GRU", reset_after=False), name="both"),
            layer_of("SimpleRNN", name="last"),
        ]
    )


@pytest.mark.parametrize("suffix", ["keras", "h5", ""])
def test_saved_models_are_read_by_the_names_of_their_layers(model, suffix, x, tmp_path):
    source = model
    if suffix:
        source = str(tmp_path / f"m.{suffix}")
        model.save(source)
    for layer in model.layers:
        check(recurra.from_keras(source, layer=layer.name), layer, x)
        x = keras.ops.convert_to_numpy(layer(x)).copy()
    assert recurra.from_keras(source, layer="both").stack.bidirectional


def bidirectional(mode="concat", backwards=False):
    forward, behind = (layer_of("LSTM", go_backwards=each) for each in (backwards, not backwards))
    made = keras.layers.Bidirectional(forward, merge_mode=mode, backward_layer=behind)
    made(np.zeros((1, 2, FEATURES), np.float32))
    return made


def built(kind, **options):
    made = layer_of(kind, **options)
    made(np.zeros((1, 2, FEATURES), np.float32))
    return made


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda m: built("LSTM", activation="relu"), None, "LSTM with activation='relu' has no counterpart"),
        (lambda m: built("GRU", recurrent_activation="hard_sigmoid"), None, "recurrent_activation='hard_sigmoid'"),
        (lambda m: bidirectional("sum"), None, "merge_mode='concat', not 'sum'"),
        (lambda m: bidirectional(backwards=True), None, "forward layer that goes backwards"),
        (lambda m: layer_of("LSTM"), None, "has no weights yet"),
        (lambda m: keras.layers.Dense(2), None, "SimpleRNN, LSTM, GRU or Bidirectional, not Dense"),
        (lambda m: m, None, "give layer=NAME for one of several recurrent layers; it has second, first, both, last"),
        (lambda m: m, "third", "no layer 'third'; it has second, first, both, last"),
        (lambda m: 3, None, "a layer of Keras or the path of a model, not 3"),
    ],
)
def test_what_has_no_counterpart_is_refused(model, make, name, message):
    with pytest.raises(UsageError, match=message):
        recurra.from_keras(make(model), layer=name)


def test_files_that_are_no_models_are_refused(model, tmp_path):
    weights = tmp_path / "m.weights.h5"
    model.save_weights(weights)
    with pytest.raises(DataError, match=r"m\.weights\.h5 has weights without the settings of the layers"):
        recurra.from_keras(weights)
    with pytest.raises(DataError, match="it is no HDF5 file"):
        recurra.from_keras(__file__)


def test_results_are_layers_of_the_package():
    assert type(recurra.from_keras(built("GRU"))) is nn.GRU
