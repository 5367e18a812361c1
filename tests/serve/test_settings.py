"""Settings of the server refuse values that cannot work."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from recurra.errors import UsageError
from recurra.serve.settings import Settings, limits

NUMBERS = {name: (kind, limit) for name, (kind, limit) in limits().items() if kind in (int, float)}


def test_every_setting_has_a_description_and_a_default():
    assert set(limits()) == {field.name for field in fields(Settings)}
    assert [name for name, (_, limit) in limits().items() if not limit.text.endswith(".")] == []
    assert [name for name, (_, limit) in NUMBERS.items() if not limit.unit] == []


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_have_a_range(name):
    _, limit = NUMBERS[name]
    for value in (limit.least - 1, limit.most * 2 + 1, float("nan"), "3", True):
        with pytest.raises(UsageError, match=name):
            replace(Settings(), **{name: value})
    replace(Settings(), **{name: limit.least})


def test_whole_numbers_are_whole():
    with pytest.raises(UsageError, match="max_batch is a whole number of sequences"):
        Settings(max_batch=1.5)  # type: ignore[arg-type]
    assert Settings(idle=3).idle == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("durability", "always"),
        ("origins", ("example.org",)),
        ("allowed_hosts", ("https://example.org",)),
        ("allowed_hosts", ("a:8000",)),
        ("open_page", "yes"),
    ],
)
def test_other_settings_are_checked(name, value):
    with pytest.raises(UsageError, match=name):
        replace(Settings(), **{name: value})


def test_origins():
    assert Settings(origins=("https://example.org", "http://localhost:3000")).origins[1] == "http://localhost:3000"
