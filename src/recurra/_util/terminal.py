"""Writes messages for people to standard error."""

from __future__ import annotations

from rich.console import Console

from .language import translated


def say(message: str) -> None:
    """Writes a message for a person to standard error, in the language of the command line."""
    Console(stderr=True, soft_wrap=True).print(translated(message), highlight=False, markup=False)
