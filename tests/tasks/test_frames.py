"""Lists of data frames are matched by the names of their columns; complex numbers and unordered data are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
import xarray as xr

import recurra
from recurra import Forecaster, SequenceClassifier, SequenceRegressor
from recurra.errors import DataError, RecurraError, UsageError

QUICK = {"hidden_size": 6, "epochs": 2, "batch_size": 16, "verbose": 0}


def frames(count: int = 30) -> list[pd.DataFrame]:
    random = np.random.default_rng(0)
    return [
        pd.DataFrame({"speed": random.normal(4 * (i % 2), 1, 5), "brake": random.normal(size=5)}) for i in range(count)
    ]


LABELS = np.arange(30) % 2
KINDS = {
    "pandas": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
    "xarray": lambda frame: xr.DataArray(frame, dims=("time", "feature"), coords={"feature": list(frame.columns)}),
}


@pytest.fixture(scope="module")
def model():
    return SequenceClassifier(**QUICK).fit(frames(), LABELS)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_in_another_order(model, kind):
    swapped = [KINDS[kind](frame[["brake", "speed"]]) for frame in frames()]
    assert model.feature_names_in_.tolist() == ["speed", "brake"]
    np.testing.assert_array_equal(model.predict_proba(swapped), model.predict_proba(frames()))
    assert model.score(swapped, LABELS) == model.score(frames(), LABELS)
    assert model.evaluate(swapped, LABELS)["loss"] == model.evaluate(frames(), LABELS)["loss"]
    left, right = (recurra.trace(model, some[:2])["hidden"] for some in (swapped, frames()))
    np.testing.assert_array_equal(left, right)


def test_columns_in_another_order_within_training_and_validation(model):
    mixed = [frame if i % 3 != 1 else frame[["brake", "speed"]] for i, frame in enumerate(frames())]
    swapped = [frame[["brake", "speed"]] for frame in frames()]
    found = SequenceClassifier(**QUICK).fit(mixed, LABELS, validation_data=(swapped, LABELS))
    expected = SequenceClassifier(**QUICK).fit(frames(), LABELS, validation_data=(frames(), LABELS))
    np.testing.assert_array_equal(found.predict_proba(frames()), expected.predict_proba(frames()))


def test_arrays_are_read_by_position(model):
    arrays = [frame.to_numpy() for frame in frames()]
    np.testing.assert_array_equal(model.predict_proba(arrays), model.predict_proba(frames()))
    without = SequenceClassifier(**QUICK).fit(arrays, LABELS)
    assert not hasattr(without, "feature_names_in_")
    np.testing.assert_array_equal(without.predict_proba(frames()), without.predict_proba(arrays))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda f: f.rename(columns={"speed": "pace"}), r"X lacks speed and has the unknown pace; .* are speed, brake"),
        (lambda f: f[["brake"]], "X lacks speed"),
        (lambda f: f.assign(gear=1.0), "X has the unknown gear"),
        (lambda f: f.set_axis(["speed", "speed"], axis=1), 'two columns have the name "speed"'),
        (lambda f: f.assign(speed="fast"), r'X\[0\] holds texts in the column "speed"'),
        (lambda f: f.assign(speed=pd.Timestamp(0)), r'X\[0\] holds times in the column "speed"'),
        (lambda f: f + 1j, r"X\[0\] holds complex numbers"),
    ],
)
def test_other_columns(model, changed, message):
    with pytest.raises(DataError, match=message):
        model.predict([changed(frame) for frame in frames()])


def test_frames_that_differ_among_each_other(model):
    some = frames()
    some[3] = some[3].rename(columns={"brake": "clutch"})
    with pytest.raises(DataError, match=r"X\[3\] lacks brake and has the unknown clutch"):
        SequenceClassifier(**QUICK).fit(some, LABELS)
    with pytest.raises(DataError, match=r"X\[1\] has no column names, unlike X\[0\]"):
        model.predict([frames()[0], frames()[1].to_numpy()])


def test_names_are_saved_and_folders_without_them_still_load(model, tmp_path):
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.feature_names_in_.tolist() == ["speed", "brake"]
    swapped = [frame[["brake", "speed"]] for frame in frames()]
    np.testing.assert_array_equal(again.predict_proba(swapped), model.predict_proba(frames()))
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    del config["feature_names"]
    path.write_text(json.dumps(config))
    old = recurra.load(tmp_path / "m")
    np.testing.assert_array_equal(old.predict_proba(frames()), model.predict_proba(frames()))


def test_names_are_forgotten_when_arrays_are_fitted():
    model = SequenceRegressor(**QUICK).fit(frames(), LABELS)
    model.fit([frame.to_numpy() for frame in frames()], LABELS)
    assert not hasattr(model, "feature_names_in_")


IQ = np.random.default_rng(0).normal(size=(30, 5, 1)) + 1j


@pytest.mark.parametrize(
    "X", [IQ, list(IQ), torch.from_numpy(IQ), [row.tolist() for row in IQ], list(IQ.astype(object))]
)
def test_complex_sequences(model, X):
    with pytest.raises(DataError, match=r"complex numbers, .* real and imaginary parts as two features"):
        SequenceClassifier(**QUICK).fit(X, LABELS)
    with pytest.raises(DataError, match="complex numbers"):
        model.predict(X)


def test_complex_targets_weights_and_series():
    X = frames()
    for fit in (
        lambda: SequenceRegressor(**QUICK).fit(X, LABELS + 1j),
        lambda: SequenceClassifier(**QUICK).fit(X, LABELS, sample_weight=np.ones(30) + 0j),
        lambda: Forecaster(**QUICK, horizon=2).fit(np.arange(60) + 1j),
        lambda: Forecaster(**QUICK, horizon=2).fit(np.arange(60.0), features=np.arange(60) * 1j),
    ):
        with pytest.raises(DataError, match="complex numbers"):
            fit()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "X is None"),
        ({1: [1.0]}, "X is a dictionary"),
        ({"a", "b"}, "X is a set, which has no order"),
        (scipy.sparse.eye(30, format="csr"), r"X is a sparse matrix; call toarray\(\) first"),
        (np.array(3.0), "a numeric X has 2 axes"),
        (5, "X is one value of type int"),
        (b"text", "X is one text"),
    ],
)
def test_sequences_of_other_kinds(model, X, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(X, LABELS)
    with pytest.raises(DataError, match=message):
        model.predict(X)


def test_an_iterator_is_read_once(model):
    np.testing.assert_array_equal(model.predict_proba(iter(frames())), model.predict_proba(frames()))
    assert SequenceClassifier(**QUICK).fit(iter(frames()), iter(LABELS.tolist())).classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        ("ab", "y is one text"),
        ({0, 1}, "y is a set, which has no order"),
        ({0: 1}, "y is a dictionary"),
        (np.array(1), "y is one value, 1"),
        (scipy.sparse.eye(30, format="csr"), "y is a sparse matrix"),
        ([0] * 29, "X has 30 sequences but y has 29 values"),
        ([[1], [1, 2], 3] * 10, "1 values in row 0, 2 in row 1; .* a list of labels for each sequence"),
        (2 * np.eye(30, 3).astype(int), r"y has the shape \(\d+, 3\), but holds values other than 0 and 1"),
    ],
)
def test_targets_of_other_kinds(y, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(["good film", "bad film"] * 15, y)
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(frames(), y)


@pytest.mark.parametrize("y", [[1, "a"] * 15, [True, "a"] * 15, [[1], ["a"]] * 15, [1, 0] * 15, [1.0, 2.0] * 15])
def test_the_score_agrees_with_what_was_given(y):
    model = SequenceClassifier(**QUICK | {"epochs": 20, "learning_rate": 0.03}).fit(frames(), y)
    assert model.score(frames(), y) == model.evaluate(frames(), y)["accuracy"] > 0.9
    assert model.score(frames(), y, sample_weight=[1.0, 0.0] * 15) > 0.8


def test_a_missing_label_among_texts_is_no_class():
    y = ["a", "b", float("nan")] * 10
    model = SequenceClassifier(**QUICK).fit(frames(), y)
    assert model.classes_.tolist() == ["a", "b"]
    assert model.data_["left out for a missing target"] == 10
    assert 0 <= model.score(frames(), y) <= 1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((30, 2)), r"sample_weight has shape \(30, 2\); give one weight per sequence"),
        (["heavy"] * 30, "sample_weight must hold numbers, got"),
        ([1.0] * 29, "30 sequences but sample_weight has 29 values"),
        ([-1.0] * 30, "not negative"),
        ([float("nan")] * 30, "finite"),
        ([0.0] * 30, "not all zero"),
        (2.0, "sample_weight is one value, 2"),
    ],
)
def test_weights(weights, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(frames(), LABELS, sample_weight=weights)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_size": "64"}, "hidden_size must be a whole number, got '64'"),
        ({"hidden_size": 2.5}, "hidden_size must be a whole number"),
        ({"hidden_size": True}, "hidden_size must be a whole number, got True"),
        ({"epochs": 2.5}, "epochs must be a whole number or None"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number, got inf"),
        ({"validation_fraction": float("nan")}, "validation_fraction must be a finite number or None"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"random_state": -1}, "random_state must be from 0 to 4294967295, got -1"),
        ({"random_state": 2**40}, "random_state must be from 0 to 4294967295"),
        ({"random_state": "seed"}, r"random_state must be a whole number or a numpy.random.RandomState or None"),
        ({"class_weight": {7: 1.0}}, "class_weight names the class 7; the classes are 0, 1"),
        ({"class_weight": {0: -1.0}}, "class_weight of the class 0 must be a number of at least 0"),
        ({"class_weight": "even"}, 'class_weight is "balanced" or a dictionary'),
    ],
)
def test_parameters(params, message):
    with pytest.raises(UsageError, match=message):
        SequenceClassifier(**{**QUICK, **params}).fit(frames(), LABELS)


def test_a_split_that_is_no_number():
    with pytest.raises(RecurraError, match="a split has two or three parts"):
        Forecaster(**QUICK, horizon=2, split=(float("nan"), 1, 1)).fit(np.arange(60.0))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pd.date_range("2020", periods=30), "the target must be numbers; got values such as"),
        (pd.timedelta_range("1D", periods=30), "the target must be numbers; got values such as"),
        (["a"] * 30, "got values such as 'a'"),
        (np.ones((30, 2, 2)), r"one number or one row of numbers per sequence, got the shape \(24, 2, 2\)"),
        (np.ones((30, 0)), r"got the shape \(\d+, 0\)"),
    ],
)
def test_targets_of_a_regressor_are_numbers(y, message):
    with pytest.raises(DataError, match=message):
        SequenceRegressor(**QUICK).fit(frames(), y)


def test_score_of_a_regressor_leaves_out_missing_targets():
    y = np.arange(30.0)
    model = SequenceRegressor(**QUICK).fit(frames(), y)
    assert model.score(frames(), np.r_[np.nan, y[1:]]) == model.score(frames()[1:], y[1:])
    with pytest.raises(DataError, match="y has 2 targets, but the model was trained on 1"):
        model.score(frames(), np.ones((30, 2)))


def test_class_weight_of_another_type():
    with pytest.raises(UsageError, match='class_weight is "balanced" or a dictionary of weights, not list'):
        SequenceClassifier(**QUICK, class_weight=[1, 2]).fit(frames(), LABELS)


def test_a_date_index_does_not_replace_a_column_named_time():
    days = pd.date_range("2021-01-01", periods=60)
    frame = pd.DataFrame({"time": np.sin(np.arange(60)), "v": np.cos(np.arange(60))}, index=days)
    renamed = frame.rename(columns={"time": "other"})
    found, wanted = (
        Forecaster(horizon=2, **QUICK).fit(data, target="v", features=name).predict(data)
        for data, name in ((frame, "time"), (renamed, "other"))
    )
    assert found["forecast"].tolist() == wanted["forecast"].tolist()
    assert found.index.equals(wanted.index)
    with pytest.raises(DataError, match='the index and a column are both named "time" and differ'):
        Forecaster(**QUICK).fit(frame.rename_axis("time"), target="v")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign(v=d["v"] + 1j), "column v holds complex numbers"),
        (lambda d: d.assign(v=pd.arrays.SparseArray(d["v"])), "the data frame cannot be read: Sparse"),
        (lambda d: pd.concat([d, d], axis=1), "the data frame cannot be read: Duplicate"),
    ],
)
def test_data_frames_that_arrow_cannot_hold(change, message):
    frame = pd.DataFrame({"t": pd.date_range("2021", periods=30), "v": np.arange(30.0)})
    with pytest.raises(DataError, match=message):
        Forecaster(**QUICK).fit(change(frame), time="t", target="v")


NUMBERS = np.random.default_rng(0).normal(size=(30, 5))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (torch.ones(30, 5, device="meta"), "a tensor is on the device meta"),
        (torch.ones(30, 5).to_sparse(), "a tensor is torch.sparse_coo"),
        (torch.nested.nested_tensor([torch.ones(3, 2)] * 30, layout=torch.jagged), "a tensor is nested"),
        (NUMBERS.astype("M8[D]"), "X holds times"),
        ([row.astype("m8[s]") for row in NUMBERS], r"X\[0\] holds times"),
    ],
)
def test_values_without_readable_numbers_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(X, LABELS)


def test_masked_numbers_are_missing():
    masked = np.ma.masked_array(NUMBERS, mask=np.arange(150).reshape(30, 5) % 7 == 0)
    probabilities = [
        SequenceClassifier(**QUICK).fit(X, LABELS).predict_proba(X)
        for X in (masked, masked.filled(np.nan), list(masked))
    ]
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[2], probabilities[1])


def test_tensors_of_bfloat16_are_read():
    X = torch.from_numpy(NUMBERS).bfloat16()
    model = SequenceClassifier(**QUICK).fit(X.float(), LABELS)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X.float()))


def test_patience_is_not_negative():
    with pytest.raises(UsageError, match="n_iter_no_change must not be negative, got -3"):
        SequenceClassifier(**QUICK, n_iter_no_change=-3).fit(NUMBERS, LABELS)
