"""Language models on a real text: tiny Shakespeare, its last tenth held out."""

from __future__ import annotations

import pytest

from recurra import LanguageModel

pytestmark = pytest.mark.data


def test_one_pass_over_tiny_shakespeare(data_dir):
    text = (data_dir / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    assert len(text) == 1_115_394
    cut = len(text) * 9 // 10
    model = LanguageModel(epochs=1, learning_rate=0.01, embedding_size=64, verbose=0)
    model.fit(text[:cut], validation_data=(text[cut:],))
    found = model.evaluate(text[cut:])
    assert found["n"] == len(text) - cut
    assert found["loss"] < 2.15  # a table of pairs of characters has about 2.5
    written = model.generate("ROMEO:\n", 500, seed=0)
    known = set(text[:cut].split())
    words = written.split()
    assert sum(word in known for word in words) > 0.5 * len(words)
