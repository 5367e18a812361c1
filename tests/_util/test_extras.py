"""A missing package of an extra."""

from __future__ import annotations

from importlib import import_module

import pytest

from recurra._util.extras import needs_extra
from recurra.errors import UsageError


@needs_extra("serve", "the test")
def fail(module: str) -> None:
    import_module(module)
    raise KeyError


def test_a_missing_package_is_explained():
    with pytest.raises(UsageError, match=r"^the test needs no_such_package: pip install 'recurra\[serve\]'$"):
        fail("no_such_package")


@pytest.mark.parametrize(("module", "kind"), [("recurra.no_such_module", ModuleNotFoundError), ("json", KeyError)])
def test_other_errors_are_passed_on(module, kind):
    with pytest.raises(kind):
        fail(module)
