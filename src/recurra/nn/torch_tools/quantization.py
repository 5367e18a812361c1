"""Makes torch.ao.quantization accept our layers. It compares exact types and would silently skip them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .dynamo import when_imported

_MODULE = "torch.ao.quantization.quantize"


def admit(classes: Mapping[type, type], restore: Callable[[Any], Any]) -> None:
    """Makes torch quantize modules of these classes as the classes of torch to which they are mapped.

    Both kinds of classes may be given to torch as those to quantize.

    Args:
        classes: our classes, each to torch's.
        restore: turns a module of ours into torch's.
    """
    when_imported(_MODULE, lambda module: _patch(module, classes, restore))


def _patch(quantize: Any, classes: Mapping[type, type], restore: Callable[[Any], Any]) -> None:
    original_type, original_swap = quantize.type_before_parametrizations, quantize.swap_module
    original_propagate = quantize.propagate_qconfig_

    def type_before_parametrizations(module: Any) -> type:
        found = original_type(module)
        return classes.get(found, found)

    def swap_module(mod: Any, mapping: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = getattr(mod, "qconfig", None) is not None and type_before_parametrizations(mod) in mapping
        if chosen and original_type(mod) in classes:
            restore(mod)  # it is converted next
        return original_swap(mod, mapping, *args, **kwargs)

    def propagate_qconfig_(module: Any, qconfig_dict: Any = None, *args: Any, **kwargs: Any) -> None:
        named = {classes.get(key, key): value for key, value in (qconfig_dict or {}).items()}
        original_propagate(module, named, *args, **kwargs)

    quantize.type_before_parametrizations, quantize.swap_module = type_before_parametrizations, swap_module
    quantize.propagate_qconfig_ = propagate_qconfig_
