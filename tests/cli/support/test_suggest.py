"""Suggestions of the command line for unknown commands and options."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("command", "suggested"),
    [
        (["fitt"], "'fit'"),
        (["fit", "clasify"], "'classify'"),
        (["lab", "vanish"], "'vanishing'"),
        (["fit", "classify", "x.csv", "--hiden-size", "8"], "--hidden-size"),
        (["--versoin"], "--version"),
        (["zebra"], None),
        (["fit", "classify", "x.csv", "--lr", "1"], None),
        (["fit", "classify", "x.csv", "--text", "a"], None),
        (["bench", "--foo"], None),
    ],
)
def test_only_similar_commands_and_options_are_suggested(recurra, command, suggested):
    code, out, err = recurra(*command)
    assert (code, out) == (2, "")
    assert "No such" in err
    if suggested is None:
        assert "Did you mean" not in err
        assert "Possible" not in err
    else:
        assert suggested in err
