"""Models and pages for the tests of the report."""

from __future__ import annotations

import json
import re

import torch

from recurra import nn
from recurra.inspect import Subject
from recurra.inspect.core.subject import Plain

WORDS = ["이", "영화", "정말", "재미", "없다", "</script><b>&", " "]

ENGLISH = """
(() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), words = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const { parentElement: parent } = node;
    if (!parent.closest("script, noscript, pre, h1, .chip, .axis, .tools, .brand, b, i, [data-step], option[value]"))
      words.push(...(node.textContent.match(/[A-Za-z]{3,}/g) ?? []));
  }
  for (const element of document.body.querySelectorAll("[aria-label]"))
    words.push(...(element.getAttribute("aria-label").match(/[A-Za-z]{3,}/g) ?? []));
  return words;
})()
"""
"""Script that collects the English words of a page, without the texts of the user and names."""


def words_subject(kind: str = "LSTM", **options) -> Subject:
    """A layer that reads words, as an estimator would hand it over."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 6, batch_first=True, **options)
    batch = Plain(torch.randn(1, len(WORDS), 3), None)
    return Subject(
        layer,
        batch,
        lambda batch: layer(batch.values)[0],
        lambda output: output[:, -1].sum(-1),
        steps=[WORDS],
        answers=["bad <i>(90 %)</i>"],
        notes=["the model does not know 'x': read as unknown tokens"],
        title="Sequence classifier",
    )


def read_page(path) -> dict:
    """The data of a page."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])
