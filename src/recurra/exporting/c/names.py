"""Names and texts in C: identifiers, string literals and comments."""

from __future__ import annotations

import re
import unicodedata


def identifier(name: str) -> str:
    """Returns a C identifier for the name of a file; it is the prefix of all names in the file.

    Example:
        >>> identifier("gesture model-2"), identifier("3d"), identifier("제스처")
        ('gesture_model_2', 'model_3d', 'model')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:40].strip("_")
    if not found:
        return "model"
    return found if found[0].isalpha() else f"model_{found}"


def literal(text: str) -> str:
    r"""Returns a string literal of C99 for a text in UTF-8, without trigraphs.

    Example:
        >>> print(literal('left "a"?'), literal("긍정"), literal("a\nb"))
        "left \"a\"\?" "긍정" "a\012b"
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def comment(text: str) -> str:
    r"""Returns a text that can be in a comment of C: on one line, without an end of comment and invisible characters.

    Example:
        >>> comment("a*/b\nc??/")
        'a* /b c? ?/'
    """
    text = "".join(c if c == " " or not _is_invisible(c) else " " for c in text)
    return re.sub(r"\?(?=\?)", "? ", text).replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def _escaped(character: str) -> str:
    if character in '"\\?':
        return "\\" + character
    if _is_invisible(character):
        return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "replace"))
    return character


def _is_invisible(character: str) -> bool:
    """Returns whether a character is a control or format character, or a space other than the usual one."""
    return character != " " and unicodedata.category(character)[0] in "CZ"
