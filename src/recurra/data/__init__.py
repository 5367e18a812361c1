"""From files, columns and arrays to batches of sequences."""

from .logmel import AudioEncoder
from .plain import PlainEncoder
from .series import SeriesEncoder
from .text import TextEncoder

Encoder = TextEncoder | SeriesEncoder | AudioEncoder

ENCODERS: dict[str, type[TextEncoder] | type[SeriesEncoder] | type[AudioEncoder]] = {
    encoder.kind: encoder for encoder in (TextEncoder, SeriesEncoder, AudioEncoder)
}

__all__ = ["ENCODERS", "AudioEncoder", "Encoder", "PlainEncoder", "SeriesEncoder", "TextEncoder"]
