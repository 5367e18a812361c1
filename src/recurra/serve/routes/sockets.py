"""`WS /v1/models/{model}/stream`: steps of many sessions on one socket, in JSON or binary.

Messages of text are JSON objects:

- `{"open": {"session": …, "options": {…}, "keep": true}}` begins a session, or continues one of this name. The answer
  is `{"opened": HANDLE, "session": …, "seq": …}`. With `"keep": false` the session ends with the socket.
- `{"session": … or "handle": …, "inputs": […], "seq": …}` runs steps. The answer is as for HTTP, with the `handle`.
- `{"close": HANDLE}` ends the session. The answer is `{"closed": HANDLE}`.

A key `ref` is copied to the answer. Errors are `{"error": {…}}` with `handle`, `seq` and `ref` where they are known.

Binary messages are records, little endian: `uint32 handle, uint32 seq, uint32 count, float32[count]`. In a request the
numbers are steps, in an answer they are the output of the model. One message may have many records, also of several
sessions. Errors are messages of text.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import numpy as np
from starlette.websockets import WebSocket

from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem, busy, problem_of
from recurra.serve.server import Server
from recurra.serve.sessions.step_queue import MAX_PIPELINED
from recurra.serve.sessions.step_runner import Session, StepResult
from recurra.tasks.serving.stepper import Stepper

from .requests import JsonResponse, convert, encode, parse_json
from .sessions import Id, Seq, check_steps, parse_steps, served_of, step_answer

HEAD = struct.Struct("<III")
MAX_HANDLES = 4096
"""Sessions of one socket."""
ECHOED = ("ref", "handle", "session", "seq")
"""Keys of a message that are copied to an error."""
GOING_AWAY, POLICY, TRY_LATER, FAILED = 1001, 1008, 1013, 1011


class Open(msgspec.Struct, forbid_unknown_fields=True):
    """Value of `open`."""

    session: Id | None = None
    options: dict[str, Any] = {}
    keep: bool = True


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of text."""

    open: Open | bool | None = None
    close: int | None = None
    session: Id | None = None
    handle: int | None = None
    inputs: list[Any] | None = None
    seq: Seq | None = None
    ref: Any = None


class StreamRoute:
    """ASGI application of the sockets. Messages do not pass Starlette's class, which costs as much as a step."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one socket."""
        socket = WebSocket(scope, receive, send)
        try:
            server, served = _admit(socket)
        except Problem as problem:
            await socket.send_denial_response(JsonResponse(problem.to_json(), problem.status, headers=problem.headers))
            return
        await socket.accept()
        await _Stream(receive, send, server, served).run()


def _admit(socket: WebSocket) -> tuple[Server, ServedModel]:
    """Returns the server and the model of a new socket.

    Raises:
        Problem: the model has no sessions, or the server takes no more sockets.
    """
    server, served = served_of(socket)
    if served.stepper is None:
        raise Problem(409, f"the model {served.name!r} has no sessions: {served.no_sessions}")
    if not server.ready:
        raise busy("the server is shutting down")
    if server.metrics.sockets >= server.settings.max_sockets:
        server.metrics.refused("sockets")
        raise busy(f"there are {server.metrics.sockets:,} open sockets, which is the limit")
    return server, served


class _Stream:
    """One open socket: its sessions by handle, and the answers that wait to be sent."""

    def __init__(self, receive: Any, send: Any, server: Server, served: ServedModel) -> None:
        self._receive, self._deliver, self._server, self._served = receive, send, server, served
        self._left = False
        self._sessions: dict[int, Session] = {}
        self._handles: dict[str, int] = {}
        self._temporary: list[str] = []
        self._late: dict[int, deque[tuple[int, Any]]] = {}
        self._texts: list[bytes] = []
        self._records: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = self._unanswered = 0
        self._wake = asyncio.Event()
        self._code: int | None = None
        self._reason = ""

    async def run(self) -> None:
        """Reads messages until the socket is closed."""
        reader = asyncio.ensure_future(self._read())
        writer = asyncio.ensure_future(self._write())
        with self._server.socket(lambda: self._end(GOING_AWAY, "the server is shutting down")):
            try:
                await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
                if self._code == GOING_AWAY and not writer.done():
                    await writer
            finally:
                for task in (reader, writer):
                    task.cancel()
                try:
                    await asyncio.wait({reader, writer})
                finally:
                    await self._close()
        for task in (reader, writer):
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, OSError):  # OSError: the client left
                raise error

    async def _close(self) -> None:
        if self._code is not None and not self._left:
            with contextlib.suppress(OSError):
                await self._deliver({"type": "websocket.close", "code": self._code, "reason": self._reason})
        sessions = self._server.sessions
        for id in self._temporary:
            with contextlib.suppress(Problem):
                async with sessions.held(self._served.name, id) as session:
                    await sessions.delete(session, "its socket was closed")

    def _end(self, code: int, reason: str) -> None:
        """Closes the socket; on a shutdown after the answers to accepted steps."""
        if self._code is None:
            self._code, self._reason = code, reason
        self._wake.set()

    # reading

    async def _read(self) -> None:
        while self._code is None:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._left = True
                return
            data = message.get("bytes")
            text = message.get("text") or "" if data is None else ""
            self._server.metrics.message_received(len(text.encode() if data is None else data))
            if self._code is not None:
                return
            if data is not None:
                self._binary(data)
            else:
                await self._text(text)

    async def _text(self, text: str) -> None:
        known: dict[str, Any] = {}
        try:
            value = parse_json(text)
            if isinstance(value, dict):
                known = {name: value[name] for name in ECHOED if name in value}
            await self._obey(convert(value, Message))
        except Exception as error:
            self._fail(error, known)

    async def _obey(self, message: Message) -> None:
        beside = {} if message.ref is None else {"ref": message.ref}
        if message.open is not None:
            await self._open(message.open if isinstance(message.open, Open) else Open(), beside)
        elif message.close is not None:
            async with self._living(message.close) as session:
                await self._server.sessions.delete(session)
            self._sessions.pop(message.close, None)
            self._handles.pop(session.id, None)
            self._send({"closed": message.close, **beside})
        elif message.inputs is not None:
            handle = message.handle
            if handle is None:
                if message.session is None:
                    raise Problem(422, "name the session of the steps: handle or session", ("session",))
                handle = await self._handle(message.session)
            item = parse_steps(self._server, self._served, message.inputs)
            async with self._living(handle) as session:
                self._step_json(session, handle, message.seq, item, beside)
        else:
            raise Problem(422, 'the message must have "open", "inputs" or "close"')

    async def _open(self, wanted: Open, beside: dict[str, Any]) -> None:
        if len(self._sessions) >= MAX_HANDLES:
            raise busy(f"this socket has {MAX_HANDLES:,} sessions, which is the limit", 429)
        sessions, name = self._server.sessions, self._served.name
        if wanted.session is not None:
            try:
                async with sessions.held(name, wanted.session) as session:
                    self._send({"opened": self._add(session), **session.about(), **beside})
                    return
            except Problem as problem:
                if problem.status not in (404, 410):
                    raise
        session = await sessions.create(name, wanted.options, wanted.session)
        if not wanted.keep:
            self._temporary.append(session.id)
        self._send({"opened": self._add(session), **session.about(), **beside})

    def _add(self, session: Session) -> int:
        handle = self._handles.get(session.id)
        if handle is None:
            handle = max(self._sessions, default=-1) + 1
            self._handles[session.id] = handle
        self._sessions[handle] = session
        return handle

    async def _handle(self, id: str) -> int:
        """Returns the handle of a session that is named by its id."""
        if id in self._handles:
            return self._handles[id]
        if len(self._sessions) >= MAX_HANDLES:
            raise busy(f"this socket has {MAX_HANDLES:,} sessions, which is the limit", 429)
        async with self._server.sessions.held(self._served.name, id) as session:
            return self._add(session)

    def _session(self, handle: int) -> Session:
        try:
            return self._sessions[handle]
        except KeyError:
            raise Problem(404, f"this socket has no session with the handle {handle}", ("handle",)) from None

    @contextlib.asynccontextmanager
    async def _living(self, handle: int) -> AsyncIterator[Session]:
        """Yields a session; it is read from disk again if it left the memory."""
        async with self._server.sessions.held(self._served.name, self._session(handle).id) as session:
            self._sessions[handle] = session
            yield session

    def _binary(self, data: bytes) -> None:
        place, end = 0, len(data)
        try:
            while place < end:
                if end - place < HEAD.size:
                    raise Problem(400, f"the record at byte {place} ends within its head")
                handle, seq, count = HEAD.unpack_from(data, place)
                place += HEAD.size
                if end - place < 4 * count:
                    raise Problem(400, f"the record at byte {place - HEAD.size} has fewer than {count:,} numbers")
                self._record(handle, seq, np.frombuffer(data, "<f4", count, place))
                place += 4 * count
        except Problem as problem:
            self._fail(problem, {})

    def _record(self, handle: int, seq: int, values: np.ndarray) -> None:
        try:
            session, stepper = self._session(handle), cast(Stepper, self._served.stepper)  # see `_admit`
            item = stepper.parse_binary(values)
            check_steps(self._server, stepper.steps(item))
        except Exception as error:
            self._fail(error, {"handle": handle, "seq": seq})
            return
        if handle in self._late or not self._server.sessions.is_live(session):
            self._delay(handle, seq, item)
            return
        self._step_binary(session, handle, seq, item)

    def _delay(self, handle: int, seq: int, item: Any) -> None:
        """Runs a step after its session came from disk. The steps of a session keep their order."""
        late = self._late.setdefault(handle, deque())
        if len(late) >= MAX_PIPELINED:
            self._fail(busy(f"{len(late)} steps of this session wait", 429), {"handle": handle, "seq": seq})
            return
        late.append((seq, item))
        self._unanswered += 1
        self._server.hold()
        if len(late) == 1:
            task = asyncio.ensure_future(self._revive(handle, late))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _revive(self, handle: int, late: deque[tuple[int, Any]]) -> None:
        problem: Exception | None = None
        try:
            async with self._living(handle) as session:
                for seq, item in late:
                    self._step_binary(session, handle, seq, item)
        except Exception as error:
            problem = error
        del self._late[handle]
        for seq, _ in late:
            self._unanswered -= 1
            self._server.release()
            if problem is not None:
                self._fail(problem, {"handle": handle, "seq": seq})
        self._wake.set()

    def _step_json(self, session: Session, handle: int, seq: int | None, item: Any, beside: dict[str, Any]) -> None:
        seq = session.accepted if seq is None else seq

        def answer(result: StepResult) -> None:
            self._send({"handle": handle, **step_answer(session, result), **beside})

        self._step(session, seq, item, answer, {"handle": handle, "seq": seq, **beside}, json=True)

    def _step_binary(self, session: Session, handle: int, seq: int, item: Any) -> None:
        def answer(result: StepResult) -> None:
            output = result.output.astype("<f4", copy=False)
            self._push(self._records, HEAD.pack(handle, seq, output.size) + output.tobytes())

        self._step(session, seq, item, answer, {"handle": handle, "seq": seq}, json=False)

    def _step(
        self,
        session: Session,
        seq: int,
        item: Any,
        answer: Callable[[StepResult], None],
        known: dict[str, Any],
        *,
        json: bool,
    ) -> None:
        def done(result: StepResult | BaseException) -> None:
            self._unanswered -= 1
            self._server.release()
            if isinstance(result, BaseException):
                self._fail(result, known)
            else:
                answer(result)
            if self._code is not None:
                self._wake.set()

        try:
            self._server.sessions.steps.accept(session, seq, item, done, json=json)
        except Exception as error:
            self._fail(error, known)
            return
        self._unanswered += 1
        self._server.hold()

    # writing

    def _fail(self, error: BaseException, known: dict[str, Any]) -> None:
        problem = problem_of(error)
        if problem is None:
            self._end(FAILED, "internal error")
            raise error
        self._send(problem.to_json() | known)

    def _send(self, value: dict[str, Any]) -> None:
        try:
            data = encode(value)
        except (RecursionError, ValueError):  # a nested value was read that is too deep to be written
            data = encode({name: one for name, one in value.items() if name not in ECHOED})
        self._push(self._texts, data)

    def _push(self, queue: list[bytes], data: bytes) -> None:
        """Queues an answer; a client that does not read its answers is disconnected."""
        if self._code not in (None, GOING_AWAY):
            return
        queue.append(data)
        self._size += len(data)
        if self._size > self._server.settings.send_queue:
            self._server.metrics.refused("slow-reader")
            self._texts.clear()
            self._records.clear()
            self._end(POLICY, "answers were not read")
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            texts, self._texts = self._texts, []
            records, self._records = self._records, []
            if self._code == POLICY:
                return
            for text in texts:
                await self._deliver({"type": "websocket.send", "text": text.decode()})
                self._server.metrics.message_sent(len(text))
                self._size -= len(text)
            if records:
                data = records[0] if len(records) == 1 else b"".join(records)
                await self._deliver({"type": "websocket.send", "bytes": data})
                self._server.metrics.message_sent(len(data))
                self._size -= len(data)
            if self._code is not None and not (self._unanswered or self._texts or self._records):
                return
