"""The palette: it exists once, and lines differ in colour and marker."""

from __future__ import annotations

from pathlib import Path

import recurra
from recurra._util import plotting

SOURCE = Path(recurra.__file__).parent
INK = {"#1d2430"}  # also the text colour of the page


def test_no_other_file_holds_a_colour_of_the_palette():
    gates = [colour.lower() for colours in plotting.GATES_AND_STATES.values() for colour in colours.values()]
    cells = [colour.lower() for colour, _ in (*plotting.PALETTE, plotting.GREY)]
    files = [p for p in SOURCE.rglob("*") if p.suffix in (".py", ".js") and p != Path(plotting.__file__)]
    texts = {path: path.read_text(encoding="utf-8").lower() for path in files}
    assert len(texts) > 100
    assert [(p.name, c) for c in {*gates, *cells} - INK for p, text in texts.items() if c in text] == []


def test_lines_and_gates_differ_in_colour():
    for values in zip(*plotting.PALETTE, plotting.GREY, strict=True):
        assert len(set(values)) == len(plotting.PALETTE) + 1
    for colours in plotting.GATES_AND_STATES.values():
        for gates in (
            ("input", "forget", "candidate", "output", "hidden", "cell"),
            ("reset", "update", "candidate", "hidden"),
        ):
            assert len({colours[name] for name in gates}) == len(gates)
    assert plotting.GATES_AND_STATES["light"].keys() == plotting.GATES_AND_STATES["dark"].keys()
