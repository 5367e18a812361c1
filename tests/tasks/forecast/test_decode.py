"""Answers joined to longer forecasts, with values that are followed by hand."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch

from recurra.data.batching.windows import Layout
from recurra.tasks.forecast.baselines.simple import LAST_VALUE
from recurra.tasks.forecast.decode import roll, score


class Model:
    """Answers two steps with the last value of each target plus 1 and plus 2, and bands of 3 below and 4 above."""

    horizon = 2

    def __init__(self, layout):
        self.layout, self.calls = layout, []

    def __call__(self, values, known):
        self.calls.append((values.clone(), known.clone()))
        last = values[:, -1, : self.layout.targets]
        point = torch.stack([last + 1, last + 2], 1)[..., None]
        return torch.cat([point, point - 3, point + 4], -1)


def run(steps, take, masked=True, levels=(0.1, 0.9)):
    """Two targets, two columns that are known only of the past, two known ahead; two windows."""
    model = Model(Layout(2, 2, 2, masked=masked))
    values = torch.arange(6.0 * model.layout.width).view(2, 3, model.layout.width)
    future = 100 + torch.arange(float(steps)).view(1, steps, 1) + torch.tensor([0.0, 50.0])
    future = future + torch.tensor([0.0, 500.0]).view(2, 1, 1)
    return model, values, future, roll(model, values, future, levels, take)


@pytest.mark.parametrize(
    ("steps", "take", "asked"),
    [(1, 2, [[100, 100]]), (2, 2, [[100, 101]]), (3, 2, [[100, 101], [102, 102]]), (4, 2, [[100, 101], [102, 103]]),
     (5, 2, [[100, 101], [102, 103], [104, 104]]), (3, 1, [[100, 101], [101, 102], [102, 102]])],
)  # fmt: skip
def test_what_is_asked_for_each_answer(steps, take, asked):
    model, values, _, found = run(steps, take)
    for row in (0, 1):
        for column in (0, 1):
            shown = [known[row, :, column] - 500 * row - 50 * column for _, known in model.calls]
            assert [known.tolist() for known in shown] == asked
    assert found.shape == (2, steps, 2, 3)
    assert all(given.shape == values.shape for given, _ in model.calls)
    expected = torch.stack([values[:, -1, :2] + 1 + step for step in range(steps)], 1)
    assert torch.equal(found[..., 0], expected)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("take", [1, 2])
def test_forecasts_become_the_context_of_the_next(take, masked):
    model, values, _, found = run(4, take, masked)
    given, _ = model.calls[1]
    assert torch.equal(given[:, :-take], values[:, take:])
    for step in range(take):
        for window in (0, 1):
            row = given[window, -take + step].tolist()
            assert row[:2] == found[window, step, :, 0].tolist()
            assert row[2:4] == values[window, -1, 2:4].tolist()  # they keep their last values
            assert row[4:6] == [100 + step + 500 * window, 150 + step + 500 * window]
            assert row[6:] == [1.0] * (values.shape[2] - 6)  # all are there


def test_deviations_add_up_as_squares():
    for take, roots in ((2, [1, 1, 2, 2, 3]), (1, [1, 2, 3, 4, 5])):
        _, _, _, found = run(5, take)
        point, low, high = found[0, :, 0].unbind(-1)
        assert (point - low).tolist() == pytest.approx([3 * math.sqrt(n) for n in roots])
        assert (high - point).tolist() == pytest.approx([4 * math.sqrt(n) for n in roots])


# errors


class Given:
    """Stands for windows of two series with a horizon of 2, of two targets."""

    horizon, series, begins = 2, np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0])

    def __iter__(self):
        for rows in ([0, 1], [2, 3]):
            targets = torch.tensor([[[1.0, 10.0], [2.0, 20.0]]] * 2)
            yield types.SimpleNamespace(rows=torch.tensor(rows), targets=targets, weights=None)


SIZES = np.array([[2.0, 3.0], [5.0, 7.0]])
SCALES = np.stack([np.ones_like(SIZES), SIZES], 1)  # mean and size of a unit


def ways(batch):
    point = batch.targets + torch.tensor([1.0, -2.0])
    return {
        "no band": point[..., None],
        "one quantile": torch.stack([point, batch.targets], -1),
        "band": torch.stack([point, batch.targets, batch.targets], -1),  # its ends are in it
        "above": torch.stack([point, batch.targets + 0.5, batch.targets + 1], -1),
        "below": torch.stack([point, batch.targets - 1, batch.targets - 0.5], -1),
        LAST_VALUE: point[..., None],
    }


NAMES = ["no band", "one quantile", "band", "above", "below", LAST_VALUE]


@pytest.mark.parametrize("figure", ["mse", "mae"])
def test_errors_of_every_way(figure):
    calls = {name: (lambda batch, name=name: ways(batch)[name]) for name in NAMES}
    found = score(Given(), calls, SCALES, figure)
    assert list(found) == NAMES
    for name, measured in found.items():
        assert measured.metrics == {
            "mse": 2.5, "mae": 1.5,
            "mse_units": pytest.approx((3 * (4 + 36) + 25 + 196) / 8),
            "mae_units": pytest.approx((3 * (2 + 6) + 5 + 14) / 8),
            "coverage": 1.0 if name == "band" else 0.0,
        }  # fmt: skip
        each = 10.0 if figure == "mse" else 6.0  # of a window: two steps of two targets
        assert measured.items.tolist() == [[2 * each, 8.0], [each, 4.0], [each, 4.0]]
        assert tuple(measured)[2] == (name == LAST_VALUE)


def test_the_metric_of_the_items_is_the_squared_error_unless_otherwise_said():
    calls = {"point": lambda batch: ways(batch)["no band"]}
    assert score(Given(), calls, SCALES)["point"].items[0].tolist() == [20.0, 8.0]


def test_windows_without_any_weight():
    class Nothing(Given):
        def __iter__(self):
            for batch in super().__iter__():
                batch.weights = torch.zeros_like(batch.targets)
                yield batch

    found = score(Nothing(), {"point": lambda batch: ways(batch)["no band"]}, SCALES)["point"]
    assert set(found.metrics.values()) == {0.0}
    assert not found.items.any()


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_names_are_compared_by_value():
    calls = {other(LAST_VALUE): lambda batch: ways(batch)["no band"]}
    found = score(Given(), calls, SCALES, other("mse"))[LAST_VALUE]  # type: ignore[arg-type]
    assert found.items[0].tolist() == [20.0, 8.0]
    assert found.constant
