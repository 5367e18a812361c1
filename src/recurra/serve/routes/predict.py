"""`/v1/models`: the models, their predictions and generated text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from io import BytesIO
from itertools import islice
from typing import Annotated, Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recurra.errors import RecurraError
from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem, problem_of
from recurra.serve.server import Server
from recurra.tasks.params import MAX_SEED

from .requests import (
    JSON,
    NDJSON,
    JsonResponse,
    StreamedResponse,
    convert,
    encode,
    media_type,
    parse_json,
    query_options,
    read_body,
    read_record,
    server_of,
)

LINES = 256
"""Lines of NDJSON that are computed together."""
TOKENS = 4
"""Tokens that are generated in one turn of the engine thread, so that others are served in between."""


async def models(request: Request) -> Response:
    """Returns the models."""
    found = server_of(request).models.values()
    return JsonResponse(
        {"models": [{"name": m.name, "task": m.estimator.task, "title": m.estimator.title} for m in found]}
    )


async def model(request: Request) -> Response:
    """Returns the description of one model."""
    return JsonResponse(server_of(request).model(request.path_params["model"]).about())


async def predict(request: Request) -> Response:
    """Answers inputs: a JSON object with `inputs` and options, or NDJSON with one input in each line."""
    server = server_of(request)
    served = server.model(request.path_params["model"])
    kind = media_type(request)
    if kind == NDJSON:
        return await _predict_lines(request, server, served)
    if kind != JSON:
        raise Problem(415, f"the content type must be {JSON} or {NDJSON}, not {kind or 'missing'}")
    return JsonResponse(await predictions(server, served, await request.body()))


class Shortcut:
    """Middleware that answers `predict` with JSON. The routing and the classes of Starlette cost more than the model.

    Args:
        app: the application for all other requests.
        server: the server.
    """

    TYPES = ((b"content-type", JSON.encode()), (b"content-type", f"{JSON}; charset=utf-8".encode()))

    def __init__(self, app: Any, server: Server) -> None:
        self._app, self._server = app, server
        self._models = {f"/v1/models/{name}/predict": model for name, model in server.models.items()}
        self._route = Route("/v1/models/{model}/predict", predict)  # its path is the label of the metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one connection."""
        served = self._models.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if served is None or not (self.TYPES[0] in scope["headers"] or self.TYPES[1] in scope["headers"]):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        headers: list[tuple[bytes, bytes]] = []
        status = 200
        try:
            content = await predictions(self._server, served, await read_body(receive))
        except (Problem, RecurraError) as error:
            problem = cast(Problem, problem_of(error))
            status, content = problem.status, encode(problem.to_json())
            headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
        fixed = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(content)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": fixed})
        await send({"type": "http.response.body", "body": content})


async def predictions(server: Server, served: ServedModel, content: bytes) -> bytes:
    """Returns the body of the answer to a JSON body.

    Raises:
        Problem: the body cannot be used.
        InputError: an input cannot be used.
    """
    body = parse_json(content)
    if not isinstance(body, dict) or "inputs" not in body:
        raise Problem(422, 'the body must be a JSON object with "inputs": a list of inputs', ("inputs",))
    inputs = body.pop("inputs")
    options = convert(body, served.service.Options)
    with server.work():
        answers = await answer(server, served, inputs, options)
    return encode({"predictions": answers})


async def answer(server: Server, served: ServedModel, inputs: Any, options: Any) -> list[dict[str, Any]]:
    """Answers JSON inputs.

    Raises:
        Problem: there are too many inputs or steps.
        InputError: an input cannot be used.
    """
    if not isinstance(inputs, list):
        raise Problem(422, f"inputs must be a list, not {_kind(inputs)}", ("inputs",))
    limits = server.settings
    if len(inputs) > limits.max_inputs:
        raise Problem(413, f"{len(inputs):,} inputs are more than {limits.max_inputs:,}; send them as NDJSON")
    items = served.service.parse(inputs)
    steps = sum(map(served.service.steps, items))
    if steps > limits.max_steps:
        raise Problem(413, f"the inputs have {steps:,} steps, more than {limits.max_steps:,}; send several requests")
    if not items:
        return []

    def run(some: list[Any]) -> list[dict[str, Any]]:
        return served.service.answers(some, options)

    return await server.batcher.compute(
        ("predict", served.name, options), served.name, run, items, served.service.steps
    )


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


async def _predict_lines(request: Request, server: Server, served: ServedModel) -> Response:
    """Answers NDJSON line by line. A line with an error gets an object with `error`."""
    options = query_options(request, served.service.Options)
    body = await request.body()  # as a whole: a client that reads no answer before its end would wait for ever
    given = (line for line in BytesIO(body) if line.strip())
    stack = ExitStack()
    stack.enter_context(server.work())

    async def answers() -> AsyncIterator[bytes]:
        while lines := list(islice(given, LINES)):
            yield await _answer_lines(server, served, lines, options)

    return StreamedResponse(answers(), stack.close, media_type=NDJSON)


async def _answer_lines(server: Server, served: ServedModel, lines: list[bytes], options: Any) -> bytes:
    """Returns one line of answer for each line."""
    inputs, answers = [], []
    for line in lines:
        try:
            inputs.append((len(answers), parse_json(line)))
            answers.append(None)
        except Problem as problem:
            answers.append(problem.to_json())
    try:
        found: list[Any] = await answer(server, served, [value for _, value in inputs], options)
    except Exception as error:
        if problem_of(error) is None:
            raise
        found = [await _answer_one(server, served, value, options) for _, value in inputs]
    for (place, _), one in zip(inputs, found, strict=True):
        answers[place] = one
    return b"".join(encode(one) + b"\n" for one in answers)


async def _answer_one(server: Server, served: ServedModel, value: Any, options: Any) -> dict[str, Any]:
    try:
        return (await answer(server, served, [value], options))[0]
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        if problem.path is not None:
            problem.path = problem.path[2:]  # relative to the line
        return problem.to_json()


class Generate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request for generated text; see `LanguageModel.stream`."""

    prompt: Annotated[str, msgspec.Meta(max_length=1_000_000)] = ""
    length: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 500
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.8
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEED)] | None = None
    condition: str | None = None


async def generate(request: Request) -> Response:
    """Generates text as server-sent events: `data: {"text": …}` for each piece, then `event: end`."""
    server = server_of(request)
    served = server.model(request.path_params["model"])
    if not served.generates:
        kind = served.estimator.title.lower()
        raise Problem(404, f"the model {served.name!r} does not generate text; it is a {kind}")
    wanted = await read_record(request, Generate)
    options = msgspec.structs.asdict(wanted)
    if len(wanted.prompt) > server.settings.max_steps:
        raise Problem(413, f"the prompt has more than {server.settings.max_steps:,} characters", ("prompt",))
    with ExitStack() as stack:
        stack.enter_context(server.work())
        server.batcher.check(1)
        pieces = served.estimator.stream(options.pop("prompt"), options.pop("length"), **options)
        first = await server.engine.call(_next, pieces)  # errors of the arguments come before the first event
        release = stack.pop_all().close
    headers = {"cache-control": "no-store"}
    return StreamedResponse(_events(server, pieces, first), release, media_type="text/event-stream", headers=headers)


def _next(pieces: Iterator[str]) -> list[str]:
    return list(islice(pieces, TOKENS))


async def _events(server: Server, pieces: Iterator[str], some: list[str]) -> AsyncIterator[bytes]:
    count = 0
    try:
        while some:
            count += len(some)
            for piece in some:
                yield b"data: " + encode({"text": piece}) + b"\n\n"
            some = await server.engine.call(_next, pieces)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        yield b"event: error\ndata: " + encode(problem.to_json()) + b"\n\n"
        return
    yield b"event: end\ndata: " + encode({"pieces": count}) + b"\n\n"
