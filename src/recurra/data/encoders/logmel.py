"""Encodes recordings: log-mel spectra, standardised with statistics of the training part only."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from recurra._util.schema import Record, Size
from recurra.data.batching.store import SequenceStore
from recurra.data.files.audio import MIN_RATE, Recordings, Samples, needed, resample, samples_of

from .series import SeriesConfig, SeriesEncoder

WINDOW, HOP = 0.025, 0.01  # seconds
MAX_RATE = 16_000  # the usual rate in speech recognition and audio tagging; higher rates are resampled to it


class FeatureStore(SequenceStore):
    """A store of raw spectra that standardises them on access, so that every file is read only once."""

    scale: SeriesEncoder | None = None

    def take(self, rows: Iterable[int]) -> list[np.ndarray]:
        """Returns standardised spectra `(time, bands)` of some rows."""
        found = super().take(rows)
        return found if self.scale is None else self.scale.encode(found)

    def fingerprint(self) -> str:
        """Hash of the content and of the scale."""
        config = "" if self.scale is None else json.dumps(self.scale.to_config())
        return hashlib.blake2b((super().fingerprint() + config).encode(), digest_size=16).hexdigest()


class AudioConfig(Record, tag="audio", tag_field="kind"):
    """See `AudioEncoder.to_config`."""

    rate: Annotated[int, msgspec.Meta(ge=MIN_RATE, le=MAX_RATE)]
    bands: Size
    scale: SeriesConfig

    def check(self) -> None:
        """See `Record.check`."""
        if not self.bands == self.scale.features == bands_of(self.rate):
            raise ValueError(f"at {self.rate} Hz there are {bands_of(self.rate)} bands")


class AudioEncoder:
    """Log-mel spectra of windows of 25 ms, one every 10 ms, each band with mean 0 and deviation 1 in training.

    Args:
        rate: sample rate in Hz to which every recording is resampled.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).normal(size=8000).astype(np.float32)
        >>> encoder = AudioEncoder()
        >>> store = encoder.learn(Recordings([(noise, 8000)]), np.array([True]))
        >>> store.take([0])[0].shape, encoder.encode([(noise[:400], 8000)])[0].shape
        ((100, 40), (5, 40))
    """

    kind = "audio"
    dtype = np.float32

    def __init__(self, rate: int = MAX_RATE) -> None:
        self.rate = rate
        self.bands = bands_of(rate)
        self.scale = SeriesEncoder(self.bands)

    @property
    def input_size(self) -> int:
        """Number of bands of a spectrum."""
        return self.bands

    @property
    def features(self) -> int:
        """Number of bands of a spectrum."""
        return self.bands

    def learn(self, recordings: Recordings, training: np.ndarray, path: Path | None = None) -> FeatureStore:
        """Chooses the sample rate (the most common one, at most 16 kHz), learns the scale and stores all spectra.

        Args:
            recordings: all recordings.
            training: True for recordings of the training part, `(batch,)`.
            path: file for the spectra; None for memory.

        Raises:
            DataError: a recording cannot be read, or no recording of the training part is as long as a window.
        """
        rates = [header.rate for header, used in zip(recordings.headers, training, strict=True) if used]
        self.__init__(min(Counter(rates).most_common(1)[0][0], MAX_RATE))
        store = FeatureStore.build((self.spectra(chunk) for chunk in recordings.chunks()), path)
        assert isinstance(store, FeatureStore)  # noqa: S101  (a class method)
        rows = np.flatnonzero(training)
        self.scale.fit(store.take(rows[i : i + 256]) for i in range(0, len(rows), 256))
        store.scale = self.scale
        return store

    def encode(self, recordings: Sequence[Path | Samples]) -> list[np.ndarray]:
        """Returns standardised spectra `(time, bands)` of each recording."""
        return self.scale.encode(self.spectra(recordings))

    def spectra(self, recordings: Sequence[Path | Samples]) -> list[np.ndarray]:
        """Returns the logarithms of the energies in mel bands, `(time, bands)` each; empty below 5 ms of audio."""
        return [self._spectra(resample(*samples_of(recording), self.rate)) for recording in recordings]

    def _spectra(self, samples: np.ndarray) -> np.ndarray:
        knf = needed("kaldi_native_fbank")
        options = knf.FbankOptions()
        options.frame_opts.samp_freq = self.rate
        options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = 1000 * WINDOW, 1000 * HOP
        options.frame_opts.dither = 0.0  # dither is random
        options.frame_opts.snip_edges = False  # one window for every 10 ms, also in recordings shorter than a window
        options.mel_opts.num_bins = self.bands
        bank = knf.OnlineFbank(options)
        bank.accept_waveform(self.rate, samples)
        bank.input_finished()
        frames = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
        return np.stack(frames).astype(self.dtype) if frames else np.zeros((0, self.bands), self.dtype)

    def to_files(self) -> dict[str, str]:
        """Returns no files: all numbers are in the configuration."""
        return {}

    def to_config(self) -> dict:
        """Returns the settings that `from_files` needs."""
        return {"kind": self.kind, "rate": self.rate, "bands": self.bands, "scale": self.scale.to_config()}

    @classmethod
    def from_files(cls, config: dict, files: dict[str, str]) -> AudioEncoder:
        """Rebuilds an encoder from `to_config`."""
        encoder = cls(config["rate"])
        encoder.bands, encoder.scale = config["bands"], SeriesEncoder.from_files(config["scale"], files)
        return encoder


def bands_of(rate: int) -> int:
    """Returns the number of mel bands for a sample rate in Hz, limited by the resolution of a window.

    Example:
        >>> bands_of(16_000), bands_of(8_000), bands_of(2_000)
        (80, 40, 16)
    """
    bins = 1 << (int(rate * WINDOW) - 1).bit_length() >> 1
    return min(80 if rate >= MAX_RATE else 40, bins // 2)
