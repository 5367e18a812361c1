"""Both sides against one and against none, on real English text."""

from __future__ import annotations

import pytest

from recurra import BlankFiller

pytestmark = pytest.mark.data


def test_both_sides_beat_one_side_and_frequency(data_dir):
    texts = {
        name: (data_dir / "wikitext2" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        for name in ("valid", "test")
    }
    options = {"epochs": 2, "validation_fraction": 0.0, "verbose": 0}
    both, forward = (
        BlankFiller(direction=direction, **options).fit(texts["valid"]).evaluate(texts["test"][:1500])
        for direction in ("both", "forward")
    )
    for figure in ("top1", "top5"):
        assert both[figure] > forward[figure] + 0.03
        assert forward[figure] > both[f"unigram_{figure}"] + 0.03
    assert both["top1"] > 0.25
    assert both["perplexity"] < forward["perplexity"] < both["unigram_perplexity"]
