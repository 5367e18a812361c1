"""Makes torch.compile accept our layers, because it refuses subclasses of torch's recurrent layers.

torch's compiler is heavy and most programs never load it, so nothing is done until it is imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

_BUILDER = "torch._dynamo.variables.builder"


def admit(classes: tuple[type, ...]) -> None:
    """Makes `torch.compile` look inside modules of these classes, now or as soon as it is imported."""
    when_imported(_BUILDER, lambda module: _patch(module, classes))


def when_imported(name: str, then: Callable[[Any], None]) -> None:
    """Calls a function with a module, now or as soon as it is imported."""
    if name in sys.modules:
        then(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Watch(name, then))


def _patch(builder: Any, classes: tuple[type, ...]) -> None:
    original = builder.VariableBuilder.wrap_module

    def wrap_module(self: Any, value: Any) -> Any:
        if not isinstance(value, classes):
            return original(self, value)
        with builder.config.patch(allow_rnn=True):
            return original(self, value)

    builder.VariableBuilder.wrap_module = wrap_module


class _Watch:
    """Calls a function with a module right after its import."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute, then = spec.loader.exec_module, self._then

            def exec_module(module: Any) -> None:
                execute(module)
                then(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
