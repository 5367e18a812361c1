"""Recordings on the command line: classify and transcribe, and what wrong files say."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile

HERTZ = {"a": 300, "b": 1500}
QUICK = ["--hidden-size", "8", "--layers", "1", "--batch-size", "8", "--learning-rate", "0.02"]
FIT = ["fit", "transcribe", "sounds/train.csv", "--epochs", "1", *QUICK]


@pytest.fixture
def sounds(tmp_path):
    """A folder with 24 recordings of tones, one for each letter, and a table of them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    (folder / "wav").mkdir(parents=True)
    rows = ["path,text"]
    for i in range(24):
        text = "ab" if i % 3 == 0 else "ba" if i % 3 == 1 else "b"
        tones = [np.sin(2 * np.pi * HERTZ[letter] * np.arange(800) / 8000) for letter in text]
        sound = 0.3 * np.concatenate(tones)
        soundfile.write(folder / "wav" / f"{i}.wav", sound + random.normal(scale=1e-3, size=len(sound)), 8000)
        rows.append(f"wav/{i}.wav,{text}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_transcribe_from_fit_to_predict(recurra, sounds, tmp_path):
    code, out, err = recurra(*FIT, "--out", "m", "--tokens", "char", "--frames", "2")
    assert (code, out) == (0, "")
    assert "24 recordings" in err
    assert "8,000 Hz" in err
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["task"], config["params"]["frames"]) == ("transcribe", 2)
    assert config["provenance"]["input_column"] == "path"

    code, out, _ = recurra("evaluate", "m", "sounds/train.csv", "--json", "--beam", "4", "--order-test")
    figures = json.loads(out)
    assert code == 0
    assert {"cer", "wer", "exact", "loss", "n", "order_test", "baselines", "comparison"} == set(figures)

    code, out, _ = recurra("predict", "m", "sounds/wav/3.wav", "--timestamps")
    (row,) = map(json.loads, out.splitlines())
    assert (code, row["row"], row["file"]) == (0, 1, "3.wav")
    assert set(row) == {"row", "file", "text", "confidence", "tokens"}
    code, out, _ = recurra("predict", "m", "sounds/train.csv")
    of_table = [json.loads(line)["text"] for line in out.splitlines()]
    code, out, _ = recurra("predict", "m", "sounds/wav")
    of_folder = {row["file"]: row["text"] for row in map(json.loads, out.splitlines())}
    assert of_table == [of_folder[f"{i}.wav"] for i in range(24)]
    assert recurra("predict", "m", "sounds/train.csv", "--out", "found.csv")[0] == 0
    assert (tmp_path / "found.csv").read_text().count("\n") == 25


def test_classify_recordings(recurra, sounds, tmp_path):
    fit = ["fit", "classify", "sounds/train.csv", "--input", "path", "--target", "text", "--out", "m", *QUICK]
    code, _, err = recurra(*fit, "--epochs", "8")
    assert code == 0
    assert "24 recordings" in err
    code, out, _ = recurra("evaluate", "m", "sounds/train.csv", "--json")
    assert json.loads(out)["accuracy"] > 0.6
    labels = [json.loads(line)["label"] for line in recurra("predict", "m", "sounds/train.csv")[1].splitlines()]
    assert len(labels) == 24
    code, out, _ = recurra("predict", "m", "sounds/wav/7.wav", "--proba")
    row = json.loads(out)
    assert (code, row["label"], set(row["probabilities"])) == (0, labels[7], {"ab", "b", "ba"})


def change(folder, row, name):
    table = folder / "train.csv"
    table.write_text(table.read_text().replace(f"wav/{row}.wav", name))


@pytest.mark.parametrize("task", ["transcribe", "classify"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wav/5.wavs.wav", None, "there is no file"),
        ("wav/song.mp3", b"no sound at all", "not a recording that can be read"),
        ("wav/voice.m4a", b"\0\0\0\x20ftypM4A ", "convert it to WAV or FLAC"),
        ("notes.txt", b"a text", "does not have the suffix of an audio file"),
        ("wav/short.wav", "cut", "is cut short"),
        ("", None, "no audio file named"),
    ],
)
def test_wrong_files_are_named_by_line(recurra, sounds, tmp_path, task, name, content, message):
    change(sounds, 5, name)
    if content == "cut":
        content = (sounds / "wav" / "5.wav").read_bytes()[:900]
    if content is not None:
        (sounds / name).write_bytes(content)
    code, out, err = recurra("fit", task, "sounds/train.csv", "--input", "path", "--target", "text")
    assert (code, out) == (3, "")
    assert "train.csv, line 7: " in err
    assert message in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["sounds"]


def test_other_wrong_input(recurra, sounds, tmp_path):
    code, _, err = recurra("fit", "transcribe", "sounds/train.csv", "--input", "text", "--target", "path")
    assert (code, "hand over paths of sound files" in err) == (3, True)
    with (sounds / "train.csv").open("a") as table:
        table.write(f"wav/0.wav,{'ab' * 50}\nwav/1.wav,\n")
    code, _, err = recurra(*FIT)
    assert code == 0
    assert "1 recording left out for a missing text" in err
    assert "1 recording left out for a text too long for its recording" in err
    for arguments, found, message in [
        (["model", "-"], 2, "standard input"),
        (["model", "no.wav"], 3, "there is no file no.wav"),
        (["model", "sounds/train.csv", "--input", "text"], 3, "--input"),
        (["model", "."], 3, "contains no sound files"),
        (["model", "sounds/wav/3.wav", "--proba"], 2, "--proba"),
    ]:
        code, out, err = recurra("predict", *arguments)
        assert (code, out) == (found, "")
        assert message in err
        assert "Traceback" not in err


def test_a_missing_package_says_what_to_install(recurra, sounds, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    code, _, err = recurra(*FIT)
    assert code == 5
    assert 'pip install "recurra[audio]"' in err
    assert "Traceback" not in err
