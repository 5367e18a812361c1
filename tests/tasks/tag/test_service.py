"""Service of taggers."""

from __future__ import annotations

import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.tasks.serving.service import InputError


@pytest.mark.parametrize("proba", [False, True])
def test_the_command_line_gives_the_same_answers(proba):
    tagger, texts = model("tags"), ["Anna sleeps", "", " Ben  sings"]
    service = tagger.service()
    found = service.answers(service.parse(texts), service.Options(proba=proba))
    assert list(task_module("tag").predict(tagger, texts, PredictOptions(proba=proba))) == found
    assert [row["tags"] for row in found] == tagger.predict(texts)
    assert found[1] == {"words": [], "tags": []} | ({"confidence": []} if proba else {})
    assert found == service.answers(service.parse([text.split() for text in texts]), service.Options(proba=proba))


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (["Anna", None], (1,), "a word is a text, not null"),
        (["Anna", ["sings"]], (1,), "a word is a text, not a list"),
        ({"words": []}, (), "a sentence is a text or a list of words, not an object"),
    ],
)
def test_sentences_are_checked(value, path, message):
    with pytest.raises(InputError, match=message) as caught:
        model("tags").service().parse([value])
    assert caught.value.path == ("inputs", 0, *path)
