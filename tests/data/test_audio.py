"""Recordings of every kind of file, and what a damaged or missing one says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from recurra.data import audio
from recurra.data.audio import Recordings, as_recordings, duration, read_audio, resample, samples_of
from recurra.data.inputs import Texts, as_sequences
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
    high = tone(rate=16_000, hertz=6000)  # above what 8,000 samples a second can hold
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
    with pytest.raises(DataError, match=r"a\.wav is no recording .*convert it to WAV or FLAC"):
        read_audio(damaged(tmp_path, "a.wav", content=content))


def test_formats_that_nothing_decodes(tmp_path):
    path = damaged(tmp_path, "voice.m4a", content=b"\0\0\0\x20ftypM4A " + b"\0" * 100)
    with pytest.raises(DataError, match=r"voice\.m4a is no recording .*convert it"):
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
    with pytest.raises(DataError, match="100 samples a second"):
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


@pytest.mark.parametrize(("row", "message"), [(None, "no file"), ("", "no file"), ("b.txt", "b.txt.* does not end as")])
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
