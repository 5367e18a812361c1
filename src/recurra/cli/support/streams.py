"""Handles standard output and standard error that cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from recurra.errors import RecurraError


@contextmanager
def checked() -> Iterator[None]:
    """Handles errors of the standard streams inside the block.

    Output: the command stops. If the reader has gone, as in `recurra predict … | head`, it ends with code 0; everything
    else, such as a full disk, is an error. Messages on standard error are dropped, so that they do not end a long run.

    Raises:
        RecurraError: standard output cannot be written.
    """
    with redirect_stdout(_Stream(sys.stdout, _stop)), redirect_stderr(_Stream(sys.stderr, lambda error: None)):
        try:
            yield
        finally:
            sys.stdout.flush()


def _stop(error: OSError) -> None:
    if error.errno == errno.EPIPE:
        raise SystemExit(0)
    raise RecurraError(f"standard output cannot be written: {error.strerror or error}")


class _Stream:
    """A text stream that passes its errors to a function, and its first error again at every later call."""

    def __init__(self, inner: TextIO | None, on_error: Callable[[OSError], None]) -> None:
        # None: closed by the shell, as in `recurra predict … >&-`
        self._error = OSError(errno.EBADF, os.strerror(errno.EBADF)) if inner is None else None
        self._inner = inner or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        self._on_error = on_error

    def write(self, text: str) -> int:
        return 0 if text == "" else self._call("write", text)  # an empty text would be an error on some devices

    def flush(self) -> None:
        self._call("flush")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _call(self, name: str, *arguments: str) -> Any:
        if self._error is None:
            try:
                return getattr(self._inner, name)(*arguments)
            except OSError as error:
                self._error = error
                self._discard_buffer()
        elif name == "flush":  # nothing was written since
            return None
        self._on_error(self._error)
        return 0

    def _discard_buffer(self) -> None:
        """Discards the buffer. Python would try to write it again at exit."""
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, self._inner.fileno())
        os.close(handle)
