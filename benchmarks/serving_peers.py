"""Servers that `serving.py` compares with `recurra serve`, written as a careful user would write them.

Usage: python benchmarks/serving_peers.py NAME --model MODEL --port PORT [--threads 1]

Whole texts: `litserve` (its batches), `fastapi-onnx` (a call per request), `fastapi-onnx-batched` (requests that wait
share a call). Steps of sessions: `fastapi-torch` (a call per step), `fastapi-torch-batched` (steps that wait share a
call). `nothing` answers without any work, which is the limit of the load generator.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch
import uvicorn
import uvloop
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from safetensors.torch import load_file
from serving_load import HEAD
from torch import Tensor

MAX_BATCH = 64


class Request(BaseModel):
    """Body of a request."""

    inputs: list[str]


class Answer(BaseModel):
    """Label and probabilities of one text."""

    label: str
    probabilities: list[float]


class Answers(BaseModel):
    """Body of an answer."""

    predictions: list[Answer]


def answers(labels: list[str], probabilities: list[list[float]]) -> list[dict[str, Any]]:
    """Returns the answers to some texts."""
    return [{"label": labels[p.index(max(p))], "probabilities": p} for p in probabilities]


def labels_of(model: Path) -> list[str]:
    """Returns the labels of a classifier."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return [str(label) for label in config["targets"]["classes"]]


class Sentiment(litserve.LitAPI):
    """LitServe with ONNX Runtime: requests of up to 5 ms share a call."""

    def __init__(self, model: Path, threads: int) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=0.005)
        self.model, self.threads = model, threads

    def setup(self, device: str) -> None:
        """Loads the model in the process of the worker."""
        from serving_onnx import Classifier

        self.classifier, self.labels = Classifier(self.model, self.threads), labels_of(self.model)

    # without types: LitServe would make FastAPI convert the bodies, which takes longer
    def decode_request(self, request):
        """Takes the only text of a request."""
        (text,) = request["inputs"]
        return text

    def batch(self, inputs: list[str]) -> list[str]:
        """Keeps the texts as they are; the classifier pads them."""
        return inputs

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        """Classifies a batch."""
        return answers(self.labels, self.classifier(texts))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each request."""
        return output

    def encode_response(self, output):
        """The body of an answer."""
        return {"predictions": [output]}


class Batches:
    """Runs a function on all waiting items together, one call after the other.

    Args:
        function: takes a list of items and returns a list of results.
        executor: where to run it; None to run it on the event loop.
    """

    def __init__(self, function: Callable[[list[Any]], list[Any]], executor: ThreadPoolExecutor | None = None) -> None:
        self.function, self.executor = function, executor
        self.waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self.wake = asyncio.Event()

    async def __call__(self, item: Any) -> Any:
        """Returns the result of an item."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((item, future))
        self.wake.set()
        return await future

    async def run(self) -> None:
        """Works until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.wake.wait()
            await asyncio.sleep(0)  # the other messages that have arrived
            batch, self.waiting = self.waiting[:MAX_BATCH], self.waiting[MAX_BATCH:]
            if not self.waiting:
                self.wake.clear()
            items = [item for item, _ in batch]
            if self.executor is None:
                found = self.function(items)
            else:
                found = await loop.run_in_executor(self.executor, self.function, items)
            for (_, future), result in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(result)


def onnx_app(model: Path, threads: int, *, batched: bool) -> FastAPI:
    """FastAPI with ONNX Runtime."""
    from serving_onnx import Classifier

    classifier, labels = Classifier(model, threads), labels_of(model)
    batches: Any = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal batches
        batches = Batches(classifier, ThreadPoolExecutor(1))
        task = asyncio.create_task(batches.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/predict")
    async def predict(request: Request) -> Answers:
        texts = request.inputs
        found = await asyncio.gather(*map(batches, texts)) if batched else classifier(texts)
        return Answers(predictions=[Answer(**answer) for answer in answers(labels, found)])

    return app


class Steps:
    """The network of a classifier of series in torch: one LSTM layer and a linear head.

    Args:
        model: model folder.
    """

    def __init__(self, model: Path) -> None:
        weights = load_file(model / "model.safetensors")
        encoder = json.loads((model / "config.json").read_text(encoding="utf-8"))["encoder"]
        self.mean, self.scale = torch.tensor(encoder["mean"]), torch.tensor(encoder["scale"])
        hidden = weights["head.weight"].shape[1]
        self.lstm = torch.nn.LSTM(len(self.mean), hidden, batch_first=True)
        prefix = "encoder.recurrent."
        self.lstm.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
        self.head = torch.nn.Linear(hidden, len(weights["head.bias"]))
        self.head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
        self.zero = (torch.zeros(1, 1, hidden), torch.zeros(1, 1, hidden))

    @torch.inference_mode()
    def __call__(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Runs steps `(batch, time, features)`; returns the probabilities after the last step and the states."""
        output, state = self.lstm((x - self.mean) / self.scale, state)
        return self.head(output[:, -1]).softmax(-1), state

    def together(self, items: list[tuple[Tensor, tuple[Tensor, Tensor]]]) -> list[Any]:
        """Runs one step of each of several sessions."""
        hidden, cell = (torch.cat([state[i] for _, state in items], dim=1) for i in (0, 1))
        found, (hidden, cell) = self(torch.cat([x for x, _ in items]), (hidden, cell))
        return list(zip(found.numpy(), zip(hidden.split(1, 1), cell.split(1, 1), strict=True), strict=True))


def torch_app(model: Path, *, batched: bool) -> FastAPI:
    """FastAPI with torch: a WebSocket per session, and its state in the connection."""
    network = Steps(model)
    batches: Any = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal batches
        batches = Batches(network.together)
        task = asyncio.create_task(batches.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        state = network.zero
        with suppress(WebSocketDisconnect):
            while True:
                data = np.frombuffer(await socket.receive_bytes(), np.float32)
                x = torch.from_numpy(data.copy()).view(1, -1, len(network.mean))
                if batched:
                    found, state = await batches((x, state))
                else:
                    found, state = network(x, state)
                    found = found.numpy()
                await socket.send_bytes(found.tobytes())

    return app


class Nothing(asyncio.Protocol):
    """Answers every HTTP request and every WebSocket message with fixed values."""

    body = json.dumps({"predictions": [{"label": "1", "probabilities": [0.25, 0.75]}]}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    values = np.array([0.25, 0.75], "<f4").tobytes()

    def connection_made(self, transport: Any) -> None:
        """Keeps the connection."""
        self.transport, self.socket, self.sessions = transport, False, 0

    def data_received(self, data: bytes) -> None:
        """Answers."""
        if self.socket:
            self.transport.write(b"".join(map(self.reply, frames(data))))
        elif b"Sec-WebSocket-Key: " in data:
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0]
            accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 (protocol)
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            self.transport.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            self.socket = True
        else:
            self.transport.write(self.answer)

    def reply(self, message: tuple[int, bytes]) -> bytes:
        """Returns the frame that answers a message: a step, several records, or the request to open a session."""
        opcode, payload = message
        if opcode == 1:
            answer = json.dumps({"opened": self.sessions}).encode()
            self.sessions += 1
        elif self.sessions:
            size = HEAD.size + 4 * HEAD.unpack_from(payload)[2]
            heads = (HEAD.unpack_from(payload, at) for at in range(0, len(payload), size))
            answer = b"".join(HEAD.pack(handle, seq, 2) + self.values for handle, seq, _ in heads)
        else:
            answer = self.values
        short = len(answer) < 126
        return (
            bytes((0x80 | opcode, len(answer) if short else 126))
            + len(answer).to_bytes(2, "big") * (not short)
            + answer
        )


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields opcode and content of complete frames with the mask 0."""
    begin = 0
    while begin < len(data):
        size, body = data[begin + 1] & 127, begin + 6
        if size == 126:
            size, body = int.from_bytes(data[begin + 2 : begin + 4], "big"), begin + 8
        yield data[begin] & 15, data[body : body + size]
        begin = body + size


async def nothing(port: int) -> None:
    """Serves `Nothing` until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", port)
    await server.serve_forever()


async def fixed(scope: Any, receive: Any, send: Any) -> None:
    """Answers every HTTP request with a fixed value: the least that an application on uvicorn costs."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(Nothing.body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": Nothing.body})


NAMES = (
    "litserve",
    "fastapi-onnx",
    "fastapi-onnx-batched",
    "fastapi-torch",
    "fastapi-torch-batched",
    "uvicorn",
    "nothing",
)


def main() -> None:
    """Serves until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # faster for short texts
    if args.name == "nothing":
        uvloop.run(nothing(args.port))
    elif args.name == "litserve":
        server = litserve.LitServer(Sentiment(args.model, args.threads), accelerator="cpu", fast_queue=True)
        server.run(host="127.0.0.1", port=args.port, log_level="warning", generate_client_file=False, access_log=False)
    else:
        batched = args.name.endswith("batched")
        app: Any = onnx_app(args.model, args.threads, batched=batched) if "onnx" in args.name else None
        if args.name == "uvicorn":
            app = fixed
        uvicorn.run(
            app or torch_app(args.model, batched=batched),
            port=args.port,
            log_level="warning",
            access_log=False,
            loop="uvloop",
            http="httptools",
            ws_per_message_deflate=False,
        )


if __name__ == "__main__":
    main()
