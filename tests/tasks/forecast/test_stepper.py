"""Forecasters step by step give the bits of the forecast from the whole history so far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from divisions import check_divisions, rebuilt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recurra
from recurra.errors import UsageError
from recurra.tasks.serving.service import InputError

SHAPE = {"context": 7, "horizon": 3, "epochs": 1, "hidden_size": 4, "verbose": 0, "random_state": 0}


def waves(count: int, columns: int = 1, missing: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    found = np.sin(np.arange(count) / 3)[:, None] + random.normal(size=(count, columns)) + 5
    found[random.random(found.shape) < missing] = np.nan
    return found


def flat(forecast) -> np.ndarray:
    return np.concatenate([forecast.values[..., None], forecast.quantiles], 2).ravel()


@pytest.fixture(scope="module")
def plain():
    return recurra.Forecaster(**SHAPE).fit(waves(120, 2, 0.2), features=waves(120, 1, 0.2) * 3)


@pytest.mark.parametrize(("cell", "layers", "size"), [("lstm", 2, 17), ("gru", 1, 16), ("rnn", 1, 5), ("mgu", 2, 9)])
def test_any_division_into_steps(plain, cell, layers, size):
    model = rebuilt(plain, cell=cell, num_layers=layers, hidden_size=size)
    steps = model.service().stepper()
    X = [np.concatenate([waves(40, 2, 0.6)[i:], waves(40, 1, 0.6)[i:] * 3], 1) for i in range(4)]
    X[1][:12] = np.nan
    X[2][3:] = np.nan

    def whole(prefixes):
        none = np.zeros(int(np.prod(steps.shape)))
        rows = [next(model.forecast(x[:, :2], features=x[:, 2:])) if len(x) else None for x in prefixes]
        return [none if row is None else flat(row) for row in rows]

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X, whole, most=11)

    check()


def table(count: int, series: int = 1) -> dict[str, list]:
    days = np.datetime_as_string(np.datetime64("2024-01-30") + np.arange(count)).tolist()
    found: dict[str, list] = {"day": days * series, "sales": waves(count * series)[:, 0].tolist()}
    return found | ({"shop": [name for name in "abc"[:series] for _ in days]} if series > 1 else {})


def test_times_and_the_calendar():
    model = recurra.Forecaster(**SHAPE, calendar=True).fit(table(100), time="day")
    assert model.preparation_.cycles
    steps = model.service().stepper()
    data = table(60)
    states = steps.start(1, begin="2024-01-30")
    for first, last in ((0, 5), (5, 31), (31, 32), (32, 32), (32, 60)):
        found = steps.advance(states, [""], [steps.parse(data["sales"][first:last])])
        states = found.states
        (wanted,) = model.forecast({name: column[:last] for name, column in data.items()})
        assert found.outputs[0].tobytes() == flat(wanted).tobytes()
        answer = steps.answer(found.outputs[0], {name: tensor[0] for name, tensor in states.items()})
        history = {name: column[:last] for name, column in data.items()}
        (offline,) = model.service().answers(model.service().parse([history]), model.service().Options())
        assert answer == offline
    for wrong in ({}, {"begin": ["2024-01-30", "1"]}, {"begin": 3.5}):
        with pytest.raises(InputError):
            steps.start(1, **wrong)


def test_series_of_the_training_data_and_new_ones():
    model = recurra.Forecaster(**SHAPE).fit(table(60, 3), time="day", id="shop")
    steps, data = model.service().stepper(), table(30)
    sales = np.array(data["sales"])[:, None]
    old, new = (steps.start(1, begin="2024-01-30", **options) for options in ({"id": "b"}, {}))
    both = {name: torch.cat([old[name], new[name]]) for name in old}
    found = steps.advance(both, ["", ""], [sales, sales])
    (wanted,) = model.forecast({**data, "shop": ["b"] * 30})
    assert found.outputs[0].tobytes() == flat(wanted).tobytes()
    last = {name: column[-model.context_ :] for name, column in data.items()}
    (wanted,) = model.forecast({**last, "shop": ["new"] * len(last["day"])})
    assert found.outputs[1].tobytes() == flat(wanted).tobytes()
    assert steps.about()["options"] == {"begin": ["day"], "id": ["a", "b", "c"]}
    with pytest.raises(InputError, match="'z' was not in the training data"):
        steps.start(1, begin="2024-01-30", id="z")


def test_one_bad_series_changes_no_other(plain):
    steps = rebuilt(plain, cell="lstm").service().stepper()
    items = [np.concatenate([waves(9 + i, 2), waves(9 + i)], 1) for i in range(20)]
    states = steps.start(20)
    good = steps.advance(states, [""] * 20, items)
    items[7][-1, 0] = 1e300
    found, others = steps.advance(states, [""] * 20, items), np.arange(20) != 7
    assert np.isnan(found.outputs[7]).all()
    assert "standard deviations" in found.errors[7]
    assert found.outputs[others].tobytes() == good.outputs[others].tobytes()


def test_before_the_first_step_and_inputs(plain):
    steps = rebuilt(plain, cell="lstm").service().stepper()
    found = steps.advance(steps.start(1), [""], [steps.parse([])])
    assert steps.answer(found.outputs[0], {name: tensor[0] for name, tensor in found.states.items()}) == {
        "forecast": []
    }
    assert steps.parse_binary(np.arange(6, dtype=np.float32)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert steps.about()["step"] == {"features": 3, "names": ["y0", "y1", "feature0"]}
    assert len(steps.about()["outputs"]) == found.outputs.shape[1]
    for wrong in (np.zeros(4, np.float32), np.full(3, np.inf, np.float32)):
        with pytest.raises(InputError):
            steps.parse_binary(wrong)
    with pytest.raises(InputError) as error:
        steps.parse([[1, 2, "3"]])
    assert error.value.path == ("inputs", 0, 2)
    with pytest.raises(InputError, match="without times"):
        steps.start(1, begin="2024-01-01")


def test_known_columns_are_refused():
    model = recurra.Forecaster(**SHAPE).fit(waves(60), known=waves(60))
    with pytest.raises(UsageError, match="future values of known0"):
        model.service().stepper()
