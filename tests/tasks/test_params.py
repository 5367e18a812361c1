"""Parameters are declared once: an option that is declared outside the package works everywhere."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from recurra.cli.support.command import App
from recurra.cli.support.options import options_of, with_options
from recurra.errors import UsageError
from recurra.tasks import ESTIMATORS, SequenceClassifier
from recurra.tasks.params import Parameters, param, params_of

TEXTS, LABELS = ["good film", "bad film"] * 8, ["yes", "no"] * 8
SMALL: dict[str, Any] = {"hidden_size": 4, "embedding_size": 4, "tokens": "word", "verbose": 0}


# --8<-- [start:option]
@dataclass(eq=False, repr=False)
class ToyClassifier(SequenceClassifier):
    """A classifier with options of its own.

    Args:
        hidden_size: units, described here.
    """

    hidden_size: int = 16
    warmth: float = param(0.5, "Share of warmth.", panel="Network", option="--warm", share=True)
    mood: str | None = param(None, "Mood of the run.", panel="Run", choices=("calm", "busy"), fingerprint=False)


# --8<-- [end:option]


def test_command_line(monkeypatch, capfd):
    app, given = App(), []

    @app.command()
    @with_options(options_of(ToyClassifier))
    def fit(*, options: Any) -> None:
        given.append(options)

    monkeypatch.setattr(sys, "argv", ["fit", "--warm", "0.25", "--layers", "2"])
    app(standalone_mode=False)
    assert (given[0].warmth, given[0].mood, given[0].num_layers, given[0].hidden_size) == (0.25, None, 2, None)
    monkeypatch.setattr(sys, "argv", ["fit", "--help"])
    app(standalone_mode=False)
    out = capfd.readouterr().out
    assert out.index("Network") < out.index("--warm") < out.index("Share of warmth.")
    assert out.index("Run") < out.index("--mood")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"warmth": 1.0}, r"warmth must lie in \[0, 1\), got 1.0"),
        ({"warmth": "much"}, "warmth must be a finite number, got 'much'"),
        ({"mood": "sad"}, "mood is one of calm, busy, not 'sad'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
    ],
)
def test_validation(params, message):
    with pytest.raises(UsageError, match=message):
        ToyClassifier(**SMALL | params).fit(TEXTS, LABELS)


def test_fingerprint(tmp_path):
    def fit(epochs: int = 2, **params: Any) -> Any:
        model = ToyClassifier(**SMALL, epochs=epochs, **params)
        return model.fit(TEXTS, LABELS, checkpoint=tmp_path, resume=True)

    fit()
    assert fit(mood="busy").resumed_
    with pytest.raises(UsageError, match="warmth"):
        fit(warmth=0.75)


def test_model_card_and_docstring(tmp_path):
    ToyClassifier(**SMALL, epochs=1, warmth=0.75).fit(TEXTS, LABELS).save(tmp_path / "model")
    assert "| warmth | 0.75 |" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    described = inspect.getdoc(ToyClassifier).split("Args:\n")[1]
    assert "    warmth: share of warmth.\n" in described
    assert "    dropout: probability of dropping a feature in training.\n" in described
    assert "units per layer" not in described  # the description in the class replaces the common one
    assert max(map(len, ToyClassifier.__doc__.splitlines())) <= 120


def test_another_default_keeps_the_metadata():
    assert params_of(ToyClassifier)["hidden_size"] == params_of(Parameters)["hidden_size"]


@pytest.mark.parametrize("estimator", ESTIMATORS.values())
def test_every_common_parameter_is_described_in_every_docstring(estimator):
    arguments = inspect.getdoc(estimator).split("Args:\n")[1].split("\n\n")[0]
    missing = [f.name for f in dataclasses.fields(Parameters) if f"\n    {f.name}: " not in f"\n{arguments}\n"]
    assert missing == []
