"""Service of translators."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.errors import UsageError

TEXTS = ["good day", "", "bad night", "day"]


@pytest.mark.parametrize("given", [{}, {"beam": 1}, {"n_best": 3}, {"beam": 2, "n_best": 3}, {"n_best": 1}])
def test_the_command_line_gives_the_same_rows(given):
    translator = model("translations")
    service = translator.service()
    answers = service.answers(service.parse(TEXTS), service.Options(**given))
    rows = [{"row": i, **row} for i, answer in enumerate(answers, 1) for row in service.rows(answer)]
    beam_size = translator.beam_size
    try:
        assert list(task_module("translate").predict(translator, TEXTS, PredictOptions(**given))) == rows
    finally:
        translator.set_params(beam_size=beam_size)
    assert [answer["translation"] for answer in answers] == [
        found[0].text
        for found in translator.candidates(TEXTS, max(given.get("beam", beam_size), given.get("n_best", 1)))
    ]


def test_beams_of_requests_do_not_meet():
    service = model("translations").service()
    items = service.parse(TEXTS)
    options = [service.Options(beam=beam, n_best=beam) for beam in (1, 2, 5)] * 5
    expected = [service.answers(items, some) for some in options]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda some: service.answers(items, some), options)) == expected
    assert [len(answer[0]["candidates"]) for answer in expected[:2]] == [1, 2]


@pytest.mark.parametrize("options", [{"beam": 0}, {"beam": 1001}, {"n_best": 0}, {"n_best": True}])
def test_options_are_checked(options):
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{next(iter(options))}"):
        msgspec.convert(options, model("translations").service().Options)


def test_a_translator_has_no_steps():
    with pytest.raises(UsageError, match=r"reads the whole text before it writes .*; send texts to predict"):
        model("translations").service().stepper()
