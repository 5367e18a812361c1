"""Packages that are installed with an extra, such as `recurra[serve]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recurra.errors import RecurraError, UsageError


@contextmanager
def needs_extra(extra: str, what: str, error: type[RecurraError] = UsageError) -> Iterator[None]:
    """Explains how to install what a block of imports lacks.

    Args:
        extra: name of the extra.
        what: what needs the packages of the extra, as the subject of a sentence.
        error: class of the error to raise.

    Raises:
        RecurraError: a package of others is missing.
    """
    try:
        yield
    except ModuleNotFoundError as cause:
        if (cause.name or "").startswith("recurra"):
            raise
        raise error(f"{what} needs {cause.name}: pip install 'recurra[{extra}]'") from None
