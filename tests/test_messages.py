"""The Korean catalogue has an entry for each text of the command line, and no others.

`RECURRA_UPDATE=1 pytest tests/test_messages.py` adds new texts to `recurra.po` with an empty translation, removes those
that no longer exist, and compiles the file. The translations are written by hand.
"""

from __future__ import annotations

import os
from string import Formatter

import polib
import pytest

from message_templates import templates
from recurra._util.catalogue import FOLDER

PO = FOLDER / "ko" / "LC_MESSAGES" / "recurra.po"


def key(entry: polib.POEntry) -> str:
    return f"{entry.msgctxt}\4{entry.msgid}" if entry.msgctxt else entry.msgid


def places(text: str) -> list[str]:
    """The values that a template contains, by their position."""
    fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
    return sorted(field or str(i) for i, field in enumerate(fields))


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    catalogue = polib.pofile(str(PO), wrapwidth=119)
    if os.environ.get("RECURRA_UPDATE") == "1":
        wanted, known = templates(), {key(entry): entry for entry in catalogue}
        for name in known.keys() - wanted:
            catalogue.remove(known[name])
        for name in wanted - known.keys():
            context, _, text = name.rpartition("\4")
            catalogue.append(polib.POEntry(msgid=text, msgctxt=context or None))
        catalogue.sort(key=key)
        whole = PO.with_suffix(f".{os.getpid()}")  # pytest may run several processes, which read the file
        for save, to in ((catalogue.save, PO), (catalogue.save_as_mofile, PO.with_suffix(".mo"))):
            save(str(whole))
            whole.replace(to)
    return catalogue


def test_every_text_has_a_translation(catalogue):
    known = {key(entry): entry.msgstr for entry in catalogue}
    assert sorted(templates() - {name for name, text in known.items() if text}) == [], (
        "see docs/contributing/messages.md"
    )
    assert sorted(known.keys() - templates()) == []


def test_translations_have_the_same_values(catalogue):
    for entry in catalogue:
        assert places(entry.msgid) == places(entry.msgstr), entry.msgid
        entry.msgstr.format(*["value"] * 12)


def test_the_compiled_catalogue_is_up_to_date(catalogue):
    assert PO.with_suffix(".mo").read_bytes() == catalogue.to_binary()
