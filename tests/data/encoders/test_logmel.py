"""Log-mel spectra: where the energy lies, what is learnt, what is saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recurra._util.schema import check
from recurra.data import ENCODERS, AudioEncoder
from recurra.data.encoders.logmel import AudioConfig, FeatureStore, bands_of
from recurra.data.files import audio
from recurra.data.files.audio import Recordings
from recurra.errors import DataError, ModelFolderError


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=samples).astype(np.float32)


def mel(hertz):
    return 1127 * np.log1p(hertz / 700)


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("hertz", [300, 1000, 3000])
def test_a_tone_is_in_its_band(rate, hertz):
    encoder = AudioEncoder(rate)
    wave = np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
    (spectra,) = encoder.spectra([(wave, rate)])
    low, high = mel(20), mel(rate / 2)
    expected = (mel(hertz) - low) / (high - low) * (encoder.bands + 1) - 1
    assert np.abs(spectra[5:-5].argmax(1) - expected).max() <= 1.01


@given(st.integers(0, 3000), st.sampled_from([8000, 16_000]))
def test_one_spectrum_every_10_ms(samples, rate):
    (spectra,) = AudioEncoder(rate).spectra([(noise(samples), rate)])
    assert spectra.shape == ((samples + rate // 200) // (rate // 100), bands_of(rate))
    assert np.isfinite(spectra).all()


def test_digital_silence_has_finite_spectra():
    assert np.isfinite(AudioEncoder(8000).spectra([(np.zeros(4000), 8000)])[0]).all()


def test_the_scale_is_learnt_on_the_training_part_only():
    rows = [(noise(4000, i) * (100 if i == 3 else 1), 8000) for i in range(4)]
    training = np.array([True, True, True, False])
    encoder = AudioEncoder()
    store = encoder.learn(Recordings(rows), training)
    steps = np.concatenate(store.take([0, 1, 2]))
    np.testing.assert_allclose(steps.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(steps.std(0), 1, atol=1e-4)
    assert store.take([3])[0].mean() > 3
    alone = AudioEncoder()
    alone.learn(Recordings(rows[:3]), np.ones(3, bool))
    assert alone.to_config() == encoder.to_config()
    for found, row in zip(store.take(range(4)), rows, strict=True):
        np.testing.assert_array_equal(found, encoder.encode([row])[0])


def test_every_file_is_read_once(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, path in enumerate(paths):
        soundfile.write(path, noise(4000, i), 8000)
    read, original = [], audio._blocks
    monkeypatch.setattr(audio, "_blocks", lambda path, name: read.append(path) or original(path, name))
    AudioEncoder().learn(Recordings(paths), np.ones(3, bool), tmp_path / "x.arrow").take([0, 1, 2])
    assert read == paths


def test_the_rate_is_the_most_common_one_of_the_training_part():
    def learnt(*rates):
        encoder = AudioEncoder()
        encoder.learn(Recordings([(noise(r), r) for r in rates]), np.array([True] * (len(rates) - 3) + [False] * 3))
        return encoder.rate, encoder.bands

    assert learnt(8000, 11_025, 8000, 16_000, 16_000, 16_000) == (8000, 40)
    assert learnt(44_100, 44_100, 8000, 8000, 8000) == (16_000, 80)
    assert learnt(2000, 8000, 8000, 8000) == (2000, 16)


def test_a_file_at_another_rate_sounds_the_same():
    encoder = AudioEncoder(8000)
    slow = np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)
    fast = np.sin(2 * np.pi * 500 * np.arange(44_100) / 44_100)
    a, b = encoder.spectra([(slow, 8000), (fast, 44_100)])
    loud = a[5:-5] > a.max() - 5
    assert np.abs(a[5:-5][loud] - b[5:-5][loud]).max() < 0.05


def test_saved_encoders_agree():
    encoder = AudioEncoder()
    encoder.learn(Recordings([(noise(8000), 11_025)]), np.array([True]))
    again = ENCODERS["audio"].from_files(json.loads(json.dumps(encoder.to_config())), encoder.to_files())
    np.testing.assert_array_equal(again.encode([(noise(500), 8000)])[0], encoder.encode([(noise(500), 8000)])[0])
    assert (again.input_size, again.features) == (40, 40)


def test_fingerprint_knows_the_scale():
    rows = Recordings([(noise(4000, i), 8000) for i in range(2)])
    stores = [AudioEncoder().learn(rows, np.array(mask)) for mask in ([True, True], [True, True], [True, False])]
    assert stores[0].fingerprint() == stores[1].fingerprint() != stores[2].fingerprint()


def test_nothing_to_learn_from():
    with pytest.raises(DataError, match="every sequence is empty"):
        AudioEncoder().learn(Recordings([(noise(0), 8000), (noise(9), 8000)]), np.ones(2, bool))


def test_bands_of_rates():
    rates = (1000, 1279, 1280, 1281, 2000, 4000, 5160, 8000, 15_999, 16_000)
    assert [bands_of(rate) for rate in rates] == [8, 8, 8, 8, 16, 32, 40, 40, 40, 80]


def test_configurations_are_checked():
    encoder = AudioEncoder(8000)
    config = encoder.to_config()
    assert check(AudioConfig, config, "config.json").rate == 8000
    one = {"scale": {**config["scale"], "features": 1, "mean": [0.0], "scale": [1.0]}}
    for change in ({"bands": 39}, {"rate": 16_000}, one, {"rate": 999}, {"rate": 16_001}):
        with pytest.raises(ModelFolderError):
            check(AudioConfig, {**config, **change}, "config.json")


def test_a_store_without_a_scale_gives_the_spectra():
    encoder, rows = AudioEncoder(8000), [(noise(800), 8000)]
    store = FeatureStore.build([encoder.spectra(rows)])
    np.testing.assert_array_equal(store.take([0])[0], encoder.spectra(rows)[0])
    assert store.scale is None
    plain = store.fingerprint()
    store.scale = encoder.scale
    assert store.fingerprint() != plain
    assert (encoder.kind, encoder.dtype, encoder.input_size, encoder.features) == ("audio", np.float32, 40, 40)
    assert (AudioEncoder().rate, encoder.to_files()) == (16_000, {})


def test_the_same_sound_has_the_same_spectra():
    encoder = AudioEncoder(8000)
    one, other = (encoder.spectra([(noise(900), 8000)])[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.float32
    assert [len(encoder.spectra([(noise(n), 8000)])[0]) for n in (0, 39, 40, 119, 120)] == [0, 0, 1, 1, 2]


def test_the_scale_is_learnt_in_any_number_of_chunks():
    rows = [(noise(200, i), 8000) for i in range(300)]
    encoder = AudioEncoder()
    store = encoder.learn(Recordings(rows), np.ones(300, bool))
    steps = np.concatenate(store.take(range(300)))
    np.testing.assert_allclose(steps.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(steps.std(0), 1, atol=1e-4)
