"""Griffe extension: reads the section `Example:` of docstrings as code, which griffe does for `Examples:` only."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension


class Examples(Extension):
    """Renames the section."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called for every object that griffe has read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
