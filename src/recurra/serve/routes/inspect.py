"""`POST /v1/models/{model}/inspect`: gates, states and measures of one input, as on the inspection report."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from recurra.inspect.core.trace import TooLargeError, trace
from recurra.inspect.report.payload import Code, page_payload
from recurra.inspect.report.sections import SectionChoice, page_measures
from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem, busy

from .requests import JsonResponse, convert, encode, read_json, server_of

MAX_STEPS = 4096
"""Most steps of an input."""
MAX_MEASURED = 512
"""Most steps of an input whose measures are computed; other requests wait meanwhile."""
TRACE_BYTES = 128 << 20
"""Largest trace in memory."""
ANSWER_BYTES = 3_000_000
"""Largest answer. If necessary, numbers are rounded, and steps and units are left out; `notes` says so."""
MAX_WAITING = 4
"""Inspections that are computed or wait at the same time."""


class Inspect(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request.

    Attributes:
        inputs: one input, as for predictions.
        measures: names of the measures to compute, such as `attribution`; null for all, by default none.
        last: number of steps to return, counted from the end; by default all.
    """

    inputs: Annotated[list[Any], msgspec.Meta(min_length=1, max_length=1)]
    measures: list[str] | None = []
    last: Annotated[int, msgspec.Meta(ge=1)] | None = None


async def inspect(request: Request) -> Response:
    """Returns the data of the inspection report for one input."""
    server = server_of(request)
    served = server.model(request.path_params["model"])
    wanted = convert(await read_json(request), Inspect)
    known = [section.name for _, section in page_measures()]
    for place, name in enumerate(wanted.measures or []):
        if name not in known:
            raise Problem(422, f"there is no measure {name!r:.80}; there are {', '.join(known)}", ("measures", place))
    (item,) = served.service.parse(wanted.inputs)
    steps = served.service.steps(item)
    if steps > MAX_STEPS:
        message = f"the input has {steps:,} {served.service.unit}; at most {MAX_STEPS:,} can be inspected"
        raise Problem(413, message, ("inputs", 0))
    state = request.app.state
    waiting = getattr(state, "inspections", 0)
    if waiting >= MAX_WAITING:
        raise busy(f"{waiting} inspections wait, which is the limit", 429)
    with server.work():
        state.inspections = waiting + 1
        try:
            return JsonResponse(await server.engine.call(compute, served, item, wanted))
        finally:
            state.inspections -= 1


def compute(served: ServedModel, item: Any, wanted: Inspect) -> bytes:
    """Returns the data of the report as JSON.

    Raises:
        Problem: the trace is too large.
        RecurraError: the input has no steps, or the model has no recurrent layer.
    """
    subject = served.service.subject(item)
    time = None if wanted.last is None else slice(-wanted.last, None)
    try:
        found = trace(subject, time=time, max_bytes=TRACE_BYTES)
    except TooLargeError as error:
        raise Problem(413, error.what, ("inputs", 0)) from None
    choice = SectionChoice(wanted.measures, MAX_MEASURED)
    values = wanted.inputs[0]
    code = Code(f"recurra.load({served.name!r})", f"[{values!r}]" if isinstance(values, str) else "...")
    return encode(page_payload(found, 0, ANSWER_BYTES, code, choice=choice))
