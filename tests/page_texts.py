"""The texts of pages in two languages."""

from __future__ import annotations

import re


def both_languages(source: str) -> list[dict[str, str]]:
    """Returns the texts of a module by their keys, as JSON."""
    ((en, ko),) = re.findall(r"\n  en: \{(.*?)\n  \},\n  ko: \{(.*?)\n  \},\n", source, re.DOTALL)
    return [dict(re.findall(r'(?:\s|")(\w[\w ]*?)"?: ("(?:[^"\\]|\\.)*")', part)) for part in (en, ko)]
