"""Ranges of units and steps in options."""

from __future__ import annotations

from recurra.errors import UsageError


def units_of(text: str) -> list[int] | slice:
    """Parses the option `--units`.

    Example:
        >>> units_of("3,5,9"), units_of("0:16")
        ([3, 5, 9], slice(0, 16, None))
    """
    if ":" in text:
        return slice_of("--units", text)
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--units takes 0:16 or 3,5,9, not {text!r}") from None


def slice_of(option: str, text: str) -> slice:
    """Parses an option such as `A:B`.

    Example:
        >>> slice_of("--time", "2:5")
        slice(2, 5, None)
    """
    parts = text.split(":")
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError
        return slice(*[int(part) if part.strip() else None for part in parts])
    except ValueError:
        raise UsageError(f"{option} takes A:B, such as 0:100, not {text!r}") from None
