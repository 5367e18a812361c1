"""Sections of a file of options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIG = """
# for every command
encoding = "utf-8"
hidden-size = 7

[fit]
epochs = 1
embedding_size = 4

[fit.classify]
hidden-size = 5
cell = "gru"

[tune.tag]
trials = 3

[evaluate]
input = "text"
"""


@pytest.fixture
def reviews(tmp_path):
    rows = ["good,1", "bad,0"] * 20
    (tmp_path / "r.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return "r.csv"


def fit(recurra, reviews, toml: str, *options: str):
    Path("c.toml").write_text(toml, encoding="utf-8")
    return recurra("fit", "classify", reviews, "--input", "text", "--target", "label", "--config", "c.toml", *options)


def test_the_most_special_section_counts(recurra, reviews, tmp_path):
    recurra("sample")  # changes into the folder
    code, _, said = fit(recurra, reviews, CONFIG, "--cell", "rnn")
    assert code == 0, said
    params = json.loads((tmp_path / "model" / "config.json").read_text())["params"]
    found = params["hidden_size"], params["epochs"], params["embedding_size"], params["cell"]
    assert found == (5, 1, 4, "rnn")  # the command line has priority
    assert recurra("evaluate", "model", reviews, "--config", "c.toml")[0] == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "epochs = 1\n\n[fit.clasify]\nepochs = 2",
            'line 3: [fit.clasify] is no command with --config, did you mean "fit.classify"?',
        ),
        ("[fit]\nepocs = 2", 'line 2: epocs is no option of recurra fit, did you mean "epochs"?'),
        ("[fit.classify]\nhorizon = 2", "line 2: horizon is no option of recurra fit classify"),
        ("horizont = 2\n[fit]", "horizont is no option of recurra"),
        ("[fit.classify]\nepochs = 'many'", "line 2: epochs should be a whole number, not 'many'"),
        ("[fit]\nclassify = 2", "line 2: classify is no option of recurra fit"),
        ("[health]\nrow = 1", "[health] is no command with --config"),
    ],
)
def test_errors_name_the_line_and_a_similar_word(recurra, reviews, monkeypatch, toml, message):
    monkeypatch.setenv("COLUMNS", "400")
    code, _, said = fit(recurra, reviews, toml)
    assert code == 2
    assert message in said


def test_an_option_of_another_task_at_the_top_is_left_out_if_there_are_sections(recurra, reviews):
    assert fit(recurra, reviews, "horizon = 3\nepochs = 1")[0] == 2
    assert (
        fit(recurra, reviews, "horizon = 3\nepochs = 1\n[fit.forecast]\nhorizon = 4\n[fit.classify]\nhidden-size = 4")[
            0
        ]
        == 0
    )
