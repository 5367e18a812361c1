"""Service of blank fillers."""

from __future__ import annotations

import msgspec
import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.errors import UsageError
from recurra.tasks.serving.service import InputError

TEXTS = ["the [ ] drinks  milk", "a cat ___ water"]


@pytest.mark.parametrize("given", [{}, {"top": 2}, {"marks": True}])
def test_the_command_line_gives_the_same_answers(given):
    filler = model("blanks")
    service = filler.service()
    found = service.answers(service.parse(TEXTS), service.Options(**given))
    assert list(task_module("fill").predict(filler, TEXTS, PredictOptions(**given))) == found
    assert [row["text"] for row in found] == [filling.text for filling in filler.predict(TEXTS, **given)]


def test_candidates():
    filler = model("blanks")
    service = filler.service()
    options = msgspec.convert({"choices": ["cat", "dog"]}, service.Options)
    found = service.answers(service.parse(TEXTS), options)
    assert list(task_module("fill").predict(filler, TEXTS, PredictOptions(choices="cat, dog"))) == found
    assert found[0]["text"] == f"the {found[0]['choice']} drinks  milk"
    assert {choice["choice"] for choice in found[0]["choices"]} == {"cat", "dog"}


@pytest.mark.parametrize(
    ("value", "message"),
    [("no blank", "there is no blank"), ("", "the text is empty"), ("[ ]", "nothing but blanks"), ("[ ] a" * 21, "21")],
)
def test_texts_without_blanks_are_refused(value, message):
    with pytest.raises(InputError, match=message) as caught:
        model("blanks").service().parse(["a [ ]", value])
    assert caught.value.path == ("inputs", 1)


@pytest.mark.parametrize("options", [{"top": 0}, {"choices": []}, {"choices": "cat"}, {"marks": 1}])
def test_options_are_checked(options):
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{next(iter(options))}"):
        msgspec.convert(options, model("blanks").service().Options)


def test_an_unknown_candidate_is_refused():
    service = model("blanks").service()
    with pytest.raises(UsageError, match="the candidate 'zebra' is not in the model's vocabulary"):
        service.answers(service.parse(TEXTS), service.Options(choices=("cat", "zebra")))


def test_a_blank_filler_has_no_steps():
    with pytest.raises(UsageError, match="both sides of a blank; send whole texts to predict"):
        model("blanks").service().stepper()
