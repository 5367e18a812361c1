"""`Client` and `AsyncClient`. Both have the methods of `Api`; those of `AsyncClient` return awaitables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import Any, Self

import httpx

from .calls import (
    RETRIED,
    Call,
    Events,
    ServerError,
    error_of,
    model_path,
    new_name,
    result_of,
    retry_after,
    session_path,
    waits,
)

Flow = Generator[Call, Any, Any]
"""Yields requests, receives the values of their answers, and returns a result."""


class Api:
    """The methods of both clients.

    Args:
        url: address of the server.
        key: API key.
        timeout: seconds to wait for an answer.
        repeats: how often a request is sent again.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0, repeats: int = 5) -> None:
        self.url, self.repeats = url.rstrip("/"), repeats
        self._http_options: dict[str, Any] = {
            "base_url": self.url,
            "timeout": timeout,
            "headers": {} if key is None else {"authorization": f"Bearer {key}"},
        }

    def run(self, flow: Flow) -> Any:
        """Sends the requests of a flow and returns its result; for `AsyncClient` an awaitable of it."""
        raise NotImplementedError

    def models(self) -> Any:
        """Returns name and task of each model."""
        return self.run(_part(Call("GET", "/v1/models"), "models"))

    def model(self, model: str) -> Any:
        """Returns the description of a model."""
        return self.run(_part(Call("GET", model_path(model))))

    def predict(self, model: str, inputs: Sequence[Any], **options: Any) -> Any:
        """Returns one answer for each input.

        Args:
            model: name of the model.
            inputs: texts, or sequences of numbers as lists or arrays `(time, features)`.
            **options: options of the task, such as `proba=True`.

        Raises:
            ServerError: an input cannot be used, or the server does not answer.
        """
        body = {"inputs": list(inputs), **options}
        return self.run(_part(Call("POST", f"{model_path(model)}/predict", body), "predictions"))

    def session(self, model: str, session: str | None = None, **options: Any) -> Any:
        """Begins a `Session`, or continues the one of this name.

        Args:
            model: name of the model, which must have one direction.
            session: name of the session; a random one by default.
            **options: options of the model, such as `condition`.

        Raises:
            ServerError: the model has no sessions, or the session ended.
        """
        return self.run(self._begin(model, session, options))

    def _begin(self, model: str, session: str | None, options: dict[str, Any]) -> Flow:
        name, seq = session or new_name(), None
        if session is not None:
            try:
                seq = (yield Call("GET", session_path(model, name)))["seq"]
            except ServerError as error:
                if error.status != 404:
                    raise
        if seq is None:
            try:
                yield Call("POST", f"{model_path(model)}/sessions", {"session": name, "options": options})
            except ServerError as error:
                if error.status != 409 or error.path != ["session"]:  # the first of two equal requests began it
                    raise
        return Session(self, model, name, seq or 0)

    def _unreachable(self, error: Exception) -> ServerError:
        return ServerError(f"{self.url} does not answer: {error or type(error).__name__}")


class Session:
    """A session on a server; made by `Client.session` and `AsyncClient.session`.

    As a context manager (`with`, or `async with`) it ends the session.

    Attributes:
        model: name of the model.
        id: name of the session.
        seq: number of the next step.

    Example:
        >>> from recurra import SequenceRegressor
        >>> from recurra.serve import Client, create_app, running
        >>> model = SequenceRegressor(hidden_size=4, epochs=1, verbose=0, bidirectional=False, pooling="last")
        >>> model = model.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 8, [1.0, 2.0] * 8)
        >>> with running(create_app({"sensor": model})) as url, Client(url) as client:
        ...     with client.session("sensor") as session:
        ...         _ = session.step([[1.0], [2.0]])
        ...         other = session.fork()
        ...         session.step([[3.0]])["output"] == other.step([[3.0]])["output"], session.seq
        (True, 2)
    """

    def __init__(self, client: Api, model: str, id: str, seq: int) -> None:
        self._client, self.model, self.id, self.seq = client, model, id, seq
        self._path = session_path(model, id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.delete()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.delete()

    def step(self, inputs: Sequence[Any]) -> Any:
        """Runs steps, and returns the answer with the output of the model for the sequence so far.

        Args:
            inputs: numbers `(time, features)`, words, or pieces of text.

        Raises:
            ServerError: a step cannot be used, or the session ended.
        """
        return self._client.run(self._step(inputs))

    def _step(self, inputs: Sequence[Any]) -> Flow:
        answer = yield Call("POST", f"{self._path}/steps", {"inputs": inputs, "seq": self.seq})
        self.seq += 1
        return answer

    def fork(self) -> Any:
        """Begins a session with the same state."""
        return self._client.run(self._fork())

    def _fork(self) -> Flow:
        name = new_name()
        try:
            yield Call("POST", f"{self._path}/fork", {"session": name})
        except ServerError as error:
            if error.status != 409 or error.path != ["session"]:
                raise
        return Session(self._client, self.model, name, self.seq)

    def state(self) -> Any:
        """Returns the state as a safetensors file."""
        return self._client.run(_part(Call("GET", f"{self._path}/state", raw=True)))

    def load(self, state: bytes) -> Any:
        """Sets the state."""
        return self._client.run(self._load(state))

    def _load(self, state: bytes) -> Flow:
        self.seq = (yield Call("PUT", f"{self._path}/state", content=state))["seq"]

    def delete(self) -> Any:
        """Ends the session."""
        return self._client.run(self._delete())

    def _delete(self) -> Flow:
        try:
            yield Call("DELETE", self._path)
        except ServerError as error:
            if error.status not in (404, 410):
                raise


class Client(Api):
    """Client of a server.

    A request that the server refuses because it is busy, or that gets no answer, is sent again. Steps of sessions are
    numbered, so that a repeated step does not count twice.

    Args:
        url: address of the server.
        key: API key.
        timeout: seconds to wait for an answer.
        repeats: how often a request is sent again.

    Example:
        >>> from recurra import SequenceRegressor
        >>> from recurra.serve import Client, create_app, running
        >>> model = SequenceRegressor(hidden_size=4, epochs=1, verbose=0, bidirectional=False, pooling="last")
        >>> model = model.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 8, [1.0, 2.0] * 8)
        >>> with running(create_app({"sensor": model})) as url, Client(url) as client:
        ...     answers = client.predict("sensor", [[1.0, 2.0], [3.0]])
        ...     with client.session("sensor") as session:
        ...         step = session.step([[1.0], [2.0]])
        >>> answers[0]["value"] == step["output"]["value"]
        True
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0, repeats: int = 5) -> None:
        super().__init__(url, key=key, timeout=timeout, repeats=repeats)
        self._http = httpx.Client(**self._http_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def generate(self, model: str, prompt: str = "", **options: Any) -> Iterator[str]:
        """Yields the text that follows a prompt, piece by piece; options as of `LanguageModel.stream`.

        Raises:
            ServerError: an option cannot be used, or the connection was lost.
        """
        call = Call("POST", f"{model_path(model)}/generate", {"prompt": prompt, **options})
        try:
            with self._http.stream(call.method, call.path, **call.options()) as response:
                if not response.is_success:
                    raise error_of(response.status_code, response.read())
                events = Events()
                for line in response.iter_lines():
                    yield from events.pieces(line)
                    if events.ended:
                        return
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def run(self, flow: Flow) -> Any:
        """See `Api.run`."""
        try:
            call = next(flow)
            while True:
                try:
                    value = self._send(call)
                except ServerError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as end:
            return end.value

    def _send(self, call: Call) -> Any:
        pauses = waits(self.repeats)
        while True:
            wait = next(pauses, None)
            try:
                response = self._http.request(call.method, call.path, **call.options())
                if response.status_code not in RETRIED or wait is None:
                    return result_of(call, response)
                wait = max(wait, retry_after(response))
            except httpx.TransportError as error:
                if wait is None:
                    raise self._unreachable(error) from None
            time.sleep(wait)


class AsyncClient(Api):
    """`Client` for `asyncio`: the same methods, with `await`.

    Args:
        url: address of the server.
        key: API key.
        timeout: seconds to wait for an answer.
        repeats: how often a request is sent again.

    Example:
        >>> import asyncio
        >>> from recurra import SequenceRegressor
        >>> from recurra.serve import AsyncClient, create_app, running
        >>> model = SequenceRegressor(hidden_size=4, epochs=1, verbose=0, bidirectional=False, pooling="last")
        >>> model = model.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 8, [1.0, 2.0] * 8)
        >>> async def ask(url):
        ...     async with AsyncClient(url) as client:
        ...         return await client.predict("sensor", [[1.0, 2.0], [3.0]])
        >>> with running(create_app({"sensor": model})) as url:
        ...     answers = asyncio.run(ask(url))
        >>> len(answers)
        2
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0, repeats: int = 5) -> None:
        super().__init__(url, key=key, timeout=timeout, repeats=repeats)
        self._http = httpx.AsyncClient(**self._http_options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def generate(self, model: str, prompt: str = "", **options: Any) -> AsyncIterator[str]:
        """See `Client.generate`."""
        call = Call("POST", f"{model_path(model)}/generate", {"prompt": prompt, **options})
        try:
            async with self._http.stream(call.method, call.path, **call.options()) as response:
                if not response.is_success:
                    raise error_of(response.status_code, await response.aread())
                events = Events()
                async for line in response.aiter_lines():
                    for piece in events.pieces(line):
                        yield piece
                    if events.ended:
                        return
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    async def run(self, flow: Flow) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `Api.run`."""
        try:
            call = next(flow)
            while True:
                try:
                    value = await self._send(call)
                except ServerError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as end:
            return end.value

    async def _send(self, call: Call) -> Any:
        pauses = waits(self.repeats)
        while True:
            wait = next(pauses, None)
            try:
                response = await self._http.request(call.method, call.path, **call.options())
                if response.status_code not in RETRIED or wait is None:
                    return result_of(call, response)
                wait = max(wait, retry_after(response))
            except httpx.TransportError as error:
                if wait is None:
                    raise self._unreachable(error) from None
            await asyncio.sleep(wait)


def _part(call: Call, key: str | None = None) -> Flow:
    """Sends one request, and returns the value of its answer, or one key of it."""
    value = yield call
    return value if key is None else value[key]
