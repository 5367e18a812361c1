"""The comparison before a file is written finds graphs that differ from their model."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import nn
from recurra.onnx.check import ExportCheckError, check
from recurra.onnx.graph import Graph
from recurra.onnx.layers import layer_plan


def plan(*, int8: bool = False):
    return layer_plan(Graph(17, int8=int8), nn.GRU(3, 40))


def changed(name, change, **options):
    """Returns a plan whose model gives another value of one output."""
    found = plan(**options)
    answer = found.answer
    found.answer = lambda feed, given: {**(right := answer(feed, given)), name: change(right[name])}
    return found


def test_an_equal_graph_passes():
    found, drawn = plan(), []
    sample = found.sample
    found.sample = lambda rng: drawn.append(sample(rng)) or drawn[-1]
    check(found, found.graph.model({}))
    assert len(drawn) == 100
    assert min(feed["lengths"].min() for feed in drawn) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value + 1e-4, "scores differs from the model by"),
        (lambda value: value * np.nan, "scores differs from the model by nan"),
        (lambda value: value[:, :, :-1], "scores has the shape"),
        (lambda value: np.ones(value.shape, np.int64), "scores is .*, that of the model differs"),
    ],
)
def test_another_output_is_an_error(change, message):
    found = changed("scores", change)
    with pytest.raises(ExportCheckError, match=message):
        check(found, found.graph.model({}))


def test_integers_that_differ_by_much_are_an_error():
    found = changed("scores", lambda value: value * 1.2, int8=True)
    with pytest.raises(ExportCheckError, match="with 8-bit integers, scores differs from the model by"):
        check(found, found.graph.model({}))


def test_an_output_that_the_model_lacks_is_an_error():
    found = plan()
    answer = found.answer
    found.answer = lambda feed, given: {"scores": answer(feed, given)["scores"]}
    with pytest.raises(ExportCheckError, match="are not those of the model"):
        check(found, found.graph.model({}))
