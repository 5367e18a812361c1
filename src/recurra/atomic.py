"""Files that are written completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recurra.errors import DataError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` when the block has ended well.

    Raises:
        DataError: `path` cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
