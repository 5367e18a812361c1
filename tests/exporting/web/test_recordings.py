"""Models of recordings in JavaScript: spectra, texts and classes equal Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from javascript import RUNNERS, run, tensor

import recurra
from recurra import SequenceClassifier, Transcriber
from recurra.data.encoders.logmel import AudioEncoder
from recurra.exporting import export

HERTZ = {"a": 300, "b": 1200, "c": 700}
SPECTRA = {"rtol": 0, "atol": 1e-3}
"""kaldi_native_fbank computes spectra in float32; logarithms of bands with little energy differ by as much."""
ANSWERS = {"rtol": 0, "atol": 1e-4}


def sounds(count: int, rate: int = 8000, seed: int = 0) -> tuple[list[tuple[np.ndarray, int]], list[str]]:
    """Tones with noise, and the letters that they stand for."""
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list(HERTZ), random.integers(1, 5))) for _ in range(count)]
    time = np.arange(rate // 8) / rate
    tones = {letter: np.sin(2 * np.pi * hertz * time) for letter, hertz in HERTZ.items()}
    made = [np.concatenate([tones[letter] for letter in text]) * random.uniform(0.1, 1) for text in texts]
    return [((one + 0.01 * random.standard_normal(len(one))).astype(np.float32), rate) for one in made], texts


def as_inputs(recordings: list[tuple[np.ndarray, int]]) -> list[dict[str, Any]]:
    return [{"samples": samples, "rate": rate} for samples, rate in recordings]


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("rate", [16_000, 11_025, 8_000, 4_000])
def test_spectra(rate, run):
    random = np.random.default_rng(1)
    lengths = [0, 1, rate // 200, rate // 80, *random.integers(rate // 40, rate, 3)]
    made = [random.uniform(0, 0.5) * random.standard_normal(n).astype(np.float32) for n in lengths]
    made = [np.asarray(one, np.float32) for one in [*made, np.zeros(999), np.cumsum(made[-1])]]
    encoder = AudioEncoder(rate)
    calls = [{"call": "spectra", "samples": one, "rate": rate, "bands": encoder.bands} for one in made]
    for found, expected in zip(run(calls), encoder.spectra([(one, rate) for one in made]), strict=True):
        np.testing.assert_allclose(np.array(found).reshape(-1, encoder.bands), expected, **SPECTRA)


@pytest.fixture(scope="module", params=[{"beam_size": 1}, {"beam_size": 4, "length_bonus": 0.5, "cell": "gru"}])
def transcriber(request, tmp_path_factory):
    options = {"hidden_size": 12, "num_layers": 1, "dropout": 0.0, "learning_rate": 0.02, "random_state": 0}
    model = Transcriber(epochs=25, verbose=0, **options, **request.param).fit(*sounds(60))
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors", format="web")


@pytest.mark.parametrize("run", RUNNERS)
def test_100_recordings_have_the_same_texts(transcriber, run):
    model, path = transcriber
    X, _ = sounds(97, seed=1)
    X += [(np.zeros(0, np.float32), 8000), (np.zeros(4000, np.float32), 8000), (X[0][0][:300], 8000)]
    (found,) = run([{"model": path, "call": "predict", "inputs": as_inputs(X)}])
    for answer, expected in zip(found, model.transcribe(X), strict=True):
        assert answer["text"] == expected.text
        assert answer["tokens"] == [token._asdict() for token in expected.tokens]
        np.testing.assert_allclose(answer["confidence"], expected.confidence, **ANSWERS)
    beams = [{"model": path, "call": "predict", "inputs": as_inputs(X[:20]), "options": {"beam": n}} for n in (1, 9)]
    for beam, answers in zip((1, 9), run(beams), strict=True):
        assert [answer["text"] for answer in answers] == [one.text for one in model.transcribe(X[:20], beam_size=beam)]


def test_every_gate_of_a_recording(transcriber):
    model, path = transcriber
    X, _ = sounds(3, seed=2)
    for recording, answer in zip(X, run([{"model": path, "call": "inspect", "inputs": as_inputs(X)}])[0], strict=True):
        trace = recurra.trace(model, [recording])
        for name, gate in {**answer["gates"], **answer["states"]}.items():
            np.testing.assert_allclose(tensor(gate), trace[name].values[:, :, 0], **ANSWERS)


def test_a_classifier_of_recordings(tmp_path):
    X, texts = sounds(60)
    model = SequenceClassifier(hidden_size=8, epochs=3, random_state=0, verbose=0).fit(X, [text[0] for text in texts])
    path = export(model, tmp_path / "model.safetensors", format="web")
    (found,) = run([{"model": path, "call": "predict", "inputs": as_inputs(X)}])
    np.testing.assert_allclose([answer["probabilities"] for answer in found], model.predict_proba(X), **ANSWERS)
    for step in run([{"model": path, "call": call, "inputs": [[1]]} for call in ("steps", "streams")]):
        assert "no single steps" in step["error"]


def test_wrong_recordings_are_refused(transcriber):
    _, path = transcriber
    wrong: dict[str, Any] = {
        "objects with samples and their rate": "a.wav",
        "recordings of 8000 Hz, not 16000 Hz": {"samples": [0.0], "rate": 16_000},
        "not a finite number": {"samples": ["x"] * 100, "rate": 8000},
    }
    found = run([{"model": path, "call": "predict", "inputs": [one]} for one in wrong.values()])
    found += run([{"model": path, "call": "predict", "inputs": [], "options": {}}])
    for part, answer in zip(wrong, found[:-1], strict=True):
        assert part in answer["error"]
    assert found[-1] == []
