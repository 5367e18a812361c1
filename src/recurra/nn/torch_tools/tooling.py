"""How layers of Recurra meet the tools of torch: `print`, torch.fx and torch.jit.script."""

from __future__ import annotations

from typing import Any

from torch.fx import Proxy
from torch.nn.utils.parametrize import type_before_parametrizations

from recurra.errors import EngineError, UsageError

OPTIONS: dict[str, Any] = {
    "engine": "auto",
    "memory": "full",
    "precision": "float32",
    "weight_dropout": 0,
    "recurrent_dropout": 0,
    "recurrent_dropout_per": "sequence",
    "zoneout": 0,
}
"""The options that layers have beside those of torch, with their defaults."""


class Tooling:
    """Base of every layer: prints it, makes it one node of a graph, and says what torch.jit.script needs."""

    unscripted = "use torch.jit.trace, torch.compile or torch.export"

    def __prepare_scriptable__(self) -> Any:
        raise EngineError(f"torch.jit.script cannot compile {self._get_name()}; {self.unscripted}")

    def _get_name(self) -> str:
        """Returns the name of the class for `print(model)`, which otherwise shows our layers as torch's."""
        name = type(self).__name__
        ours = type_before_parametrizations(self).__module__.startswith("recurra.nn.")  # type: ignore[arg-type]
        return f"recurra.nn.{name}" if ours else name

    def _traced(self, *arguments: Any, **options: Any) -> Any:
        """Adds one node to the graph of torch.fx, as for torch's own layers; returns None outside of torch.fx.

        Args:
            *arguments: positional arguments of the call.
            **options: further arguments; those that are None are left out.

        Raises:
            UsageError: the layer itself is traced.
        """
        given = [*arguments, *options.values()]
        parts = [part for value in given for part in (value if isinstance(value, tuple | list) else (value,))]
        tracer: Any = next((part.tracer for part in parts if isinstance(part, Proxy)), None)
        if tracer is None:
            return None
        if tracer.root is self:
            raise UsageError("torch.fx cannot trace a recurrent layer alone; trace a model that contains it")
        options = {name: value for name, value in options.items() if value is not None}
        return tracer.create_proxy("call_module", tracer.path_of_module(self), arguments, options)


def changed_options(layer: Any) -> str:
    """Returns the options of a layer that are not the defaults, for `print(model)`.

    Example:
        >>> from recurra import nn
        >>> changed_options(nn.GRU(3, 4, memory="recompute")), changed_options(nn.GRU(3, 4))
        (", memory='recompute'", '')
    """
    values = {name: getattr(layer, name) for name in OPTIONS}
    return "".join(f", {name}={value!r}" for name, value in values.items() if value != OPTIONS[name])
