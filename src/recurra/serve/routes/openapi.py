"""`/openapi.json`: description of the addresses for the models of this server, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from recurra import __version__
from recurra.serve.models import ServedModel

from .inspect import Inspect
from .predict import Generate
from .requests import JSON, NDJSON, JsonResponse, server_of
from .sessions import STATE, Id, NewSession, Steps

OBJECT: dict[str, Any] = {"type": "object"}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "message"],
            "properties": {
                "status": {"type": "integer"},
                "message": {"type": "string"},
                "path": {"type": "array", "items": {"type": ["string", "integer"]}},
            },
        }
    },
}
ERRORS = {
    "400": "The body is not valid JSON.",
    "401": "The API key is missing or wrong.",
    "404": "There is no model or session of this name.",
    "408": "The request did not arrive in time.",
    "409": "The request does not fit the state of the session, or the model has no sessions.",
    "410": "The session ended; the message has the reason.",
    "413": "The request is larger than a limit.",
    "415": "The content type is not supported.",
    "422": "A value cannot be used; `path` has its place.",
    "429": "Too much work waits; see Retry-After.",
    "503": "The server is starting or shutting down; see Retry-After.",
    "504": "The deadline of the request passed.",
}


async def openapi(request: Request) -> Response:
    """Returns the description."""
    return JsonResponse(describe(server_of(request).models))


def describe(models: dict[str, ServedModel]) -> dict[str, Any]:
    """Returns the OpenAPI document for some models."""
    paths: dict[str, Any] = {
        "/v1/models": {"get": _operation("List the models", "models")},
        "/health/live": {"get": _operation("Check that the process works", "live", errors=False)},
        "/health/ready": {"get": _operation("Check that the server takes work", "ready")},
        "/metrics": {"get": _operation("Metrics for Prometheus", "metrics", answer={"text/plain": {}})},
        "/openapi.json": {"get": _operation("This document", "openapi")},
    }
    for model in models.values():
        paths |= _paths(model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Recurra", "version": __version__, "description": "Recurrent networks as a service."},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _paths(model: ServedModel) -> dict[str, Any]:
    base, name = f"/v1/models/{model.name}", model.name
    options = _schema(model.service.Options)
    body = {**options, "required": ["inputs", *options.get("required", ())]}
    inputs = {"type": "array", "items": model.service.input_schema()}
    body["properties"] = {"inputs": inputs, **options.get("properties", {})}
    example = {"inputs": [model.service.example()]}
    predict = _operation(
        f"Predict with {name}", f"{name}.predict", body={JSON: {"schema": body, "example": example}, NDJSON: {}}
    )
    fields = _schema(Inspect)
    one = {**inputs, "minItems": 1, "maxItems": 1}
    inspected = {
        JSON: {"schema": {**fields, "properties": {**fields["properties"], "inputs": one}}, "example": example}
    }
    inspect = _operation(f"Gates and states of {name}", f"{name}.inspect", body=inspected)
    found: dict[str, Any] = {
        base: {"get": _operation(f"Describe {name}", f"{name}.about")},
        f"{base}/predict": {"post": predict},
        f"{base}/inspect": {"post": inspect},
    }
    if model.generates:
        sent = {JSON: {"schema": _schema(Generate)}}
        stream = _operation(
            f"Generate text with {name}", f"{name}.generate", body=sent, answer={"text/event-stream": {}}
        )
        found[f"{base}/generate"] = {"post": stream}
    return found | _session_paths(base, name)


def _session_paths(base: str, name: str) -> dict[str, Any]:
    one = f"{base}/sessions/{{session}}"
    parameters = [{"name": "session", "in": "path", "required": True, "schema": _schema(Id)}]
    new, steps = {JSON: {"schema": _schema(NewSession)}}, {JSON: {"schema": _schema(Steps)}}
    state: dict[str, Any] = {STATE: {"schema": {"type": "string", "format": "binary"}}}

    def operation(what: str, id: str, **options: Any) -> dict[str, Any]:
        return _operation(f"{what} ({name})", f"{name}.{id}", **options)

    return {
        f"{base}/sessions": {"post": operation("Begin a session", "begin", body=new, status="201")},
        one: {
            "parameters": parameters,
            "get": operation("Number of the next step, and output so far", "session"),
            "delete": operation("End a session", "end", status="204", answer={}),
        },
        f"{one}/steps": {"parameters": parameters, "post": operation("Run steps", "steps", body=steps)},
        f"{one}/fork": {"parameters": parameters, "post": operation("Copy a session", "fork", body=new, status="201")},
        f"{one}/state": {
            "parameters": parameters,
            "get": operation("State as safetensors", "state", answer=state),
            "put": operation("Set the state", "put_state", body=state),
        },
    }


def _operation(
    summary: str,
    id: str,
    *,
    body: dict[str, Any] | None = None,
    answer: dict[str, Any] | None = None,
    status: str = "200",
    errors: bool = True,
) -> dict[str, Any]:
    content = {JSON: {"schema": OBJECT}} if answer is None else answer
    success: dict[str, Any] = {"description": "Success."}
    if content:
        success["content"] = content
    reference = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    failures = {code: {"description": text, "content": reference} for code, text in ERRORS.items()} if errors else {}
    found: dict[str, Any] = {"summary": summary, "operationId": id, "responses": {status: success, **failures}}
    if body is not None:
        found["requestBody"] = {"required": False, "content": body}
    return found


def _schema(kind: Any) -> dict[str, Any]:
    """Returns the JSON Schema of a record, without references."""
    (found,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    while "$ref" in found:
        found = components[found["$ref"]]
    return found
