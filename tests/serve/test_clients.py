"""Both clients against a real server."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest
from serve_helpers import TEXTS, series

from recurra.serve import AsyncClient, Client, ServerError, create_app, running


@pytest.fixture(scope="module")
def url(sensor, reviews, both, writer):
    with running(create_app({"sensor": sensor, "reviews": reviews, "both": both, "writer": writer})) as url:
        yield url


@pytest.fixture
def client(url):
    with Client(url) as client:
        yield client


def test_models(client):
    assert [model["name"] for model in client.models()] == ["sensor", "reviews", "both", "writer"]
    assert client.model("sensor")["classes"] == ["down", "up"]


def test_predictions_equal_those_of_the_model(client, reviews, sensor):
    found = client.predict("reviews", TEXTS, proba=True)
    assert [one["label"] for one in found] == reviews.predict(TEXTS).tolist()
    rows = series(5)
    assert [one["label"] for one in client.predict("sensor", rows)] == sensor.predict(rows).tolist()


def test_missing_values_are_sent_as_null(client, sensor):
    rows = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert client.predict("sensor", [rows])[0]["label"] == sensor.predict([rows])[0]


def test_generated_text_arrives_in_pieces(client, writer):
    pieces = list(client.generate("writer", "a c", length=20, seed=3))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(writer.stream("a c", 20, seed=3))


def test_errors_have_status_and_path(client):
    with pytest.raises(ServerError, match="there is no model") as caught:
        client.predict("nothing", [])
    assert caught.value.status == 404
    with pytest.raises(ServerError) as caught:
        client.predict("reviews", ["fine", 3])
    assert (caught.value.status, caught.value.path) == (422, ["inputs", 1])
    with pytest.raises(ServerError) as caught:
        list(client.generate("writer", temperature=-1))
    assert (caught.value.status, caught.value.path) == (422, ["temperature"])


def test_a_session_continues_under_its_name(client, sensor):
    rows = series(1)[0]
    first = client.session("sensor", "patient")
    first.step(rows)
    again = client.session("sensor", "patient")
    assert again.seq == 1
    output = again.step(rows)["output"]
    assert output["label"] == sensor.predict([np.concatenate([rows, rows])])[0]
    fork = again.fork()
    assert fork.step([])["output"] == output
    copy = client.session("sensor")
    copy.load(again.state())
    assert copy.step([])["output"] == output
    again.delete()
    again.delete()
    with pytest.raises(ServerError, match="ended") as caught:
        again.step(rows)
    assert caught.value.status == 410


def test_a_model_without_sessions_gives_the_reason(client):
    with pytest.raises(ServerError, match="bidirectional"):
        client.session("both")


def test_the_client_for_asyncio(url, sensor, writer):
    rows = series(6)

    async def ask():
        async with AsyncClient(url) as client:
            found = await asyncio.gather(*(client.predict("sensor", [row]) for row in rows))
            async with await client.session("sensor") as session:
                step = await session.step(rows[0])
            text = "".join([piece async for piece in client.generate("writer", "a", length=9, seed=1)])
            with pytest.raises(ServerError, match="there is no model"):
                await client.model("nothing")
            return found, step, text

    found, step, text = asyncio.run(ask())
    assert [one[0]["label"] for one in found] == sensor.predict(rows).tolist()
    assert step["output"]["label"] == sensor.predict(rows[:1])[0]
    assert text == "".join(writer.stream("a", 9, seed=1))


def test_a_server_that_does_not_answer():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, repeats=1) as client, pytest.raises(ServerError, match="does not answer") as caught:
        client.models()
    assert caught.value.status == 0


def test_a_busy_server_is_asked_again(sensor):
    """One session is allowed; the second request waits until the first session has ended."""
    from recurra.serve import Settings

    with running(create_app({"sensor": sensor}, Settings(max_sessions=1, idle=0.4))) as url, Client(url) as client:
        client.session("sensor")
        assert client.session("sensor").seq == 0
