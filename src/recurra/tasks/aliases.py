"""Old names of parameters and attributes. They work, with a DeprecationWarning."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

PARAMETERS = {"watch": "health_checks"}
"""New names of parameters by their old names."""


def renamed(params: dict[str, Any], stacklevel: int = 3) -> dict[str, Any]:
    """Returns parameters under their new names, and warns about old ones."""
    for old in params.keys() & PARAMETERS.keys():
        warnings.warn(f"{old} is now {PARAMETERS[old]}", DeprecationWarning, stacklevel=stacklevel)
    return {PARAMETERS.get(name, name): value for name, value in params.items()}


def alias(old: str, new: str) -> Any:
    """Returns the property for the old name of an attribute."""

    def warn() -> None:
        warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)

    def read(self: Any) -> Any:
        warn()
        return getattr(self, new)

    def write(self: Any, value: Any) -> None:
        warn()
        setattr(self, new, value)

    return property(read, write, doc=f"Deprecated name of `{new}`.")


class RenamingType(type):
    """Type of the estimators' classes. Their constructors accept the old names of parameters."""

    if not TYPE_CHECKING:  # a type checker would no longer check the arguments

        def __call__(cls, *args: Any, **params: Any) -> Any:
            """Makes an estimator."""
            return super().__call__(*args, **renamed(params))

    @property
    def __signature__(cls) -> inspect.Signature:
        found = inspect.signature(cls.__init__)
        return found.replace(parameters=list(found.parameters.values())[1:])
