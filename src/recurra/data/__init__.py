"""Reads and converts files, columns and arrays to batches of sequences."""

from .encoders.logmel import AudioEncoder
from .encoders.running_text import RunningTextEncoder
from .encoders.series import SeriesEncoder
from .encoders.text import TextEncoder

Encoder = TextEncoder | SeriesEncoder | AudioEncoder

ENCODERS: dict[str, type[TextEncoder] | type[SeriesEncoder] | type[AudioEncoder]] = {
    encoder.kind: encoder for encoder in (TextEncoder, SeriesEncoder, AudioEncoder)
}

__all__ = ["ENCODERS", "AudioEncoder", "Encoder", "RunningTextEncoder", "SeriesEncoder", "TextEncoder"]
