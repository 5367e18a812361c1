"""`/v2`: the Open Inference Protocol (KServe V2), for clients of Triton, KServe and Seldon.

Inputs are one of three tensors: `text` (BYTES, `[n]`), `x` (FP32 or FP64, `[n, time, features]`, with `lengths`, INT64,
`[n]`, for sequences of different lengths) or `json` (BYTES, `[n]`: each element is an input as JSON). Outputs have one
tensor for each key of an answer. Numbers are FP64 and texts BYTES; other values are JSON in BYTES. Tensors may be
binary, as the extension `binary_tensor_data` of Triton defines.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, Any

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from recurra import __version__
from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem

from .predict import answer
from .requests import JSON, JsonResponse, convert, encode, media_type, parse_json, server_of

HEADER_LENGTH = "inference-header-content-length"
DTYPES = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}
MAX_AXES = 3
"""Axes of a tensor: sequences, steps and features."""
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]


class InputTensor(msgspec.Struct):
    """A tensor of a request."""

    name: str
    shape: list[Count]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class OutputTensor(msgspec.Struct):
    """A tensor that a request wants."""

    name: str
    parameters: dict[str, Any] = {}


class Infer(msgspec.Struct):
    """Body of a request."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[OutputTensor] | None = None
    parameters: dict[str, Any] = {}


async def server(request: Request) -> Response:
    """Returns name and version of the server."""
    return JsonResponse({"name": "recurra", "version": __version__, "extensions": ["binary_tensor_data"]})


async def live(request: Request) -> Response:
    """Answers while the process works."""
    return JsonResponse({"live": True})


async def ready(request: Request) -> Response:
    """Returns whether the server takes work."""
    found = server_of(request).ready
    return JsonResponse({"ready": found}, 200 if found else 503)


async def model_ready(request: Request) -> Response:
    """Returns whether a model takes work."""
    found = server_of(request)
    found.model(request.path_params["model"])
    return JsonResponse({"ready": found.ready}, 200 if found.ready else 503)


async def model(request: Request) -> Response:
    """Returns names, types and shapes of the tensors of a model."""
    served = server_of(request).model(request.path_params["model"])
    features = served.service.about().get("features")
    inputs = [{"name": "json", "datatype": "BYTES", "shape": [-1]}]
    if _takes_text(served):
        inputs.insert(0, {"name": "text", "datatype": "BYTES", "shape": [-1]})
    elif features:
        inputs.insert(0, {"name": "x", "datatype": "FP32", "shape": [-1, -1, features]})
    example = served.service.parse([served.service.example()])
    answers = served.service.answers(example, served.service.Options())
    outputs = [{k: v for k, v in one.items() if k != "data"} for one in _tensors(answers)]
    for output in outputs:
        output["shape"][0] = -1
    return JsonResponse(
        {"name": served.name, "versions": ["1"], "platform": "recurra", "inputs": inputs, "outputs": outputs}
    )


async def infer(request: Request) -> Response:
    """Answers tensors."""
    found = server_of(request)
    served = found.model(request.path_params["model"])
    wanted, blobs = await _read(request)
    inputs = _inputs(wanted, blobs)
    known = served.service.Options.__struct_fields__
    options = {name: value for name, value in wanted.parameters.items() if name in known}
    with found.work():
        answers = await answer(found, served, inputs, convert(options, served.service.Options))
    tensors = _tensors(answers)
    if wanted.outputs is not None:
        by_name = {one["name"]: one for one in tensors}
        missing = [one.name for one in wanted.outputs if one.name not in by_name]
        if missing and answers:
            raise Problem(422, f"there is no output {missing[0]!r:.80}; there are {', '.join(by_name)}", ("outputs",))
        tensors = [by_name[one.name] for one in wanted.outputs if one.name in by_name]
    binary = {one.name for one in wanted.outputs or () if one.parameters.get("binary_data")}
    if wanted.parameters.get("binary_data_output"):
        binary |= {one["name"] for one in tensors}
    return _response(served, wanted, tensors, binary)


def _takes_text(served: ServedModel) -> bool:
    schema = served.service.input_schema()
    return "string" in [schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))]


async def _read(request: Request) -> tuple[Infer, memoryview]:
    """Returns the JSON part of the body, and the bytes of binary tensors after it."""
    body, length = await request.body(), request.headers.get(HEADER_LENGTH)
    if length is None:
        kind = media_type(request)
        if kind not in (JSON, ""):
            raise Problem(415, f"the content type must be {JSON}, not {kind}")
        return convert(parse_json(body), Infer), memoryview(b"")
    if not length.isdecimal() or len(length) > 18 or int(length) > len(body):
        raise Problem(400, f"{HEADER_LENGTH} must be at most the length of the body")
    return convert(parse_json(body[: int(length)]), Infer), memoryview(body)[int(length) :]


def _inputs(wanted: Infer, blobs: memoryview) -> list[Any]:
    """Returns the inputs of a request as JSON values.

    Raises:
        Problem: the tensors do not fit together.
    """
    tensors = {}
    for place, tensor in enumerate(wanted.inputs):
        size = tensor.parameters.get("binary_data_size")
        part = None
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(blobs):
                raise Problem(422, "the body has fewer bytes than binary_data_size", ("inputs", place))
            part, blobs = blobs[:size], blobs[size:]
        tensors[tensor.name] = _values(tensor, part, ("inputs", place))
    if "json" in tensors:
        return [parse_json(text) for text in tensors["json"]]
    if "text" in tensors:
        return list(tensors["text"])
    if "x" not in tensors:
        raise Problem(422, "the inputs must have a tensor text, x or json", ("inputs",))
    return _sequences(tensors["x"], tensors.get("lengths"))


def _sequences(x: Any, lengths: Any) -> list[Any]:
    """Cuts a padded array `(n, time)` or `(n, time, features)` to sequences; NaN becomes null."""
    if not isinstance(x, np.ndarray) or x.ndim not in (2, 3):
        raise Problem(422, "x must have shape [n, time] or [n, time, features]", ("inputs",))
    ends = [x.shape[1]] * len(x)
    if lengths is not None:
        if not isinstance(lengths, np.ndarray) or lengths.shape != (len(x),) or lengths.dtype.kind != "i":
            raise Problem(422, f"lengths must be INT64 of shape [{len(x)}]", ("inputs",))
        ends = lengths.tolist()
        if any(not 0 <= end <= x.shape[1] for end in ends):
            raise Problem(422, f"lengths must be from 0 to {x.shape[1]}", ("inputs",))
    values = x.astype(object)
    values[np.isnan(x)] = None
    return [row[:end].tolist() for row, end in zip(values, ends, strict=True)]


def _values(tensor: InputTensor, part: memoryview | None, path: tuple[str | int, ...]) -> Any:
    """Returns the values of a tensor: a list of texts, or an array.

    Raises:
        Problem: the values do not fit the shape or the type.
    """
    if len(tensor.shape) > MAX_AXES:
        raise Problem(422, f"{tensor.name:.80} has {len(tensor.shape)} axes; at most {MAX_AXES} are accepted", path)
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        values = _flat(tensor.data) if part is None else _texts(part, path)
        if len(values) != count or not all(isinstance(value, str) for value in values):
            raise Problem(422, f"{tensor.name} must have {count} texts", path)
        return values
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise Problem(422, f"the datatype must be BYTES, {', '.join(DTYPES)}, not {tensor.datatype!r:.40}", path)
    if part is not None:
        if len(part) != count * dtype.itemsize:
            raise Problem(422, f"{tensor.name} must have {count * dtype.itemsize} bytes, not {len(part)}", path)
        return _reshaped(np.frombuffer(part, dtype), tensor, path)
    values = _flat(tensor.data)
    allowed = (bool,) if tensor.datatype == "BOOL" else (int,) if tensor.datatype[0] == "I" else (int, float)
    wrong = any(value is not None and type(value) not in allowed for value in values)
    if len(values) != count or wrong or (tensor.datatype[0] != "F" and None in values):
        raise Problem(422, f"{tensor.name} must have {count} values of {tensor.datatype}", path)
    try:
        array = np.array([np.nan if value is None else value for value in values], dtype)
    except OverflowError:
        raise Problem(422, f"{tensor.name} has a number outside of {tensor.datatype}", path) from None
    return _reshaped(array, tensor, path)


def _reshaped(values: np.ndarray, tensor: InputTensor, path: tuple[str | int, ...]) -> np.ndarray:
    try:
        return values.reshape(tensor.shape)
    except ValueError:  # an axis of 0 beside very large ones
        raise Problem(422, f"the shape of {tensor.name} is too large", path) from None


def _flat(data: list[Any] | None) -> list[Any]:
    """Returns nested lists as one list: the protocol allows both."""
    found, rest = [], [iter(data or ())]
    while rest:
        for value in rest[-1]:
            if isinstance(value, list):
                rest.append(iter(value))
                break
            found.append(value)
        else:
            rest.pop()
    return found


def _texts(part: memoryview, path: tuple[str | int, ...]) -> list[str]:
    """Returns the texts of a binary tensor: each has its length in 4 bytes before it."""
    found, place = [], 0
    try:
        while place < len(part):
            (length,) = struct.unpack_from("<I", part, place)
            end = place + 4 + length
            if end > len(part):
                raise ValueError
            found.append(bytes(part[place + 4 : end]).decode())
            place = end
    except (struct.error, ValueError):
        raise Problem(422, "a binary tensor of BYTES must have texts in UTF-8, each after its length", path) from None
    return found


def _tensors(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns one tensor for each key of the answers."""
    found = []
    for name, first in (answers[0] if answers else {}).items():
        values: list[Any] = [one.get(name) for one in answers]
        if all(isinstance(one, dict) for one in values) and all(
            isinstance(v, float) for one in values for v in one.values()
        ):
            rows = [list(one.values()) for one in values]
            found.append(_tensor(name, "FP64", [len(rows), len(first)], [value for row in rows for value in row]))
        elif all(isinstance(value, float) for value in values):
            found.append(_tensor(name, "FP64", [len(values)], values))
        else:
            texts = [value if isinstance(value, str) else encode(value).decode() for value in values]
            found.append(_tensor(name, "BYTES", [len(values)], texts))
    return found


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _response(served: ServedModel, wanted: Infer, tensors: list[dict[str, Any]], binary: set[str]) -> Response:
    """Returns the answer; tensors in `binary` come after the JSON part."""
    blobs = []
    for tensor in tensors:
        if tensor["name"] in binary:
            blob = _blob(tensor["datatype"], tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
    body: dict[str, Any] = {"model_name": served.name, "model_version": "1", "outputs": tensors}
    if wanted.id is not None:
        body["id"] = wanted.id
    if not blobs:
        return JsonResponse(body)
    head = encode(body)
    headers = {HEADER_LENGTH: str(len(head))}
    return Response(head + b"".join(blobs), media_type="application/octet-stream", headers=headers)


def _blob(datatype: str, data: list[Any]) -> bytes:
    if datatype == "FP64":
        return np.array(data, "<f8").tobytes()
    texts = [text.encode() for text in data]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
