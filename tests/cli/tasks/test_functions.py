"""`--optimizer`, `--schedule` and `--freeze` of `recurra fit`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra as package
from recurra import SequenceClassifier

ROWS = ["good film,pos", "bad film,neg", "so good,pos", "so bad,neg"] * 12


def test_names_on_the_command_line(recurra, tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join(ROWS) + "\n")
    given = ("fit", "classify", "data.csv", "--input", "text", "--target", "label", "--epochs", "1")
    small = ("--tokens", "word", "--hidden-size", "4", "--embedding-size", "4")
    assert recurra(*given, *small, "--optimizer", "sgd", "--schedule", "linear", "--out", "first")[0] == 0
    first = package.load("first")
    assert (first.optimizer, first.schedule) == ("sgd", "linear")
    further = ("--start-from", "first", "--freeze", "encoder.embedding,pooling", "--out", "second")
    assert recurra(*given, *further)[0] == 0
    second = package.load("second")
    weights = [model.network_.state_dict() for model in (first, second)]
    same = {name.partition(".")[0] for name in weights[0] if np.array_equal(weights[0][name], weights[1][name])}
    assert same == {"encoder", "pooling"}
    code, _, err = recurra(*given, "--optimizer", "adm", "--out", "third")
    assert (code, 'did you mean "adam"?' in err) == (2, True)


def own_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(output, target, reduction="none")


@pytest.mark.filterwarnings("default")
def test_a_model_with_an_own_loss_predicts_and_says_what_is_missing(recurra):
    texts, labels = zip(*(row.split(",") for row in ROWS), strict=True)
    SequenceClassifier(hidden_size=3, epochs=1, verbose=0, loss=own_loss).fit(texts, labels).save("model")
    code, out, err = recurra("predict", "model", "good film")
    assert (code, "probability" in out) == (0, True)
    assert err.startswith("warning: the model was trained with loss=")
    assert "UserWarning" not in err
