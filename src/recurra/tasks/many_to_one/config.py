"""config.json of the many-to-one tasks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from recurra._util.schema import Flag, Record
from recurra.data.encoders.logmel import AudioConfig
from recurra.data.encoders.running_text import RunningTextConfig
from recurra.data.encoders.series import SeriesConfig as SeriesEncoderConfig
from recurra.data.encoders.text import TextConfig
from recurra.nn import POOLINGS
from recurra.tasks.config import FolderConfig

from .series.presets import SeriesConfig


class ChosenConfig(Record):
    """See `SequenceEstimator.resolved_params_`."""

    bidirectional: Flag
    pooling: str
    dropout: float
    batch_size: int
    validation_fraction: float

    def check(self) -> None:
        """See `Record.check`."""
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(POOLINGS)}, not {self.pooling!r:.40}")


class PooledConfig(FolderConfig, kw_only=True):
    """config.json of the many-to-one tasks, without their targets."""

    encoder: TextConfig | RunningTextConfig | SeriesEncoderConfig | AudioConfig
    chosen: ChosenConfig | None = None  # early models gave every parameter
    series: SeriesConfig = msgspec.field(default_factory=SeriesConfig)
    feature_names: list[str] | None = None
    columns: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def check(self) -> None:
        """See `Record.check`."""
        names, features = self.feature_names, self.columns or getattr(self.encoder, "features", 0)
        if names is not None and (len(names) != features or len(set(names)) < len(names)):
            raise ValueError(f"feature_names are not {features} different names")
        if isinstance(self.encoder, TextConfig) and self.encoder.specials:
            raise ValueError("encoder.specials is not empty")
