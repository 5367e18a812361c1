"""The language in which the command line writes. The code and its exceptions contain English texts.

`translated` is called where a text is shown to a person. In English it returns the text unchanged, and no catalogue is
loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

LANGUAGES = ("en", "ko")

_translate: Callable[[str, str], str] | None = None


def language_of_environment() -> str:
    """Returns the language that the environment names, by the rules of gettext; English if there is no catalogue."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((name for name in names if name), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):  # then LANGUAGE is ignored
        return "en"
    wanted = (os.environ.get("LANGUAGE") or locale).split(":")
    codes = [name.partition(".")[0].partition("_")[0].lower() for name in wanted]
    return next((code for code in codes if code in LANGUAGES), "en")


def use_language(name: str) -> None:
    """Selects the language of this process.

    Args:
        name: one of `LANGUAGES`.
    """
    global _translate
    _translate = None
    if name != "en":
        _translate = _catalogue(name)


def is_english() -> bool:
    """Returns whether texts are shown as they are in the code."""
    return _translate is None


@cache
def _catalogue(name: str) -> Callable[[str, str], str]:
    from .catalogue import Catalogue

    return Catalogue.of(name).translate


def translated_to(name: str, text: str) -> str:
    """Returns a message in a language, whichever is selected; the text itself if the catalogue does not contain it.

    Args:
        name: one of `LANGUAGES`.
        text: a message of the code, also with values in it.
    """
    return text if name == "en" else _catalogue(name)(text, "")


def translated(text: str, context: str = "") -> str:
    """Returns a text in the selected language; the text itself if the catalogue does not contain it.

    Args:
        text: a text of the code, also with values in it.
        context: where the text is shown, if it may also be a text of the user: `"table"` for the headings and the
            first column of a table, `"cell"` for its other cells, `"answer"` for yes and no, `"panel"` for the groups
            of options in the help.
            Single words are translated only there, because elsewhere they may be names of columns in the data.
    """
    return text if _translate is None else _translate(text, context)
