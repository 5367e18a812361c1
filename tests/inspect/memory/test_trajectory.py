"""Principal components of states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known import linear_layer

import recurra
from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import trajectory


def test_a_state_that_moves_in_a_plane_is_seen_whole_in_two_components():
    torch.manual_seed(0)
    layer = linear_layer(torch.zeros(5, 5).double())  # the state is the input, two numbers, times a matrix
    trace = recurra.trace(layer, torch.randn(3, 20, 2).double())
    found = trajectory(trace)
    assert float(found.explained.sum()) == pytest.approx(1)
    data = found.to_xarray()
    rebuilt = data["mean"].values[..., None, None, :] + found.points.values @ data["axes"].values[..., None, :, :]
    np.testing.assert_allclose(rebuilt, trace["hidden"], atol=1e-12)
    assert found.verdict == "2 components show 100% of the variance"


def test_each_layer_and_direction_has_its_own_components():
    torch.manual_seed(0)
    layer = nn.LSTM(2, 4, 2, bidirectional=True, batch_first=True)
    trace = recurra.trace(layer, torch.randn(3, 9, 2), lengths=[9, 0, 4])
    found = trajectory(trace, 3, state="cell")
    assert found.points.shape == (2, 2, 3, 9, 3)
    assert np.isnan(found.points.sel(batch=1)).all()
    assert np.isnan(found.points.sel(batch=2, time=4)).all()
    assert np.isfinite(found.points.sel(batch=2, time=3)).all()
    explained = found.explained.values
    assert (np.diff(explained, axis=-1) <= 0).all()
    values = trace["cell"].sel(layer=1, direction="backward").values.reshape(-1, 4)
    eigen = np.sort(np.linalg.eigvalsh(np.cov(values[np.isfinite(values).all(1)].T)))[::-1]
    np.testing.assert_allclose(explained[1, 1], (eigen / eigen.sum())[:3], rtol=1e-4)
    assert len(found.rows()) == 4


def test_tokens_go_along(untrained):
    X, y = ["good film", "bad one", "so good", "bad"] * 10, ["p", "n", "p", "n"] * 10
    model = recurra.SequenceClassifier(hidden_size=8, embedding_size=4, tokens="char").fit(X, y)
    found = trajectory(recurra.trace(model, ["good film"]))
    assert "".join(found.points["token"].values[0]) == "good film"


def test_wrong_arguments_are_named():
    trace = recurra.trace(torch.nn.RNN(2, 3, batch_first=True), torch.randn(1, 4, 2))
    for arguments, words in (
        ({"components": 4}, "3 units and 4 steps have fewer than 4 components"),
        ({"components": 0}, "components must be at least 1"),
        ({"state": "cell"}, "there is no 'cell' in this trace; there are 'candidate', 'hidden'"),
    ):
        with pytest.raises(UsageError, match=words):
            trajectory(trace, **arguments)
