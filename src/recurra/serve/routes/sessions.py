"""`/v1/models/{model}/sessions`: sequences that arrive step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem
from recurra.serve.server import Server
from recurra.serve.sessions.step_runner import Session, StepResult
from recurra.serve.state_file import read_state, write_state

from .requests import JsonResponse, convert, read_json, read_record, server_of

STATE = "application/octet-stream"
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
Seq = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class NewSession(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request for a session.

    Attributes:
        session: name of the session; a random one by default.
        options: options of the model, such as the label of a text.
    """

    session: Id | None = None
    options: dict[str, Any] = {}


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request with steps.

    Attributes:
        inputs: the steps.
        seq: number of this request in its session, counted from 0; the next one by default.
    """

    inputs: list[Any]
    seq: Seq | None = None


def check_id(id: str) -> str:
    """Returns the name of a session.

    Raises:
        Problem: it has other characters than letters of a to z, digits, "-" and "_".
    """
    return convert({"session": id}, NewSession).session or ""


def served_of(request: Any) -> tuple[Server, ServedModel]:
    """Returns the server and the model of a request."""
    server = server_of(request)
    return server, server.model(request.path_params["model"])


@asynccontextmanager
async def _work_on(request: Request) -> AsyncIterator[tuple[Server, ServedModel, Session]]:
    """Yields server, model and session of a request, which is counted as running work."""
    server, served = served_of(request)
    id = check_id(request.path_params["session"])
    with server.work():
        async with server.sessions.held(served.name, id) as session:
            yield server, served, session


async def create(request: Request) -> Response:
    """Begins a session."""
    server, served = served_of(request)
    wanted = await read_record(request, NewSession)
    with server.work():
        session = await server.sessions.create(served.name, wanted.options, wanted.session)
    return JsonResponse(session.about(), 201)


async def steps(request: Request) -> Response:
    """Runs steps of a session, and returns the output of the model for the sequence so far."""
    async with _work_on(request) as (server, served, session):
        wanted = convert(await read_json(request), Steps)
        item = parse_steps(server, served, wanted.inputs)
        result = await run_step(server, session, wanted.seq, item)
    return JsonResponse(step_answer(session, result))


def parse_steps(server: Server, served: ServedModel, inputs: Any) -> Any:
    """Converts the steps of a request.

    Raises:
        Problem: there are too many steps.
        InputError: a step cannot be used.
    """
    if served.stepper is None:
        raise Problem(409, f"the model {served.name!r} has no sessions: {served.no_sessions}")
    item = served.stepper.parse(inputs)
    check_steps(server, served.stepper.steps(item))
    return item


def check_steps(server: Server, count: int) -> None:
    """Refuses more steps than one request may have."""
    if count > server.settings.max_steps:
        raise Problem(413, f"the request has {count:,} steps, more than {server.settings.max_steps:,}", ("inputs",))


async def run_step(server: Server, session: Session, seq: int | None, item: Any) -> StepResult:
    """Runs steps of a session and returns their result.

    Raises:
        Exception: the step failed.
    """
    future: asyncio.Future[StepResult] = asyncio.get_running_loop().create_future()

    def done(result: StepResult | BaseException) -> None:
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    server.sessions.steps.accept(session, seq, item, done)
    return await future


def step_answer(session: Session, result: StepResult) -> dict[str, Any]:
    """Returns the answer to a step as JSON values."""
    return {"session": session.id, "seq": result.seq, "steps": result.steps, "output": result.answer}


async def about(request: Request) -> Response:
    """Returns the number of the next step of a session, and the output of the model so far."""
    async with _work_on(request) as (server, _, session):
        found = session.about()
        if session.seq:
            result = await run_step(server, session, session.accepted - 1, None)
            found = {"session": session.id, "seq": result.seq + 1, "steps": result.steps, "output": result.answer}
    return JsonResponse(found)


async def fork(request: Request) -> Response:
    """Begins a session with the state of another one."""
    async with _work_on(request) as (server, _, session):
        wanted = await read_record(request, NewSession)
        if wanted.options:
            raise Problem(422, "a fork has the options of its session", ("options",))
        new = await server.sessions.fork(session, wanted.session)
    return JsonResponse(new.about(), 201)


async def state(request: Request) -> Response:
    """Returns the state of a session as a safetensors file."""
    async with _work_on(request) as (server, _, session):
        data = write_state(await server.sessions.state(session))
    headers = {"content-disposition": f'attachment; filename="{session.id}.safetensors"'}
    return Response(data, media_type=STATE, headers=headers)


async def replace_state(request: Request) -> Response:
    """Sets the state of a session, or begins a session with it."""
    server, served = served_of(request)
    id = check_id(request.path_params["session"])
    if served.stepper is None:
        raise Problem(409, f"the model {served.name!r} has no sessions: {served.no_sessions}")
    with server.work():
        found = read_state(await request.body(), served.stepper.specs, served.fingerprint)
        session = await server.sessions.replace(served.name, id, found)
    return JsonResponse(session.about())


async def delete(request: Request) -> Response:
    """Ends a session."""
    async with _work_on(request) as (server, _, session):
        await server.sessions.delete(session)
    return Response(status_code=204)
