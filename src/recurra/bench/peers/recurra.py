"""Our own layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra import nn
from recurra.bench.cases import Case, Numbers
from recurra.ops.native import bindings

from . import torch as pytorch

WEIGHTS = {"float32 session": None, "bfloat16 session": torch.bfloat16, "int8 session": torch.int8}


class Peer(pytorch.Peer):
    """Like torch's peer; streams use `layer.step` and sessions."""

    layers = nn

    def refuses(self, case: Case) -> str | None:
        """Reason why this version of Recurra or this processor cannot run a case, or None."""
        needed = "session" if case.mode in WEIGHTS else case.mode
        if needed in ("session", "step") and not hasattr(getattr(nn, case.cell), needed):
            return f"the layers of this version have no {needed}"
        if case.trains and case.halves and not (bindings.engine and bindings.engine.bf16_engine()):
            return "products of bfloat16 are not faster on this processor"
        return None

    def _layer(self, case: Case, given: Numbers) -> torch.nn.Module:
        layer = super()._layer(case, given)
        if case.trains and case.halves:
            layer.precision = "bfloat16"  # type: ignore[assignment]
        return layer

    def _stream(self, layer: Any, x: Tensor, case: Case) -> Callable[[], Any]:
        x_t = x[0]
        if case.mode in WEIGHTS:
            weights = WEIGHTS[case.mode]
            session = layer.session() if weights is None else layer.session(weights=weights)
            return lambda: (session.step(x_t)[None],)
        if not hasattr(layer, "step"):
            return super()._stream(layer, x, case)
        state: Any = None

        def call() -> Any:
            nonlocal state
            y_t, state = layer.step(x_t, state)
            return (y_t,)

        return call
