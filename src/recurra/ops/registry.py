"""The engines, and everything else of `recurra.ops` that runs in C++. No other module knows the native engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from recurra.cells import State
from recurra.errors import EngineError, UsageError

from . import reference, torch_kernels
from .call_spec import CallSpec
from .native import bindings
from .native import engine as native
from .native.compiled import engine as compiled
from .stack import Stack


class FastLayer(Protocol):
    """Runs the calls of one layer with little overhead. States have the form of torch's layers.

    Each method returns `(output, states)`, or None for a call that it leaves to `Engine.run`: it checks its arguments
    itself and raises no errors for them.
    """

    def forward(
        self, parameters: Mapping[str, Tensor], values: Any, states: Any, lengths: Any, batch_first: bool, /
    ) -> Any:
        """Runs a call without gradients and without dropout."""
        ...

    def step(self, parameters: Mapping[str, Tensor], values: Any, states: Any, /) -> Any:
        """Runs one step `(batch, features)` if gradients are off."""
        ...

    def cell(self, parameters: Mapping[str, Tensor], values: Any, states: Any, /) -> Any:
        """Runs one step of a single layer if gradients are off; states `(batch, hidden)`. Returns the new states."""
        ...

    def train(
        self,
        weights: tuple[Tensor | None, ...],
        values: Any,
        states: Any,
        lengths: Any,
        *,
        batch_first: bool,
        dropout: float,
        bf16: bool,
    ) -> Any:
        """Runs a call with gradients; the weights are in the order of `Stack.named_shapes()`."""
        ...


class StepSession(Protocol):
    """Runs a stack step by step, with packed weights and its own states."""

    def step(self, values: Any, /) -> Tensor | None:
        """Runs one step; None if the values are no contiguous float32 tensor `(batch, features)`."""
        ...

    def reset(self) -> None:
        """Sets all states to zeros."""
        ...

    def read(self, states: State, /) -> None:
        """Copies the current states into contiguous tensors."""
        ...

    def write(self, states: State, /) -> None:
        """Replaces the current states."""
        ...


class Engine(Protocol):
    """Runs a stack of recurrent layers: a module, or an object with this name and these functions.

    Four more functions are optional:

    - `fast_layer(stack)` returns a `FastLayer` for the layers of `recurra.nn`, or None.
    - `record(call, values, weights, lengths, states, sizes)` runs the stack and returns the output, the last states and
      the gates and states named in `sizes`, as in `Record`; or None.
    - `open_session(stack, weights, batch, *, bf16)` returns a `StepSession`, or None. Weights in 8 bits are
      requested by `int8=True` too.
    - `describe()` returns facts for `recurra doctor` by name.

    Example:
        >>> from recurra.ops import ENGINES
        >>> [engine.name for engine in ENGINES]
        ['native', 'builtin', 'compiled', 'reference']
    """

    name: str

    def refuses(self, call: CallSpec, /) -> str | None:
        """Returns the reason why the engine cannot serve the call; None if it can."""
        ...

    def run(
        self,
        call: CallSpec,
        values: Tensor,
        weights: Sequence[Tensor],
        lengths: Tensor | None,
        states: State | None,
        /,
    ) -> tuple[Tensor, State]:
        """Runs the stack; shapes as in `recurrence`."""
        ...


ENGINES: tuple[Any, ...] = (native, torch_kernels, compiled, reference)
"""The built-in engines, fastest first; `engine="auto"` takes the first that does not refuse."""

kernels: Any = bindings
"""Single operations in C++ for dropout and attention pooling; `kernels.engine` is None if it was not built."""

_registered: dict[str, Engine] = {}


def engines() -> tuple[Any, ...]:
    """Returns the built-in engines and then the registered ones."""
    return (*ENGINES, *_registered.values())


def register_engine(engine: Engine) -> None:
    """Adds an engine, which serves the calls that name it: `engine="its name"`.

    Raises:
        UsageError: a built-in engine has the name.

    Example:
        >>> from types import SimpleNamespace
        >>> import torch
        >>> from recurra import nn, ops
        >>> from recurra.ops import reference, registry
        >>> ops.register_engine(SimpleNamespace(name="copy", refuses=reference.refuses, run=reference.run))
        >>> print(ops.explain(nn.GRU(4, 4, engine="copy"), torch.randn(3, 1, 4)))
        served by copy
        >>> del registry._registered["copy"]
    """
    if engine.name in ("auto", *(built_in.name for built_in in ENGINES)):
        raise UsageError(f"an engine cannot have the name {engine.name!r}, which is taken")
    _registered[engine.name] = engine


def candidates(engine: str) -> tuple[Any, ...]:
    """Returns the engines that may serve a call: all built-in ones for `"auto"`, else the one with the name.

    Raises:
        EngineError: no engine has the name.
    """
    if engine == "auto":
        return ENGINES
    for candidate in engines():
        if candidate.name == engine:
            return (candidate,)
    names = ", ".join(repr(e.name) for e in engines())
    raise EngineError(f"there is no engine {engine!r}; choose 'auto' or one of {names}")


class FastLayers(dict[str, Any]):
    """The `FastLayer` of a stack for each value of the parameter `engine`, None where the engine has none."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, engine: str) -> Any:
        found = self[engine] = fast_layer(self._stack, engine)
        return found

    def __reduce__(self) -> Any:
        return FastLayers, (self._stack,)  # a copy of a layer has its own packed weights


def fast_layer(stack: Stack, engine: str = "auto") -> FastLayer | None:
    """Returns what runs the calls of a layer with little overhead; None if the engine, or the first one, has none."""
    offer = getattr(candidates(engine)[0], "fast_layer", None)
    return None if offer is None else offer(stack)


def open_session(
    stack: Stack, weights: Sequence[Tensor], batch: int, *, bf16: bool, int8: bool = False, engine: str = "auto"
) -> StepSession | None:
    """Returns a session of the named engine, or else of the first built-in one that has sessions; None without any."""
    offers = [getattr(e, "open_session", None) for e in (*candidates(engine), *ENGINES)]
    rounded = {"bf16": bf16, "int8": True} if int8 else {"bf16": bf16}
    sessions = (offer(stack, weights, batch, **rounded) for offer in offers if offer is not None)
    return next((session for session in sessions if session is not None), None)
