"""Recordings in requests: the content of a sound file in base64."""

from __future__ import annotations

import base64
import binascii
import io
import math
import wave
from typing import Any

import numpy as np

from recurra.data.encoders.logmel import HOP
from recurra.data.files.audio import Samples, decode_audio

from .service import InputError, Path
from .values import described

KEY = "sound"


def sound_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a recording."""
    text = {
        "type": "string",
        "contentEncoding": "base64",
        "description": "Content of a sound file (WAV, FLAC, OGG, MP3, …) in base64.",
    }
    sound = {"type": "object", "properties": {KEY: text}, "required": [KEY], "additionalProperties": False}
    return {"anyOf": [text, sound]}


def sound_example(rate: int) -> str:
    """Returns a recording of a tenth of a second: a tone of 440 Hz, as a WAV file in base64."""
    tone = 0.5 * np.sin(2 * math.pi * 440 * np.arange(rate // 10) / rate)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes((tone * 32767).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def sound_of(value: Any, path: Path, max_steps: int) -> Samples:
    """Decodes a recording.

    Args:
        value: base64 of a sound file, or an object with this text under `"sound"`.
        path: position of the value in the request.
        max_steps: largest number of spectra, one every 10 ms.

    Raises:
        InputError: the value is not a recording that can be read.
        DataError: the content of the file cannot be used.
    """
    if isinstance(value, dict):
        if set(value) != {KEY}:
            raise InputError(f'a recording is an object with the key "{KEY}" only', path)
        value, path = value[KEY], (*path, KEY)
    if not isinstance(value, str):
        raise InputError(f"a recording is the content of a sound file in base64, not {described(value)}", path)
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: characters beyond ASCII
        raise InputError(f"the recording is not base64: {str(error).lower()}", path) from None
    if not data:
        raise InputError("the recording is empty; send the content of a sound file in base64", path)
    return decode_audio(data, "the recording", max_steps * HOP)


def sound_steps(item: Samples) -> int:
    """Returns the number of spectra of a recording, one every 10 ms."""
    return math.ceil(len(item[0]) / item[1] / HOP)
