"""Served results equal offline results, whatever else is in a batch and whoever else is connected."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from serve_helpers import series
from serving.inputs import INPUTS
from serving.models import KINDS, model
from websockets.sync.client import connect

from recurra.serve import Settings, create_app, running

CLIENTS, REQUESTS = 8, 6
HEAD = struct.Struct("<III")
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "translations": [{}, {"n_best": 2}, {"beam": 3}],
    "blanks": [{}, {"top": 2}],
    "running text": [{}, {"top": 2}],
    "labelled texts": [{}, {"top": 3}],
    "speech": [{}, {"timestamps": True}, {"beam": 2}],
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server with models of all kinds. Requests wait 2 ms for others, so that batches are mixed."""
    models = {kind.replace(" ", "-"): model(kind) for kind in KINDS}
    with running(create_app(models, Settings(max_wait=2000, max_batch=9))) as url:
        yield url, models


def options_of(kind: str) -> list[dict[str, Any]]:
    return OPTIONS.get(kind, [{}, {"proba": True}] if "time" not in kind and kind not in ("table", "shops") else [{}])


def alone(kind: str, value: Any, options: dict[str, Any]) -> Any:
    """The answer to an input without others and without a server, as JSON values."""
    service = model(kind).service()
    (answer,) = service.answers(service.parse([value]), msgspec.convert(options, service.Options))
    return msgspec.json.decode(msgspec.json.encode(answer))


@pytest.mark.parametrize("kind", KINDS)
def test_many_clients_get_the_answers_of_the_estimator(served, kind):
    url, _ = served
    values, options = INPUTS[kind], options_of(kind)
    expected = [[alone(kind, value, one) for value in values] for one in options]
    address = f"{url}/v1/models/{kind.replace(' ', '-')}/predict"

    def client(number: int) -> None:
        random = np.random.default_rng(number)
        with httpx.Client(timeout=60) as session:
            for _ in range(REQUESTS):
                chosen = random.integers(len(values), size=random.integers(1, 6)).tolist()
                which = int(random.integers(len(options)))
                body = {"inputs": [values[i] for i in chosen], **options[which]}
                found = session.post(address, json=body).json()
                assert found == {"predictions": [expected[which][i] for i in chosen]}

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))


@pytest.mark.parametrize(
    ("kind", "method"),
    [("texts", "predict_proba"), ("series", "predict_proba"), ("sounds", "predict_proba"), ("numbers", "predict")],
)
def test_all_bits_of_the_batches_are_those_of_single_inputs(served, kind, method, monkeypatch):
    """The numbers of the estimator inside of the server, in batches of several clients."""
    url, _ = served
    estimator = model(kind)
    service = estimator.service()
    items = service.parse(INPUTS[kind])
    expected = {getattr(estimator, method)(service.sequences([item])).tobytes() for item in items}
    original, batches = getattr(estimator, method), []

    def recorded(X: Any) -> np.ndarray:
        found = original(X)
        batches.append([row.tobytes() for row in np.asarray(found)])
        return found

    monkeypatch.setattr(estimator, method, recorded)
    address = f"{url}/v1/models/{kind}/predict"

    def client(number: int) -> None:
        random = np.random.default_rng(number)
        with httpx.Client(timeout=60) as session:
            for _ in range(REQUESTS):
                chosen = random.integers(len(items), size=random.integers(1, 4))
                assert session.post(address, json={"inputs": [INPUTS[kind][i] for i in chosen]}).status_code == 200

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    assert {row for batch in batches for row in batch} == expected
    assert max(map(len, batches)) > 3  # of several clients


def test_answers_are_those_of_the_public_methods(served):
    url, models = served

    def answers(kind: str, **options: Any) -> list[dict[str, Any]]:
        address = f"{url}/v1/models/{kind.replace(' ', '-')}/predict"
        return httpx.post(address, json={"inputs": INPUTS[kind], **options}, timeout=60).json()["predictions"]

    texts = models["texts"]
    chances = texts.predict_proba(INPUTS["texts"]).astype(float)
    for answer, row, label in zip(answers("texts", proba=True), chances, texts.predict(INPUTS["texts"]), strict=True):
        assert list(answer["probabilities"].values()) == row.tolist()
        assert answer["label"] == label
    assert [list(answer["probabilities"].values()) for answer in answers("series", proba=True)] == [
        models["series"].predict_proba([np.array(x, float).reshape(-1, 2)])[0].astype(float).tolist()
        for x in INPUTS["series"]
    ]
    words = [x.split() if isinstance(x, str) else x for x in INPUTS["tags"]]
    assert [answer["tags"] for answer in answers("tags")] == models["tags"].predict(words)
    found = [answer["translation"] for answer in answers("translations")]
    assert found == list(models["translations"].predict(INPUTS["translations"]))
    filled = models["blanks"].predict(INPUTS["blanks"])
    assert [answer["text"] for answer in answers("blanks")] == [one[0] for one in filled]
    best = models["running-text"].top(INPUTS["running text"], k=5)
    found = [(answer["next"], answer["probability"]) for answer in answers("running text")]
    assert found == [tokens[0] for tokens in best]


# sessions


def record(handle: int, seq: int, values: np.ndarray) -> bytes:
    return HEAD.pack(handle, seq, values.size) + values.astype("<f4").tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_one_of_64_sessions_with_wild_values_changes_no_other(sensor, seed):
    """Steps of random lengths in a random order on two sockets. One session gets NaN, infinities and damaged states."""
    random = np.random.default_rng(seed)
    rows = [random.normal(size=(12, 2)).astype(np.float32) for _ in range(64)]
    cuts = [[0, *sorted(random.choice(np.arange(1, 12), 4, replace=False)), 12] for _ in rows]
    bad = int(random.integers(64))
    stop = threading.Event()

    def disturb(url: str) -> None:
        """Sets damaged states and sends wild values to one session, until the others are done."""
        base = f"{url}/v1/models/sensor/sessions/s{bad}"
        wild = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e30]
        with httpx.Client(timeout=30) as client, connect(f"ws{url[4:]}/v1/models/sensor/stream") as socket:
            socket.send(msgspec.json.encode({"open": {"session": f"s{bad}"}}).decode())
            socket.recv(30)
            while not stop.is_set():
                for value in wild:
                    socket.send(record(0, 0, np.full(2 * int(random.integers(1, 5)), value)))
                    socket.recv(30)
                    state = client.get(f"{base}/state").content
                    tensors = {
                        k: torch.full_like(v, value) if v.is_floating_point() else v for k, v in load(state).items()
                    }
                    metadata = msgspec.json.decode(state[8 : 8 + int.from_bytes(state[:8], "little")])["__metadata__"]
                    answer = client.put(f"{base}/state", content=save(tensors, metadata))
                    assert answer.status_code in (200, 409, 422)

    def work(url: str, mine: list[int]) -> None:
        with connect(f"ws{url[4:]}/v1/models/sensor/stream") as socket:
            for handle, i in enumerate(mine):
                socket.send(msgspec.json.encode({"open": {"session": f"s{i}"}}).decode())
                assert msgspec.json.decode(socket.recv(30))["opened"] == handle
            order = [handle for handle, i in enumerate(mine) for _ in cuts[i][1:]]
            np.random.default_rng(seed).shuffle(order)
            seqs, found = [0] * len(mine), {}
            for begin in range(0, len(order), 16):
                parts = []
                for handle in order[begin : begin + 16]:
                    i, seq = mine[handle], seqs[handle]
                    parts.append(record(handle, seq, rows[i][cuts[i][seq] : cuts[i][seq + 1]].reshape(-1)))
                    seqs[handle] += 1
                socket.send(b"".join(parts))
                while len(found) < begin + len(parts):
                    data, place = socket.recv(30), 0
                    assert isinstance(data, bytes), data
                    while place < len(data):
                        handle, seq, size = HEAD.unpack_from(data, place)
                        found[handle, seq] = data[place + HEAD.size : place + HEAD.size + 4 * size]
                        place += HEAD.size + 4 * size
            for (handle, seq), output in found.items():
                i = mine[handle]
                assert output == sensor.predict_proba([rows[i][: cuts[i][seq + 1]]])[0].astype("<f4").tobytes()
            assert len(found) == 5 * len(mine)

    with running(create_app({"sensor": sensor})) as url, ThreadPoolExecutor(3) as pool:
        disturbing = pool.submit(disturb, url)
        others = [i for i in range(64) if i != bad]
        done = [pool.submit(work, url, others[number::2]) for number in range(2)]
        try:
            for one in done:
                one.result(60)
        finally:
            stop.set()
        disturbing.result(60)


def test_clients_that_leave_change_no_answer(sensor):
    """Requests are cut off while they are in a batch with others."""
    rows = series(12, seed=3)
    expected = [sensor.predict_proba([row])[0].astype(float).tolist() for row in rows]

    async def run(url: str) -> None:
        async with httpx.AsyncClient(timeout=30) as client:

            async def ask(i: int, leave: bool) -> None:
                body = {"inputs": [rows[i].tolist()], "proba": True}
                request = asyncio.ensure_future(client.post(f"{url}/v1/models/sensor/predict", json=body))
                if leave:
                    await asyncio.sleep(0.001 * (i % 4))
                    request.cancel()
                    return
                answer = (await request).json()["predictions"][0]
                assert list(answer["probabilities"].values()) == expected[i]

            for turn in range(20):
                await asyncio.gather(*(ask(i, (i + turn) % 3 == 0) for i in range(len(rows))))

    with running(create_app({"sensor": sensor}, Settings(max_wait=3000))) as url:
        asyncio.run(run(url))
