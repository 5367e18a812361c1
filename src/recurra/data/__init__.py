"""From files, columns and arrays to batches of sequences."""

from .plain import PlainEncoder
from .series import SeriesEncoder
from .text import TextEncoder

Encoder = TextEncoder | SeriesEncoder

ENCODERS: dict[str, type[TextEncoder] | type[SeriesEncoder]] = {
    encoder.kind: encoder for encoder in (TextEncoder, SeriesEncoder)
}

__all__ = ["ENCODERS", "Encoder", "PlainEncoder", "SeriesEncoder", "TextEncoder"]
