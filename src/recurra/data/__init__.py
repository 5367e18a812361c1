"""From files, columns and arrays to batches of sequences."""

from .encoders.logmel import AudioEncoder
from .encoders.running_text import PlainEncoder
from .encoders.series import SeriesEncoder
from .encoders.text import TextEncoder

Encoder = TextEncoder | SeriesEncoder | AudioEncoder

ENCODERS: dict[str, type[TextEncoder] | type[SeriesEncoder] | type[AudioEncoder]] = {
    encoder.kind: encoder for encoder in (TextEncoder, SeriesEncoder, AudioEncoder)
}

__all__ = ["ENCODERS", "AudioEncoder", "Encoder", "PlainEncoder", "SeriesEncoder", "TextEncoder"]
