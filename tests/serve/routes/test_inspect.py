"""`POST /v1/models/{model}/inspect`: the numbers of a trace, measures, and limits."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from serve_helpers import serving

import recurra
from recurra.inspect import attribute
from recurra.serve.routes import inspect

ROWS = np.random.default_rng(3).normal(size=(6, 2)).tolist()


def ask(client, model: str, **body):
    return client.post(f"/v1/models/{model}/inspect", json=body)


def values(part, name: str) -> np.ndarray:
    """Returns a gate as `(layer, direction, unit, time)`."""
    packed = part["arrays"][name]
    assert packed["kind"] == "f32"
    return np.frombuffer(base64.b64decode(packed["data"]), "<f4").reshape(packed["shape"])


@pytest.mark.parametrize(
    ("name", "x"), [("sensor", ROWS), ("reviews", "a good film"), ("both", ROWS), ("writer", "a cat")]
)
def test_gates_are_those_of_the_trace(client, request, name, x):
    model = request.getfixturevalue(name)
    answer = ask(client, name, inputs=[x])
    assert answer.status_code == 200, answer.text
    (part,) = answer.json()["parts"]
    trace = recurra.trace(model, [np.array(x)] if isinstance(x, list) else [x])
    for gate in trace:
        expected = np.moveaxis(trace[gate].values[:, :, 0], -1, -2)
        np.testing.assert_array_equal(values(part, gate), expected)


def test_measures_are_computed_if_they_are_named(client, sensor):
    assert ask(client, "sensor", inputs=[ROWS]).json()["measured"] == {}
    measured = ask(client, "sensor", inputs=[ROWS], measures=["attribution"]).json()["measured"]
    assert list(measured) == ["attribution"]
    expected = attribute(sensor, [np.array(ROWS)])
    assert measured["attribution"]["total"] == pytest.approx(float(expected.values.sum()), rel=1e-4)
    everything = ask(client, "sensor", inputs=[ROWS], measures=None).json()["measured"]
    assert {"attribution", "reach", "memory"} <= set(everything)


def test_an_inspection_does_not_change_other_answers(client, sensor):
    session = client.post("/v1/models/sensor/sessions").json()["session"]
    for count in range(1, len(ROWS) + 1):
        url = f"/v1/models/sensor/sessions/{session}/steps"
        found = client.post(url, json={"inputs": [ROWS[count - 1]]}).json()["output"]["probabilities"]
        expected = sensor.predict_proba([np.array(ROWS[:count])])[0].astype(float)
        assert list(found.values()) == expected.tolist()
        assert ask(client, "sensor", inputs=[ROWS], measures=None).status_code == 200


def test_the_last_steps_only(client):
    whole, last = (ask(client, "sensor", inputs=[ROWS], **more).json()["parts"][0] for more in ({}, {"last": 2}))
    assert (last["first"], last["steps"], last["of"]) == (4, 2, 6)
    np.testing.assert_array_equal(values(last, "cell"), values(whole, "cell")[..., -2:])
    assert ask(client, "sensor", inputs=[ROWS], last=100).json()["parts"][0]["steps"] == 6


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"inputs": []}, ["inputs"]),
        ({"inputs": [ROWS, ROWS]}, ["inputs"]),
        ({"inputs": [[[1.0, "x"]]]}, ["inputs", 0, 0, 1]),
        ({"inputs": [ROWS], "measures": ["attribution", "beauty"]}, ["measures", 1]),
        ({"inputs": [ROWS], "last": 0}, ["last"]),
        ({}, []),
    ],
)
def test_wrong_requests_name_the_place(client, body, path):
    answer = ask(client, "sensor", **body)
    assert (answer.status_code, answer.json()["error"]["path"]) == (422, path)


def test_an_input_without_steps_is_refused(client):
    answer = ask(client, "sensor", inputs=[[]])
    assert (answer.status_code, "empty" in answer.json()["error"]["message"]) == (422, True)
    assert ask(client, "nothing", inputs=[[]]).status_code == 404


def test_limits_of_steps_bytes_and_waiting(sensor, monkeypatch):
    with serving({"sensor": sensor}) as client:
        monkeypatch.setattr(inspect, "MAX_STEPS", 5)
        refused = ask(client, "sensor", inputs=[ROWS])
        assert (refused.status_code, refused.json()["error"]["path"]) == (413, ["inputs", 0])
        monkeypatch.setattr(inspect, "MAX_STEPS", 4096)
        monkeypatch.setattr(inspect, "MAX_MEASURED", 5)
        measured = ask(client, "sensor", inputs=[ROWS], measures=["attribution"]).json()["measured"]
        assert measured["attribution"] == {"why": "long", "most": 5}
        monkeypatch.setattr(inspect, "ANSWER_BYTES", 60_000)
        long = np.random.default_rng(0).normal(size=(3000, 2)).tolist()
        answer = ask(client, "sensor", inputs=[long])
        assert answer.json()["notes"]
        assert len(answer.content) <= 60_000
        monkeypatch.setattr(inspect, "TRACE_BYTES", 10)
        assert ask(client, "sensor", inputs=[ROWS]).status_code == 413
        monkeypatch.setattr(inspect, "MAX_WAITING", 0)
        busy = ask(client, "sensor", inputs=[ROWS])
        assert (busy.status_code, "retry-after" in busy.headers) == (429, True)
