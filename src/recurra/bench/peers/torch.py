"""torch.nn's layers, as a PyTorch user calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.bench.cases import Case, Numbers, numbers

from . import base


class Peer(base.Peer):
    """Training by autograd, inference without gradients; a stream feeds the returned state back."""

    # all in float32
    modes = (
        "training",
        "bfloat16 training",
        "inference",
        "call",
        "step",
        "float32 session",
        "bfloat16 session",
        "int8 session",
    )
    layers: Any = torch.nn

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    def prepare(self, case: Case) -> base.Ready:
        """Builds a layer with the weights of the case, and a call on its input."""
        given = numbers(case)
        layer = self._layer(case, given)
        x = torch.from_numpy(given.x)
        if case.trains:
            return self._training(layer, x.requires_grad_(), torch.from_numpy(given.grad))
        call = self._stream(layer, x, case) if case.streams else lambda: layer(x)
        return base.Ready(call, _output, torch.no_grad)

    def _layer(self, case: Case, given: Numbers) -> torch.nn.Module:
        layer = getattr(self.layers, case.cell)(case.hidden, case.hidden)
        layer.load_state_dict({f"{name}_l0": torch.from_numpy(w) for name, w in given.weights.items()})
        return layer.train(case.trains)

    def _training(self, layer: torch.nn.Module, x: Tensor, grad: Tensor) -> base.Ready:
        named = {"input": x, **{name.removesuffix("_l0"): weight for name, weight in layer.named_parameters()}}
        inputs = list(named.values())

        def call() -> tuple[Tensor, ...]:
            output, _ = layer(x)
            return (output, *torch.autograd.grad(output, inputs, grad))

        def results(found: tuple[Tensor, ...]) -> dict[str, Any]:
            grads = zip(named, found[1:], strict=True)
            return {"output": found[0].detach().numpy(), **{f"gradient of {name}": g.numpy() for name, g in grads}}

        return base.Ready(call, results)

    def _stream(self, layer: Any, x: Tensor, case: Case) -> Callable[[], Any]:
        state: Any = None

        def call() -> Any:
            nonlocal state
            output, state = layer(x, state)
            return output, state

        return call


def _output(found: Any) -> dict[str, Any]:
    return {"output": found[0].float().numpy()}
