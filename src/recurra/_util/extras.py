"""Packages that are installed with an extra, such as `recurra[serve]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recurra.errors import UsageError


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Explains how to install what a block of imports lacks.

    Args:
        extra: name of the extra.
        what: what needs the packages of the extra, as the subject of a sentence.

    Raises:
        UsageError: a package of others is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("recurra"):
            raise
        raise UsageError(f"{what} needs {error.name}: pip install 'recurra[{extra}]'") from None
