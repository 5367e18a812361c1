"""`recurra health`, and `--health-checks` of `recurra fit`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import recurra as package
from recurra import SequenceClassifier


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder and a file for it."""
    folder = tmp_path_factory.mktemp("health")
    random = np.random.default_rng(0)
    words = [(random.choice(["good", "bad"]), random.choice(["", "not "])) for _ in range(240)]
    rows = [f"it is {negation}{word} {random.choice(['film', 'book'])}" for word, negation in words]
    labels = ["up" if (word == "good") == (negation == "") else "down" for word, negation in words]
    fitted = SequenceClassifier(hidden_size=16, tokens="word", epochs=8, batch_size=16, learning_rate=0.02, verbose=0)
    fitted.set_params(dropout=0.0, token_dropout=0.0).fit(rows, labels).save(folder / "model")
    text = "text,label\n" + "".join(f"{row},{label}\n" for row, label in zip(rows, labels, strict=True))
    (folder / "data.csv").write_text(text)
    fitted.provenance_.training_file = "data.csv"
    sick = package.load(folder / "model")
    with torch.no_grad():
        sick.network_.encoder.recurrent.weight_hh_l0[0, 0] = torch.nan
    with pytest.warns(UserWarning, match="saved with weight"):
        sick.save(folder / "sick")
    fading = package.load(folder / "model")
    fading.history_ = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.999}]
    fading.save(folder / "fading")
    return folder


ASK = ("--input", "text", "--target", "label")


def test_a_healthy_model(recurra, model):
    code, out, err = recurra("health", model / "model", model / "data.csv", *ASK)
    assert code == 0
    assert "● green" in out
    assert "red" not in out
    assert all(name in out for name in ("saturation", "dead units", "gradient reach", "training loss"))
    assert "not measured" not in err


def test_without_data(recurra, model):
    code, out, err = recurra("health", model / "model")
    assert code == 0
    assert "spectral radius" in out
    assert "saturation" not in out
    assert "not measured: saturation, dead units and gradients: give some data" in err


@pytest.mark.parametrize(
    ("name", "fail_on", "expected"),
    [
        ("sick", None, 1),
        ("sick", "yellow", 1),
        ("sick", "never", 0),
        ("fading", None, 0),
        ("fading", "yellow", 1),
        ("fading", "red", 0),
    ],
)
def test_exit_codes(recurra, model, name, fail_on, expected):
    code, out, _ = recurra("health", model / name, "--allow-nonfinite", *(["--fail-on", fail_on] if fail_on else []))
    assert code == expected
    assert {"sick": "■ red", "fading": "▲ yellow"}[name] in out
    assert "→" in out


def test_json(recurra, model):
    code, out, _ = recurra("health", model / "sick", model / "data.csv", *ASK, "--json", "--allow-nonfinite")
    assert code == 1
    found = json.loads(out)
    assert found["worst"] == "red"
    assert found["lights"][0]["name"] == "finite numbers"
    assert found["lights"][0]["where"] == "nan in weight encoder.recurrent.weight_hh_l0[0, 0]"


def test_what_it_refuses(recurra, model):
    assert recurra("health", model / "nothing")[0] == 4
    assert recurra("health", model / "model", model / "nothing.csv", *ASK)[0] == 3
    code, _, err = recurra("health", model / "model", "--fail-on", "green")
    assert code == 2
    assert "red, yellow, never" in err


def test_a_watched_run_shows_on_the_card(recurra, model, monkeypatch):
    from recurra.training.health import monitor

    monkeypatch.setattr(monitor.HealthMonitor, "_allows", lambda self, seconds: True)
    options = ("--tokens", "word", "--hidden-size", 16, "--epochs", 8, "--batch-size", 16, "--learning-rate", 0.02)
    options = (*options, "--dropout", 0, "--token-dropout", 0)
    assert recurra("fit", "classify", model / "data.csv", *ASK, *options, "--health-checks", "--out", "watched")[0] == 0
    code, out, _ = recurra("health", "watched")
    assert code == 0
    assert "update size" in out
    assert "training gradient" in out


def test_the_former_name_of_the_option_warns(recurra, model):
    short = ("--epochs", 1, "--hidden-size", 4, "--embedding-size", 4, "--tokens", "word")
    code, _, err = recurra("fit", "classify", model / "data.csv", *ASK, *short, "--watch", "--out", "old")
    assert (code, err.count("warning: --watch is deprecated; use --health-checks")) == (0, 1)
    assert '"health_checks": true' in Path("old/config.json").read_text(encoding="utf-8")
    assert "--watch" not in recurra("fit", "classify", "--help")[1]


def test_weights_that_are_not_finite_need_a_flag(recurra, model):
    code, out, err = recurra("health", model / "sick")
    assert (code, out) == (4, "")
    assert "the tensor encoder.recurrent.weight_hh_l0" in err
    assert "--allow-nonfinite" in err
