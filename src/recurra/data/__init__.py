"""Reads and converts files, columns and arrays to batches of sequences."""

from .encoders.logmel import AudioEncoder
from .encoders.running_text import RunningTextEncoder
from .encoders.series import SeriesEncoder
from .encoders.text import TextEncoder

Encoder = TextEncoder | SeriesEncoder | AudioEncoder

ENCODERS: dict[str, type[Encoder]] = {
    TextEncoder.config_kind: TextEncoder,
    RunningTextEncoder.config_kind: RunningTextEncoder,
    SeriesEncoder.kind: SeriesEncoder,
    AudioEncoder.kind: AudioEncoder,
}
"""Encoders by the key `kind` of their configuration."""

__all__ = ["ENCODERS", "AudioEncoder", "Encoder", "RunningTextEncoder", "SeriesEncoder", "TextEncoder"]
