"""Service of language models."""

from __future__ import annotations

import msgspec
import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.tasks.serving.service import InputError


@pytest.mark.parametrize("top", [1, 5, 100])
def test_the_command_line_gives_the_same_answers(top):
    language, texts = model("running text"), ["a cat", "", "the"]
    service = language.service()
    found = service.answers(service.parse(texts), service.Options(top=top))
    assert list(task_module("generate").predict(language, texts, PredictOptions(top=top))) == found
    for best, row in zip(language.top(texts, k=top), found, strict=True):
        assert row["next"] == best[0][0]
        assert len(row) == 2 * top


def test_labels():
    service = model("labelled texts").service()
    found = service.answers(service.parse(["a", {"text": "a", "condition": "pos"}, {"text": "a"}]), service.Options())
    assert found[0] == found[2] != found[1]
    expected = task_module("generate").predict(model("labelled texts"), ["a"], PredictOptions(condition="pos"))
    assert [found[1]] == list(expected)
    assert service.about()["labels"] == ["neg", "pos"]


@pytest.mark.parametrize(
    ("kind", "value", "path", "message"),
    [
        ("labelled texts", {"text": "a", "condition": "good"}, ("condition",), "is one of neg, pos"),
        ("labelled texts", {"text": "a", "condition": ["pos"]}, ("condition",), "not a list"),
        ("labelled texts", {"condition": "pos"}, (), 'has no "text"'),
        ("labelled texts", {"text": 1}, ("text",), "an input is a text, not a number"),
        ("labelled texts", {"text": "a", "label": "pos"}, (), "unknown key 'label'"),
        ("running text", {"text": "a", "condition": "pos"}, ("condition",), "not known to this model"),
    ],
)
def test_labelled_texts_are_checked(kind, value, path, message):
    with pytest.raises(InputError, match=message) as caught:
        model(kind).service().parse([value])
    assert caught.value.path == ("inputs", 0, *path)


@pytest.mark.parametrize("top", [0, 10_001, "5", 1.5])
def test_top_is_checked(top):
    with pytest.raises(msgspec.ValidationError, match=r"\$\.top"):
        msgspec.convert({"top": top}, model("running text").service().Options)
