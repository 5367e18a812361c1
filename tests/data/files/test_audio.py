"""Recordings of every kind of file, and what a damaged or missing one says."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from recurra.data.columns.inputs import Texts, as_sequences
from recurra.data.files import audio
from recurra.data.files.audio import Recordings, as_recordings, duration, read_audio, resample, samples_of
from recurra.errors import DataError, EngineError


def tone(seconds=0.5, rate=8000, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "subtype", "near"),
    [
        ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "PCM_16", 1e-4),
        ("a.WAV", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-6),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.flac", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.1),
        ("a.aiff", "PCM_16", 1e-4),
    ],
)
def test_formats(tmp_path, name, subtype, near):
    path = tmp_path / name
    soundfile.write(path, tone(), 8000, subtype=subtype)
    samples, rate = read_audio(path)
    assert (rate, samples.dtype, samples.shape) == (8000, np.float32, (4000,))
    assert np.abs(samples - tone()).max() < near
    assert Recordings([path]).headers == [(8000, 4000)]


def test_channels_are_averaged(tmp_path):
    both = np.stack([tone(), 0 * tone()], 1)
    soundfile.write(tmp_path / "a.wav", both, 8000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], tone() / 2, atol=1e-7)
    np.testing.assert_allclose(samples_of((both, 8000))[0], tone() / 2, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float64])
def test_samples_in_memory_are_scaled_by_their_type(dtype):
    wave = tone().astype(np.float64)
    if np.dtype(dtype).kind == "i":
        given = np.round(wave * -float(np.iinfo(dtype).min)).astype(dtype)
    else:
        given = np.round(wave * 128 + 128).astype(dtype) if dtype == np.uint8 else wave
    found, rate = samples_of((given, 8000))
    assert (found.dtype, rate) == (np.float32, 8000)
    assert np.abs(found - wave).max() < (1e-2 if dtype == np.uint8 else 1e-4)


def test_rates_become_one():
    for rate in (4000, 11_025, 16_000, 44_100, 48_000):
        found = resample(tone(rate=rate), rate, 8000)
        middle = slice(400, 3600)
        assert len(found) == pytest.approx(4000, abs=1)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[middle], tone()[middle], atol=5e-3)
    high = tone(rate=16_000, hertz=6000)  # above what 8,000 samples per second can hold
    assert np.abs(resample(high, 16_000, 8000)[400:3600]).max() < 0.01


def test_empty_recordings_are_legal(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone()[:0], 8000)
    assert read_audio(tmp_path / "a.wav")[0].shape == (0,)
    recordings = Recordings([tmp_path / "a.wav", (tone(60), 8000), (tone(1, 16_000), 16_000)])
    assert recordings.summary() == "3 recordings, 1.0 minutes, 8,000 Hz (2), 16,000 Hz (1), 1 without a sample"
    assert resample(tone()[:0], 8000, 16_000).shape == (0,)


# damaged files


def damaged(tmp_path, name, keep=None, content=None):
    path = tmp_path / name
    if content is None:
        soundfile.write(path, np.random.default_rng(0).normal(size=8000) / 9, 8000)
        content = path.read_bytes()
        content = content[: int(len(content) * keep)]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("keep", [0.5, 0.999])
def test_wav_that_is_cut_short(tmp_path, keep):
    path = damaged(tmp_path, "a.wav", keep)
    with pytest.raises(DataError, match=r"a\.wav is cut short: (50|100)% of it is there") as error:
        Recordings([(tone(), 8000), path]).headers  # noqa: B018
    assert error.value.row == 1


def test_flac_that_is_cut_short(tmp_path):
    with pytest.raises(DataError, match=r"a\.flac is (damaged|cut short)"):
        read_audio(damaged(tmp_path, "a.flac", 0.5))


def test_wav_of_unknown_length_is_read(tmp_path):
    path = damaged(tmp_path, "a.wav", 1.0)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff\xff\xff\xff"  # as programs write it that write to a pipe
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == 8000


@pytest.mark.parametrize("content", [b"", b"RIFF", b"path,label\n", b"ID3" + b"\0" * 90])
def test_what_is_no_sound(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.wav (is not a recording .*convert it to WAV or FLAC|is empty)"):
        read_audio(damaged(tmp_path, "a.wav", content=content))


def test_formats_that_nothing_decodes(tmp_path):
    path = damaged(tmp_path, "voice.m4a", content=b"\0\0\0\x20ftypM4A " + b"\0" * 100)
    with pytest.raises(DataError, match=r"voice\.m4a is not a recording .*convert it"):
        Recordings([path]).headers  # noqa: B018


def test_missing_files_are_named_with_a_hint(tmp_path):
    damaged(tmp_path, "hello.wav", 1.0)
    with pytest.raises(DataError, match=r"there is no file .*helo\.wav.*hello\.wav"):
        read_audio(tmp_path / "helo.wav")
    with pytest.raises(DataError, match="there is no file"):
        read_audio(tmp_path / "nowhere" / "a.wav")


def test_samples_that_are_not_numbers():
    wrong = tone()
    wrong[7] = np.nan
    with pytest.raises(DataError, match="not finite"):
        samples_of((wrong, 8000))
    with pytest.raises(DataError, match="numbers of shape"):
        samples_of((np.zeros((2, 2, 2)), 8000))
    with pytest.raises(DataError, match="100 samples per second"):
        samples_of((tone(), 100))


def test_a_missing_package_is_named(monkeypatch):
    with pytest.raises(EngineError, match=r"soundfail.*\n.*recurra\[audio\]"):
        audio.needed("soundfail")


# what counts as recordings


def test_recordings_are_recognised(tmp_path):
    names = ["a.wav", "b.FLAC"]
    for X in (names, np.array(names), pd.Series(names), pa.array(names), [tmp_path / n for n in names]):
        found = as_sequences(X)
        assert isinstance(found, Recordings)
        assert [path.name for path in found.rows] == names
    pairs = [(tone(), 8000), (tone(), np.int64(16_000))]
    assert [h.rate for h in as_sequences(pairs).headers] == [8000, 16_000]


@pytest.mark.parametrize("X", [["a text", "b.wav"], ["wav"], [".wav\n and more"], pa.array(["a", "b.wav"])])
def test_texts_remain_texts(X):
    assert isinstance(as_sequences(X), Texts)
    assert as_recordings([[1.0, 2.0]]) is None


@pytest.mark.parametrize(
    ("row", "message"), [(None, "no audio file"), ("", "no audio file"), ("b.txt", "b.txt.* does not have the suffix")]
)
def test_rows_that_name_no_sound_are_refused(row, message):
    with pytest.raises(DataError, match=message) as error:
        as_sequences(["a.wav", row])
    assert error.value.row == 1
    if not row:
        with pytest.raises(DataError, match=message) as error:
            as_sequences(pa.array([row, "a.wav"]))
        assert error.value.row == 0


def test_chunks_keep_the_order():
    recordings = Recordings([(np.full(i, 0.1), 8000) for i in range(600)])
    chunks = list(recordings.chunks())
    assert [len(chunk) for chunk in chunks] == [256, 256, 88]
    keep = np.arange(600) % 7 == 0
    assert [len(row[0]) for chunk in recordings.chunks(keep) for row in chunk] == list(range(0, 600, 7))


def test_durations():
    assert [duration(s) for s in (0.25, 59, 90, 5400)] == ["0.2 seconds", "59.0 seconds", "1.5 minutes", "1.5 hours"]


def wav_header(rate=8000, channels=1, data=200, bits=16):
    """The header of a WAV file that declares so many bytes of sound."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + data)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + struct.pack("<4sI", b"data", data)
    )


def peak_memory_of(code, *arguments):
    """Runs Python code with at most 1.5 GB of address space beyond what the imports take, and returns its output."""
    limit = (
        "import resource; n = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (3 << 29)\n"
    )
    limit += "resource.setrlimit(resource.RLIMIT_AS, (n, n))\n"
    imports = "import sys; from recurra.data.files.audio import *; from recurra.data.files.audio import needed\n"
    imports += "import soundfile, scipy.signal\nfrom recurra.errors import DataError\n"
    done = subprocess.run(
        [sys.executable, "-c", imports + limit + code, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 50_000_017, 2**31 - 1, 2**32 - 1])
def test_rates_that_no_recorder_has_are_refused(tmp_path, rate):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(rate) + bytes(200))
    with pytest.raises(DataError, match=r"a\.wav (has [-\d,]+ samples per second|is not a recording)"):
        Recordings([path]).headers  # noqa: B018
    with pytest.raises(DataError, match=r"a recording has .* samples per second"):
        samples_of((tone(), rate))


def test_a_header_does_not_decide_the_memory(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_header(50_000_017) + bytes(200))
    soundfile.write(tmp_path / "b.flac", tone(), 8000)
    flac = bytearray((tmp_path / "b.flac").read_bytes())
    flac[21] |= 0x0F  # the upper bits of the 36 that hold the number of samples
    (tmp_path / "b.flac").write_bytes(flac)
    code = "for name in sys.argv[1:]:\n try:\n  samples_of(Path(name))\n except DataError as e:\n  print(e)"
    said = peak_memory_of(code, tmp_path / "a.wav", tmp_path / "b.flac")
    assert "50,000,017 samples per second" in said
    assert "samples in each channel or more; at most 268,435,456 are read" in said


def test_rates_without_a_common_factor_take_a_small_filter():
    code = "x = resample(np.ones(4000, np.float32), 767_999, 16_000); print(len(x), x[40].round(2))"
    assert peak_memory_of(code).split() == ["84", "1.0"]


def test_rounded_ratios_give_the_same_sound():
    wave = tone(0.05, 110_003, 440.0)
    found = resample(wave, 110_003, 16_000)
    assert len(found) == -(-len(wave) * 16_000 // 110_003)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / 16_000)
    assert np.abs(found - wanted)[50:-50].max() < 1e-3


def test_a_stream_that_declares_no_length_is_decoded_to_its_end(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), 8000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert Recordings([path]).headers == [(8000, 4000)]
    assert np.abs(read_audio(path)[0] - tone()).max() < 1e-4


def test_blocks_of_any_size_give_the_same_samples(tmp_path, monkeypatch):
    both = np.stack([tone(), tone(hertz=300.0), 0 * tone()], 1)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        soundfile.write(tmp_path / name, both[:, : 2 if name == "a.mp3" else 3], 8000)
        whole = read_audio(tmp_path / name)[0]
        monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1000)
        np.testing.assert_array_equal(read_audio(tmp_path / name)[0], whole)
        monkeypatch.undo()


def test_recordings_that_are_too_long_are_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), 8000)
    monkeypatch.setattr(audio, "MAX_SAMPLES", 3999)
    with pytest.raises(DataError, match=r"a\.wav has 4,000 samples in each channel.*3,999 are read\nCut it"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="a recording has 4,000 samples"):
        samples_of((tone(), 8000))


@pytest.mark.parametrize("channels", [0, 1000, 65535])
def test_channels_of_any_number(tmp_path, channels):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(8000, channels, 4000) + bytes(4000))
    if channels == 1000:
        assert read_audio(path)[0].tolist() == [0.0, 0.0]
    else:
        with pytest.raises(DataError, match=r"a\.wav is not a recording"):
            read_audio(path)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((5, 0)), r"not float64 \(5, 0\)"),
        (np.zeros((5, 2, 2)), r"not float64 \(5, 2, 2\)"),
        (np.array([1j]), "not complex128"),
        (np.array(["a"]), "not <U1"),
        (np.array([True]), "not bool"),
        (np.array([1.0, np.nan]), "not finite"),
        (np.array([1e300]), "not finite"),
        (np.full((2, 2), 3e38), "not finite"),
        (np.full(2, 3e38), "above 1e\\+12, which no recording has"),
        (np.full(2, -1e13), "above 1e\\+12, which no recording has"),
    ],
)
def test_samples_in_memory_that_are_no_sound(samples, message):
    with pytest.raises(DataError, match=message):
        samples_of((samples, 8000))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au"])
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.95])
def test_files_cut_short_are_read_or_refused(tmp_path, name, keep):
    soundfile.write(tmp_path / name, tone(2.0), 8000)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * keep)])
    try:
        assert len(read_audio(tmp_path / name)[0]) <= 17_000
    except DataError as error:
        message = str(error)
    else:
        return
    assert name in message


@pytest.mark.parametrize("value", [Recordings([])], ids=lambda value: type(value).__name__)
def test_recordings_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
