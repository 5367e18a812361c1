"""Networks that no memory holds are refused before they are built."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recurra import Forecaster, LanguageModel, SequenceClassifier, SequenceTagger
from recurra.errors import UsageError
from recurra.tasks import size

TEXTS, LABELS = ["a b", "b c"] * 20, ["x", "y"] * 20


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (SequenceClassifier(hidden_size=60_000), (TEXTS, LABELS)),
        (SequenceClassifier(hidden_size=20_000, num_layers=40, cell="gru"), (TEXTS, LABELS)),
        (SequenceTagger(hidden_size=60_000), (TEXTS, [["t", "u"]] * 40)),
        (LanguageModel(hidden_size=60_000), (TEXTS,)),
        (Forecaster(hidden_size=60_000, horizon=2, context=4), (np.arange(60.0) % 7,)),
    ],
)
def test_networks_beyond_the_memory_are_refused_at_once(estimator, data):
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"the network would have [\d,]+ weights.*\nChoose a smaller hidden_size"):
        estimator.set_params(verbose=0).fit(*data)
    assert time.monotonic() - start < 20


def test_the_limit_is_the_memory_of_the_machine(monkeypatch, tmp_path):
    assert 1 << 28 < size.memory_of_machine() < 1 << 50
    (tmp_path / "max").write_text("12345\n")
    monkeypatch.setattr(size, "_LIMIT", tmp_path / "max")
    assert size.memory_of_machine() == 12345
    (tmp_path / "max").write_text("max\n")
    assert size.memory_of_machine() > 1 << 28
    monkeypatch.setattr(size, "memory_of_machine", lambda: 1000)
    with pytest.raises(UsageError, match="this machine has 0 GB"):
        SequenceClassifier(hidden_size=4, verbose=0).fit(TEXTS, LABELS)
