"""Service of transcribers."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.errors import UsageError

DIGITS = Path(__file__).parents[3] / "src/recurra/data/samples/audio/digits"
FILES = [DIGITS / "3_yweweler_5.flac", DIGITS / "7_yweweler_0.flac"]


@pytest.mark.parametrize("given", [{}, {"beam": 3, "length_bonus": 2.0}, {"timestamps": True}])
def test_the_command_line_gives_the_same_answers(given):
    transcriber = model("speech")
    service = transcriber.service()
    inputs = [base64.b64encode(file.read_bytes()).decode() for file in FILES]
    found = service.answers(service.parse(inputs), service.Options(**given))
    before = transcriber.get_params()
    try:
        rows = [
            row
            for file in FILES
            for row in task_module("transcribe").predict(transcriber, str(file), PredictOptions(**given))
        ]
    finally:
        transcriber.set_params(beam_size=before["beam_size"], length_bonus=before["length_bonus"])
    assert rows == [{"file": file.name, **answer} for file, answer in zip(FILES, found, strict=True)]
    assert ("tokens" in found[0]) == given.get("timestamps", False)


def test_beams_of_requests_do_not_meet():
    service = model("speech").service()
    items = service.parse([service.example()])
    options = [service.Options(beam=beam, length_bonus=bonus) for beam, bonus in ((1, 0.0), (4, 0.0), (4, 9.0))] * 5
    expected = [service.answers(items, some) for some in options]
    assert len(expected[2][0]["text"]) > len(expected[0][0]["text"])
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda some: service.answers(items, some), options)) == expected


@pytest.mark.parametrize("options", [{"beam": 0}, {"beam": 2.5}, {"length_bonus": 1e9}, {"timestamps": "yes"}])
def test_options_are_checked(options):
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{next(iter(options))}"):
        msgspec.convert(options, model("speech").service().Options)


def test_a_transcriber_has_no_steps():
    with pytest.raises(UsageError, match="a whole recording; send recordings to predict"):
        model("speech").service().stepper()
