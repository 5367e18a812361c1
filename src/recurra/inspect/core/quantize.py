"""Compact JSON for the page. Arrays are exact if they fit, else quantised to 65,536 levels."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

LEVELS = (1 << 16) - 1


def as_json(data: Any) -> str:
    r"""Returns data as JSON with escaped angle brackets, so that it cannot contain HTML tags.

    Example:
        >>> as_json({"a": "<b>"})
        '{"a":"\\u003cb\\u003e"}'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def json_bytes(data: Any) -> int:
    """Returns the number of bytes that data takes as JSON on a page."""
    return len(as_json(data).encode(errors="replace"))


def cut(text: str, limit: int) -> str:
    """Returns the first characters of a text, with an ellipsis if some are left out.

    Example:
        >>> cut("abcdef", 6), cut("abcdef", 4)
        ('abcdef', 'abc…')
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def pack(array: np.ndarray, exact: bool = True) -> dict[str, Any]:
    """Packs an array for JSON. NaN is allowed only if `exact`.

    Example:
        >>> import numpy as np
        >>> pack(np.array([[0.0, 1.0]]), exact=False)
        {'shape': [1, 2], 'kind': 'u16', 'low': 0.0, 'step': 1.5259021896696422e-05, 'data': 'AAD//w=='}
    """
    shape = list(array.shape)
    if exact:
        data = np.ascontiguousarray(array, "<f4").tobytes()
        return {"shape": shape, "kind": "f32", "data": base64.b64encode(data).decode()}
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    step = (high - low) / LEVELS or 1.0
    levels = np.rint((array.astype(np.float64) - low) / step).astype("<u2")
    data = base64.b64encode(np.ascontiguousarray(levels).tobytes()).decode()
    return {"shape": shape, "kind": "u16", "low": low, "step": step, "data": data}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """Unpacks an array to float64, like the page.

    Example:
        >>> unpack(pack(np.array([1.5, -2.0])))
        array([ 1.5, -2. ])
    """
    kind = "<f4" if packed["kind"] == "f32" else "<u2"
    array = np.frombuffer(base64.b64decode(packed["data"]), kind).reshape(packed["shape"]).astype(np.float64)
    return array if packed["kind"] == "f32" else packed["low"] + packed["step"] * array


def packed_size(count: int, exact: bool) -> int:
    """Returns the number of characters of a packed array of `count` numbers."""
    return -(-count * (4 if exact else 2) // 3) * 4
