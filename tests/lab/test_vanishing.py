"""The experiment on forgetting: equal budgets, starts, training, and what is said about it."""

from __future__ import annotations

import json

import pytest
import torch

from recurra import lab
from recurra.cells.registry import names
from recurra.errors import DataError, UsageError
from recurra.lab.network import build, fitting_size, parameter_count
from recurra.lab.problems import PROBLEMS, Adding
from recurra.lab.training import Plan, train

SMALL = {"lags": (10,), "parameters": 2000, "learning_rates": (1e-2,), "steps": 100}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("wanted", [500, 17_500])
def test_all_cells_have_as_many_parameters(name, wanted):
    for cell in names(memoryless=False):
        found = parameter_count(build(PROBLEMS[name], cell, wanted, "long", 50, 0))
        assert abs(found / wanted - 1) < (0.02 if wanted > 1000 else 0.15)


def test_the_size_is_the_nearest():
    assert fitting_size(lambda n: n * n, 90) == 9
    assert fitting_size(lambda n: n * n, 91) == 10
    assert fitting_size(lambda n: n * n, 1) == 1


def test_long_starts():
    def weights(cell, start="long"):
        return dict(build(Adding(), cell, 2000, start, 100, 0).layer.named_parameters())

    recurrent = weights("rnn")["weight_hh_l0"]
    assert torch.allclose(recurrent @ recurrent.T, torch.eye(len(recurrent)), atol=1e-5)
    recurrent = weights("rnn_relu")["weight_hh_l0"]
    assert torch.equal(recurrent, torch.eye(len(recurrent)))
    for cell, gate in (("lstm", 1), ("gru", 1)):
        found = weights(cell)
        size = found["weight_hh_l0"].shape[1]
        bias = (found["bias_ih_l0"] + found["bias_hh_l0"])[gate * size : (gate + 1) * size]
        kept = torch.sigmoid(bias.detach())  # of a unit's state in a step: as in an average over 1 / (1 - kept) steps
        assert float((1 / (1 - kept)).min()) > 1.9
        assert float((1 / (1 - kept)).max()) <= 100.1
    assert not torch.equal(weights("lstm", "torch")["bias_hh_l0"], weights("lstm")["bias_hh_l0"])


def test_a_gru_solves_what_a_bad_rate_does_not_and_stops():
    def make():
        return build(Adding(), "gru", 2000, "long", 10, 0)

    told = []
    found = train(make, Adding(), 10, Plan((1e-7, 2e-2), 600, 32, 1.0, 0), told.append)
    assert found.rate == 2e-2
    assert found.loss < 0.1 / 6
    assert told[:12] == list(range(50, 650, 50))
    assert told[-1] == 1200 or found.loss <= 0.01 / 6


def test_rows_curves_and_figure(tmp_path):
    told = []
    result = lab.vanishing(**SMALL, progress=lambda *what: told.append(what))
    assert [row["cell"] for row in result.rows] == ["RNN", "LSTM", "GRU"]
    for row in result.rows:
        assert row["baseline"] == pytest.approx(1 / 6)
        part = row["loss"] / row["baseline"]
        assert row["verdict"] == ("solved" if part <= 0.1 else "partly" if part < 0.9 else "at chance")
    assert [(c["cell"], c["when"]) for c in result.curves][:2] == [("rnn", "start"), ("rnn", "trained")]
    assert all(curve["steps"][0]["relative"] == 1 for curve in result.curves)
    assert told[-1][1:] == (30.0, 30.0)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    lines = result.table().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "verdict" in lines[0]
    assert json.loads(result.to_json())["rows"] == result.rows
    for suffix in ("png", "svg"):
        result.plot(tmp_path / f"a.{suffix}")
        result.plot(str(tmp_path / f"b.{suffix}"))
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(DataError, match="cannot be written"):
        result.plot(tmp_path / "none" / "a.png")


def test_same_seed_same_result():
    some = {**SMALL, "cells": ("gru",), "problem": "order"}
    figures = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in lab.vanishing(**some, random_state=seed).rows]
        for seed in (3, 3, 4)
    ]
    assert figures[0] == figures[1]
    assert figures[0] != figures[2]


def test_the_generator_of_everyone_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    lab.vanishing(**{**SMALL, "cells": ("rnn",), "steps": 2})
    assert torch.equal(torch.rand(3), expected)


def test_a_run_that_explodes_is_no_end(tmp_path):
    result = lab.vanishing(**{**SMALL, "cells": ("rnn_relu",), "learning_rates": (1e6,), "lags": (200,)})
    assert result.rows[0]["verdict"] == "at chance"
    assert "NaN" not in result.to_json()
    result.plot(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"problem": "addition"}, "adding, copy, order, all, not 'addition'"),
        ({"cells": ("none",)}, "lstm, gru, rnn, rnn_relu, .*, not 'none'"),
        ({"cells": ()}, "at least one cell"),
        ({"lags": (5, 10)}, "10 steps or more, got 5, 10"),
        ({"lags": ()}, "got none"),
        ({"start": "short"}, "long, torch"),
        ({"learning_rates": (0.0,)}, "positive"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_what_cannot_be_run(wrong, words):
    with pytest.raises(UsageError, match=words):
        lab.vanishing(**{**SMALL, **wrong})
