"""Reads recordings, from files or from samples in memory, as one channel of float samples."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from io import BytesIO
from itertools import compress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from recurra._util.messages import counted
from recurra.errors import DataError, EngineError

from .access import refuse_no_file

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au")
FOREIGN = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr")  # audio formats without a decoder here
CHUNK_RECORDINGS = 256
MIN_RATE = 1000  # at lower rates a window of 25 ms has too few samples for a spectrum
MAX_RATE_HZ = 768_000  # the highest rate of sound cards and ultrasonic recorders
MAX_SAMPLES = 1 << 28
"""Maximum samples per channel of a recording: 4.6 hours at 16 kHz, 93 minutes at 48 kHz, 1 GB in memory."""
MAX_FILTER_RATIO = 100_000
"""Maximum numerator or denominator of the ratio of two rates. The resampling filter has 20 taps per unit."""
BLOCK_SAMPLES = 1 << 22
"""Samples of all channels decoded together."""
LOUDEST = 1e12
"""Maximum sample. Samples of integer formats are at most 1; some files with float samples use a scale of 2^31."""
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile returns it for streams that do not declare their length

Samples = tuple[Any, int]
"""Samples `(time,)` or `(time, channels)` and their rate in Hz."""


class Header(NamedTuple):
    """Sample rate in Hz and number of samples of each channel, as a recording declares them."""

    rate: int
    samples: int


@dataclass(frozen=True)
class Recordings:
    """Recordings: paths of audio files, or pairs of samples and sample rate."""

    rows: Sequence[Path | Samples]
    kind = "audio"

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self, keep: np.ndarray | None = None) -> Iterator[list[Path | Samples]]:
        """Yields lists of a few hundred recordings, in order; with `keep`, only those where it is True."""
        for start in range(0, len(self.rows), CHUNK_RECORDINGS):
            part = self.rows[start : start + CHUNK_RECORDINGS]
            yield list(part if keep is None else compress(part, keep[start : start + CHUNK_RECORDINGS]))

    @cached_property
    def headers(self) -> list[Header]:
        """Rate and length of every recording, without decoding it.

        Raises:
            DataError: a file is missing, is not an audio file, or is truncated. The error has the number of the row.
        """
        found = []
        for row, recording in enumerate(self.rows):
            try:
                found.append(_header(recording))
            except DataError as error:
                raise DataError(str(error), row) from None
        return found

    def summary(self) -> str:
        """One line for the user: number of recordings, duration and sample rates."""
        rates = Counter(header.rate for header in self.headers)
        said = [counted(len(self), "recording"), duration(sum(h.samples / h.rate for h in self.headers))]
        said += [f"{rate:,} Hz" + (f" ({n:,})" if len(rates) > 1 else "") for rate, n in rates.most_common(4)]
        empty = sum(header.samples == 0 for header in self.headers)
        return ", ".join([*said, *([f"{empty:,} without a sample"] if empty else [])])


def duration(seconds: float) -> str:
    """Returns a duration in seconds, minutes or hours as text.

    Example:
        >>> duration(90), duration(7200)
        ('1.5 minutes', '2.0 hours')
    """
    for name, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"


def first_known(values: Iterable[Any]) -> Any:
    """Returns the first Python or Arrow value that is not missing, or None.

    Example:
        >>> first_known([None, "", float("nan"), "a.wav"])
        'a.wav'
    """
    for value in values:
        plain = value.as_py() if hasattr(value, "as_py") else value
        if not (plain is None or isinstance(plain, float) or (isinstance(plain, str) and not plain)):
            return plain
    return None


def is_audio_name(value: Any) -> bool:
    """Returns whether a value names an audio file: a path, or a text with the suffix of an audio file."""
    if isinstance(value, str):
        return value.lower().endswith((*SUFFIXES, *FOREIGN)) and "\n" not in value
    return isinstance(value, Path)


def is_samples(value: Any) -> bool:
    """Returns whether a value is a pair of samples and sample rate."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int | np.integer)


def as_recordings(rows: Sequence[Any]) -> Recordings | None:
    """Converts rows to recordings if the first row that is not missing is a recording; else returns None.

    Raises:
        DataError: another row is not a recording.

    Example:
        >>> as_recordings(["a.wav", "b.flac"]).rows[1].name
        'b.flac'
        >>> as_recordings(["a text"]) is None
        True
    """
    first = first_known(rows)
    if not (is_audio_name(first) or is_samples(first)):
        return None
    for i, row in enumerate(rows):
        if is_audio_name(row) or is_samples(row):
            continue
        if not isinstance(row, str) or not row:
            raise DataError("there is no audio file named in this row", i)
        raise DataError(f"{row!r:.80} does not have the suffix of an audio file ({', '.join(SUFFIXES)})", i)
    return Recordings([row if is_samples(row) else Path(row) for row in rows])


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Reads the samples of a file, averaged over channels, `(time,)` in [-1, 1], and their rate in Hz.

    Raises:
        DataError: the file is missing, is not an audio file, is truncated, or is longer than `MAX_SAMPLES`.
        EngineError: the packages of the extra `audio` are not installed.
    """
    refuse_no_file(path, "sound")
    return _read(lambda: path, path)


def decode_audio(data: bytes, name: str, max_seconds: float) -> tuple[np.ndarray, int]:
    """Decodes the content of a sound file in memory; see `read_audio` for the result.

    Args:
        data: the content of a file.
        name: name of the recording in messages.
        max_seconds: longest duration; a longer recording is refused before it is decoded.

    Raises:
        DataError: the content is not a recording, is truncated or damaged, or is too long.
        EngineError: the packages of the extra `audio` are not installed.
    """
    return _read(lambda: BytesIO(data), name, max_seconds)


def _read(open_: Callable[[], Path | BinaryIO], name: Any, max_seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Reads the samples of a file that a function opens."""
    said = _header_of(open_, name, max_seconds)
    samples, found = np.empty(said.samples, np.float32), 0
    for block in _blocks(open_(), name):
        kept = block[: said.samples - found]
        samples[found : found + len(kept)] = kept
        found += len(kept)
    if found < said.samples:
        raise _cut_short(name, found, said.samples)
    return samples, said.rate


def _blocks(source: Path | BinaryIO, path: Any, max_samples: int | None = None) -> Iterator[np.ndarray]:
    """Decodes a file in blocks, and yields samples `(time,)`, averaged over channels.

    Raises:
        DataError: the file is damaged or longer than `MAX_SAMPLES`.
    """
    soundfile, total = needed("soundfile"), 0
    try:
        with soundfile.SoundFile(source) as file:
            # between two blocks soundfile seeks to the current position, which resets the decoders of OGG and MP3
            file.seekable = lambda: False  # type: ignore[method-assign]
            size = max(BLOCK_SAMPLES // file.channels, 1)
            while len(block := file.read(size, dtype="float32", always_2d=True)):
                total += len(block)
                _check_length(path, total, max_samples)
                yield _mono(block, path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {_reason(error)}") from None


def samples_of(recording: Path | Samples) -> tuple[np.ndarray, int]:
    """Returns one channel of float32 samples `(time,)` and their rate, from a file or from samples in memory.

    Integers are scaled to [-1, 1] by the range of their type.
    """
    if isinstance(recording, Path):
        return read_audio(recording)
    samples, rate = np.asarray(recording[0]), int(recording[1])
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu" or samples.shape[1:] == (0,):
        raise DataError(
            f"samples are numbers of shape (time,) or (time, channels), not {samples.dtype} {samples.shape}"
        )
    _check_rate("a recording", rate)
    _check_length("a recording", len(samples))
    if samples.dtype.kind in "iu":
        limits = np.iinfo(samples.dtype)
        middle = (limits.max + limits.min + 1) / 2
        samples = (samples.astype(np.float64) - middle) / (limits.max - middle + 1)
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, and are refused below
        samples = samples.astype(np.float32)
    return _mono(samples if samples.ndim == 2 else samples[:, None], "a recording"), rate


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Resamples `(time,)` to another rate in Hz with a low-pass filter. Equal rates change nothing.

    If a term of the ratio of the rates exceeds `MAX_FILTER_RATIO`, the ratio is rounded, by less than one part in 10⁹.
    """
    if rate == wanted or not len(samples):
        return samples
    from scipy.signal import resample_poly

    ratio = Fraction(wanted, rate).limit_denominator(MAX_FILTER_RATIO)
    return resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def needed(package: str) -> Any:
    """Imports a package of the extra `audio`.

    Raises:
        EngineError: it is not installed.
    """
    try:
        return import_module(package)
    except (ImportError, OSError) as error:  # OSError: libsndfile is missing
        name = package.partition(".")[0].replace("_", "-")
        raise EngineError(
            f"recordings need the package {name}, which cannot be imported ({error})\n"
            'install it with: pip install "recurra[audio]"'
        ) from None


def _header(recording: Path | Samples) -> Header:
    if not isinstance(recording, Path):
        samples, rate = samples_of(recording)
        return Header(rate, len(samples))
    refuse_no_file(recording, "sound")
    return _header_of(lambda: recording, recording)


def _header_of(open_: Callable[[], Path | BinaryIO], name: Any, max_seconds: float = math.inf) -> Header:
    """Reads rate and length of a file that a function opens.

    Raises:
        DataError: it is not a recording, is truncated, or is too long.
    """
    soundfile = needed("soundfile")
    try:
        info = soundfile.info(open_(), verbose=True)
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"{name} is not a recording that can be read ({_reason(error)}); convert it to WAV or FLAC"
        ) from None
    _check_rate(name, info.samplerate)
    short = re.search(r"^data : (\d+) \(should be (\d+)\)", info.extra_info, re.M)
    # programs that write to a pipe do not know the size, and write the largest possible one
    if short and int(short[2]) < int(short[1]) < 0x7FFFF000:
        raise _cut_short(name, int(short[2]), int(short[1]))
    most = int(min(max_seconds * info.samplerate, MAX_SAMPLES))
    if info.frames == _UNKNOWN_LENGTH:
        return Header(info.samplerate, sum(map(len, _blocks(open_(), name, most))))
    _check_length(name, info.frames, most)
    return Header(info.samplerate, info.frames)


def _check_rate(name: Any, rate: int) -> None:
    if rate < MIN_RATE:
        raise DataError(
            f"{name} has {rate:,} samples per second; audio needs at least {MIN_RATE:,} (pass slower series as numbers)"
        )
    if rate > MAX_RATE_HZ:
        raise DataError(
            f"{name} has {rate:,} samples per second, more than any recorder ({MAX_RATE_HZ:,}): its header is wrong"
        )


def _check_length(name: Any, samples: int, most: int | None = None) -> None:
    most = MAX_SAMPLES if most is None else most
    if samples > most:
        raise DataError(
            f"{name} has {samples:,} samples in each channel or more; at most {most:,} are read\n"
            "Cut it into shorter recordings; if it is short, its header is wrong."
        )


def _cut_short(path: Any, found: int, said: int) -> DataError:
    return DataError(f"{path} is cut short: {found / said:.0%} of it is there; copy or record it again")


def _reason(error: Any) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".").lower()


def _mono(samples: np.ndarray, name: Any) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise DataError(f"{name} holds samples that are not finite numbers")
    if len(mono) and max(mono.max(), -mono.min()) > LOUDEST:
        raise DataError(f"{name} holds samples above {LOUDEST:.0e}, which no recording has: it is damaged")
    return mono
