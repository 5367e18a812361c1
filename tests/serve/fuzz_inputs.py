"""Random requests, most of them wrong."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

HEAD = struct.Struct("<III")
LEAVES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e300),
    *(-1e308, 5e-324, "", "a", "a good film", "a [ ] film", "☃" * 3, "\u0000", "\ufeff", "한국어", "e\u0301"),
    *("x" * 5000, "a.wav", "../../etc/passwd", "http://127.0.0.1/", "data:audio/wav;base64,AAAA", "%s%n", "{}"),
    *("null", "NaN", [], {}, [[]], [None], [{}], [[[]]], {"": ""}, [1, 2], [[1.0, 2.0]], [[1, None]]),
    *([[1, "2"]], [[1e300, 0]], [[3e38, -3e38]]),
]
TEXTS = [
    *(b"", b" ", b"{", b"[", b"nul", b"NaN", b"[NaN]", b'{"inputs": [NaN]}', b'{"inputs": [Infinity]}'),
    *(b"1e999", b'{"inputs": [1e999]}', b'{"inputs": ["\\ud800"]}', b'{"inputs": ["\\udc00\\ud800"]}'),
    *(b'{"inputs": ["\xff"]}', b'\xef\xbb\xbf{"inputs": []}', b'{"inputs": [], "inputs": ["a good film"]}'),
    *(b"[" * 100_000, b"\x00", b'{"a":' * 900 + b"1" + b"}" * 900),
    *(b'{"inputs": ' + b"[" * 700 + b"]" * 700 + b"}", b"1" * 5000, b'"' + b"\\" * 99),
    *(b'{"inputs": [' + b"1" * 5000 + b"]}", b'{"inputs": ["' + b"x" * 300_000 + b'"]}', b"1\n" * 3000),
    *(b"\n\n\r\n \n", b'"a good film"\n{\n"bad"\n[NaN]\n', b'{"inputs": ' + b"[0]," * 50 + b"}"),
    *(b"\x1f\x8b\x08\x00", b"a=1&b=2"),
]
KEYS = [
    *("inputs", "proba", "top", "n_best", "beam", "horizon", "choices", "marks", "seq", "session", "options"),
    *("prompt", "length", "temperature", "top_k", "top_p", "seed", "condition", "open", "close", "handle"),
    *("ref", "keep", "text"),
]


def wild(random: np.random.Generator, depth: int = 3) -> Any:
    """A random JSON value."""
    kind = random.integers(10) if depth else 0
    if kind < 6:
        return LEAVES[random.integers(len(LEAVES))]
    if kind < 8:
        return [wild(random, depth - 1) for _ in range(random.integers(4))]
    return {str(random.choice(KEYS)): wild(random, depth - 1) for _ in range(random.integers(1, 4))}


def spoiled(random: np.random.Generator, value: Any) -> Any:
    """A JSON value with one random place replaced."""
    if random.random() < 0.3 or not isinstance(value, list | dict) or not value:
        return wild(random)
    if isinstance(value, list):
        place = int(random.integers(len(value)))
        return [spoiled(random, one) if i == place else one for i, one in enumerate(value)]
    name = str(random.choice(list(value)))
    new = {key: spoiled(random, one) if key == name else one for key, one in value.items()}
    if random.random() < 0.3:
        new[str(random.choice(KEYS))] = wild(random)
    return new


def body(random: np.random.Generator, valid: Any) -> bytes:
    """A body: damaged text, random JSON, or a valid one with one place replaced."""
    kind = random.random()
    if kind < 0.3:
        return TEXTS[random.integers(len(TEXTS))]
    if kind < 0.5:
        return json.dumps(wild(random)).encode()
    if kind < 0.9:
        return json.dumps(spoiled(random, valid)).encode()
    return scrambled(random, json.dumps(valid).encode())


def scrambled(random: np.random.Generator, data: bytes) -> bytes:
    """Bytes with some changed, removed, inserted or repeated."""
    found = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at, kind = int(random.integers(len(found) + 1)), random.integers(5)
        piece = random.bytes(int(random.integers(1, 5)))
        if kind == 0:
            found[at : at + len(piece)] = piece
        elif kind == 1:
            del found[at : at + int(random.integers(1, 30))]
        elif kind == 2:
            found[at:at] = piece
        elif kind == 3:
            found[at:at] = found[at : at + int(random.integers(1, 30))]
        else:
            del found[at:]
    return bytes(found)


LINES = [
    *(b"GET {path} HTTP/1.0", b"POST {path} HTTP/1.1", b"post {path} HTTP/1.1", b"PATCH {path} HTTP/1.1"),
    *(b"GET {path}", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"TRACE {path} HTTP/1.1"),
    *(b"HEAD {path} HTTP/1.1", b"GET http://x/ HTTP/1.1", b"PRI * HTTP/2.0", b"GET  {path}  HTTP/1.1"),
    *(b"GET {path} HTTP/9.9", b"POST \xff\xfe HTTP/1.1", b"POST /%ff%00 HTTP/1.1"),
    *(b"POST //v1//models HTTP/1.1", b"GET /../../etc/passwd HTTP/1.1", b"DELETE {path} HTTP/1.1"),
    *(b"PUT {path} HTTP/1.1", b"\x16\x03\x01", b"GET " + b"/a" * 3000 + b" HTTP/1.1"),
    *(b"GET /?" + b"a=1&" * 500 + b" HTTP/1.1", b"GET {path}?top=-1&x=%zz HTTP/1.1", b""),
]
HEADERS = [
    *(b"content-length: 5", b"content-length: -1", b"content-length: 99999999999999999999"),
    *(b"content-length: 9000000", b"content-length: 3\r\ncontent-length: 4", b"transfer-encoding: chunked"),
    *(b"transfer-encoding: gzip, chunked", b"transfer-encoding: chunked\r\ncontent-length: 3"),
    *(b"expect: 100-continue", b"upgrade: h2c", b"content-encoding: gzip"),
    b"upgrade: websocket\r\nconnection: upgrade",
    *(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 12", b"content-type: text/plain"),
    *(b"content-type: application/x-ndjson", b"content-type: application/json; charset=utf-16"),
    *(b"content-type: \xff\xfe", b"content-type: ,;,", b"no colon", b": no name", b"a: b\r\n c: folded"),
    *(b"a: \x00", b"cookie: " + b"x" * 9000, b"host: " + b"a" * 300, b"host: a b:9x", b"x-request-id: " + b"\xff" * 9),
    *(b"x-request-id: ok-1", b"origin: null", b"origin: http://[", b"range: bytes=0-"),
    *(b"inference-header-content-length: " + b"9" * 5000, b"inference-header-content-length: 2"),
    *(b"accept: */*", b"authorization: Bearer \xff"),
]
CHUNKS = [
    *(b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"ffffffffffffffff\r\n"),
    *(b"5;a=b\r\nhello\r\n0\r\na: b\r\n\r\n", b"0\r\n\r\n", b"3\r\nhello"),
]


def raw_request(random: np.random.Generator, paths: list[str], valid: Any) -> bytes:
    """The bytes of a request, or of several, or of a part of one."""

    def pick(values: list[bytes]) -> bytes:
        return values[random.integers(len(values))]

    parts = []
    for _ in range(1 if random.random() < 0.8 else int(random.integers(2, 6))):
        path = str(random.choice(paths)).encode()
        line = b"POST " + path + b" HTTP/1.1" if random.random() < 0.6 else pick(LINES).replace(b"{path}", path)
        data = body(random, valid)
        headers = [b"host: localhost", b"connection: close"]
        if random.random() < 0.7:
            headers.append(b"content-type: application/json")
        if random.random() < 0.7:
            headers.append(b"content-length: %d" % len(data))
        headers += [pick(HEADERS) for _ in range(random.integers(3) if random.random() < 0.6 else 0)]
        if random.random() < 0.15:
            headers.append(b"transfer-encoding: chunked")
            data = pick(CHUNKS)
        parts.append(b"\r\n".join([line, *headers]) + b"\r\n\r\n" + data)
    found = b"".join(parts)
    return scrambled(random, found) if random.random() < 0.3 else found


def infer_request(random: np.random.Generator, features: int) -> tuple[bytes, dict[str, str]]:
    """A request of KServe V2 in JSON or with binary tensors: body and headers."""
    count, steps = int(random.integers(4)), int(random.integers(4))
    values = random.normal(size=(count, steps, features))
    texts = ["a good film", "", "☃"] * 2
    kind = random.choice(["x", "text", "json"])
    shape: list[Any] = [count, steps, features] if kind == "x" else [count]
    tensor: dict[str, Any] = {"name": kind, "shape": shape, "datatype": "FP32" if kind == "x" else "BYTES"}
    blob = b""
    if random.random() < 0.5:
        tensor["data"] = values.tolist() if kind == "x" else texts[:count]
    else:
        blob = values.astype("<f4").tobytes()
        if kind != "x":
            blob = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts[:count])
        tensor["parameters"] = {"binary_data_size": len(blob)}
    wanted: dict[str, Any] = {"inputs": [tensor], "parameters": {"binary_data_output": bool(random.integers(2))}}
    if random.random() < 0.3:
        lengths = random.integers(-1, 5, count).tolist()
        wanted["inputs"].append({"name": "lengths", "shape": [count], "datatype": "INT64", "data": lengths})
    if random.random() < 0.3:
        wanted["outputs"] = [{"name": str(random.choice(["label", "probability", "x"]))}]
    if random.random() < 0.3:
        tensor["shape"] = [[1] * 40, [2**39] * 400, [0, 2**39, 2**39], [-1], [], [count, steps]][random.integers(6)]
    if random.random() < 0.2:
        tensor["datatype"] = str(random.choice(["FP64", "INT32", "INT64", "BOOL", "FP16", "BYTES"]))
    if random.random() < 0.4:
        wanted = spoiled(random, wanted)
    data = json.dumps(wanted).encode()
    headers = {"content-type": "application/json"}
    if blob or random.random() < 0.1:
        length = len(data) if random.random() < 0.8 else int(random.choice([0, 1, len(data) - 1, len(data) + 9, 10**9]))
        headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(length)}
    data += blob
    return (scrambled(random, data) if random.random() < 0.2 else data), headers


def socket_message(random: np.random.Generator, features: int) -> str | bytes | list[str] | list[bytes]:
    """A message of a WebSocket; a list is sent in fragments."""
    kind = random.integers(8)
    if kind == 0:
        return random.bytes(int(random.integers(80)))
    if kind < 3:
        parts = []
        for _ in range(random.integers(1, 5)):
            count = int(random.integers(3)) * features
            told = count if random.random() < 0.8 else int(random.choice([0, 1, count + 1, 2**32 - 1]))
            values = random.normal(size=count).astype("<f4")
            if random.random() < 0.2 and count:
                values[0] = random.choice([np.nan, np.inf, 3e38])
            parts.append(HEAD.pack(int(random.integers(5)), int(random.integers(4)), told) + values.tobytes())
        data = b"".join(parts)
        return data if random.random() < 0.8 else [data[:5], data[5:9], data[9:]]
    if kind == 3:
        return body(random, {"handle": 0, "inputs": [[0.5] * features], "seq": 0}).decode("utf-8", "replace")
    valid = [
        {"open": True},
        {"open": {"session": f"f{random.integers(20)}", "options": {}, "keep": bool(random.integers(2))}, "ref": 1},
        {"handle": int(random.integers(4)), "inputs": [[0.5] * features], "seq": int(random.integers(3))},
        {"session": f"f{random.integers(20)}", "inputs": [], "ref": {"a": [1]}},
        {"close": int(random.integers(4))},
        {"ref": json.loads("[" * 300 + "]" * 300), "handle": 0, "inputs": 5},
    ][random.integers(6)]
    text = json.dumps(spoiled(random, valid) if random.random() < 0.5 else valid)
    return text if random.random() < 0.9 else [text[:3], text[3:7], text[7:]]
