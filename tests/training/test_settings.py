"""Settings and results of a run."""

from __future__ import annotations

import dataclasses

import pytest

from recurra.training.settings import Run, Settings


@pytest.mark.parametrize("value", [Settings(), Run([], 0, False, False)], ids=lambda value: type(value).__name__)
def test_settings_and_runs_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
