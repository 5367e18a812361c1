"""Numbers of the documentation are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

from recurra import Forecaster, SequenceClassifier, SequenceRegressor, SequenceTagger
from recurra.tasks import base, forecast, pooled, tag
from recurra.tasks.network import PooledNetwork
from recurra.training import loop

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"


def text(name: str) -> str:
    return " ".join((DECISIONS / name).read_text(encoding="utf-8").split())


def network(embedding_size: int) -> PooledNetwork:
    torch.manual_seed(0)
    return PooledNetwork(5, embedding_size, 2, pooling="max", dropout=0.0, cell="lstm", hidden_size=16)


def test_series_begin_as_decision_5_says():
    assert "orthogonal recurrent weights lose too much" in text("0005-series-defaults.md")
    layer = network(0).encoder.recurrent
    assert bool((layer.bias_hh_l0[16:32] == 1).all())
    for rows in layer.weight_hh_l0.detach().split(16):
        assert not torch.allclose(rows @ rows.T, torch.eye(16), atol=1e-3)
    assert not bool((network(4).encoder.recurrent.bias_hh_l0[16:32] == 1).any())  # texts begin as torch begins


def test_training_lasts_as_decision_5_says():
    found = re.search(r"at least ([\d,]+) steps, at most (\d+) epochs", text("0005-series-defaults.md"))
    assert found is not None
    assert [int(number.replace(",", "")) for number in found.groups()] == [base.MIN_STEPS, base.MAX_EPOCHS]
    assert f"fewer than {pooled.SMALL} sequences" in text("0005-series-defaults.md")


@pytest.mark.parametrize("parameter", ["bidirectional", "pooling", "dropout", "batch_size", "validation_fraction"])
def test_the_table_of_defaults_is_that_of_the_code(parameter):
    row = re.search(rf"\| {parameter} \| (.*?) \| (.*?) \| (.*?) \|", inspect.getdoc(SequenceClassifier) or "")
    assert row is not None
    for cell, kind in zip(row.groups(), ("text", "series", "audio"), strict=True):
        value, *others = re.split("; ", cell)
        assert value == str(SequenceClassifier.defaults[kind][parameter])
        for other in others:
            if number := re.fullmatch(r"regression (.*)", other):
                assert number[1] == str(SequenceRegressor.defaults[kind][parameter])
            else:
                assert other == f"of fewer than {pooled.SMALL}, 0 for classes and 0.2 for numbers"
                assert (SequenceClassifier.held_out_of_few, SequenceRegressor.held_out_of_few) == (0, 0.2)


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (SequenceTagger, f"at most {tag.MAX_CRF_TAGS} different tags"),
        (Forecaster, f"of at most {forecast.EPOCH_BATCHES} batches each"),
    ],
)
def test_limits_in_docstrings(estimator, sentence):
    assert sentence in " ".join((inspect.getdoc(estimator) or "").split())


def test_the_learning_rate_rises_as_its_docstring_says():
    from recurra.training.settings import Settings

    assert f"first {loop.WARM_UP:.0%} of the steps".replace("%", " %") in " ".join((Settings.__doc__ or "").split())
