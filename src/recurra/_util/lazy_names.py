"""`__getattr__` of packages: names that are imported at first use, and names of earlier versions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any


def at_first_use(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package whose names are imported at first use.

    Args:
        package: name of the package.
        places: place of each name, relative to the package: `".module"`, or `".module:attribute"`.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return resolve_name(package + places[name])

    return find


def earlier_names(
    package: str, places: Mapping[str, str], adapters: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package that finds names of earlier versions, with a warning.

    Args:
        package: name of the package.
        places: place of what replaces each name, as for `at_first_use`; `":attribute"` for the package itself.
        adapters: functions with the arguments of earlier versions, by name.
    """
    find = at_first_use(package, places)

    def find_earlier(name: str) -> Any:
        found = adapters[name] if name in adapters else find(name)
        new = (package + places[name]).replace(":", ".")
        warnings.warn(f"{package}.{name} is now {new}", DeprecationWarning, stacklevel=2)
        return found

    return find_earlier
