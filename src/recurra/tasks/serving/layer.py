"""Recurrent layers and poolings that run step by step, with the states of many sequences as named tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.nn.memoryless import Memoryless
from recurra.nn.pooling import Pooling
from recurra.ops.attention_pooling import attend_steps
from recurra.ops.mask import step_mask
from recurra.ops.reproducible import add_steps, batch_invariant, reproducible_algebra
from recurra.training.settings import choose_device

from .stepper import StateSpec

States = dict[str, Tensor]

ENGINES = ("native", "compiled")
"""Engines whose steps give the same bits as whole sequences."""


@contextmanager
def exact() -> Iterator[None]:
    """Runs its body under the conditions of predictions, so that steps give the bits of whole sequences."""
    with torch.inference_mode(), reproducible_algebra(), batch_invariant():
        yield


class StepLayer:
    """A recurrent layer that runs some steps of many sequences.

    Args:
        layer: batch-first layer in one direction.
        device: parameter `device` of the model.

    Raises:
        UsageError: the layer cannot run step by step, or not exactly.
    """

    def __init__(self, layer: Any, device: str = "cpu") -> None:
        self.layer = layer
        self._memoryless = isinstance(layer, Memoryless)
        if choose_device(device).type != "cpu":
            raise UsageError('the model runs on a GPU; sequences run step by step on the CPU only, with device="cpu"')
        if self._memoryless:
            self.specs = {"hidden": StateSpec((1, layer.hidden_size), torch.float32)}
            return
        stack = layer.stack
        if stack.bidirectional:
            raise UsageError(
                "a bidirectional model reads the whole sequence before it answers; to run step by step, "
                "train with --one-direction (bidirectional=False)"
            )
        with torch.no_grad():
            found = layer.explain(torch.zeros(1, 1, stack.input_size))
        if found.engine not in ENGINES:
            reasons = [reason for name, reason in found.refusals.items() if name in ENGINES]
            reason = reasons[-1] if reasons else f'the model was trained with engine="{layer.engine}"'
            raise UsageError(
                f"the model does not run on the engines native and compiled ({reason}); only there do steps give the "
                "same bits as whole sequences. Train with a built-in cell and --engine auto"
            )
        self.specs = {
            name: StateSpec((shape[0], shape[2]), torch.float32)
            for name, shape in zip(stack.cell.states, stack.state_shapes(1), strict=True)
        }

    def run(self, states: States, values: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
        """Runs steps.

        Args:
            states: states of the sequences by name, `(sequences, layers, units)`.
            values: `(sequences, time, features)`; steps beyond each length are ignored.
            lengths: steps of each sequence `(sequences,)`, 0 allowed.

        Returns:
            Outputs `(sequences, time, units)`, 0 beyond each length, and the new states.
        """
        if not values.shape[1]:
            hidden = states["hidden"]
            return hidden.new_zeros(len(values), 0, hidden.shape[2]), {name: states[name] for name in self.specs}
        if self._memoryless:
            output, last = self.layer(values, lengths=lengths)
            going = (lengths > 0).view(-1, 1, 1)
            return output, {"hidden": torch.where(going, last.transpose(0, 1), states["hidden"])}
        before = tuple(states[name].transpose(0, 1).contiguous() for name in self.specs)
        pack = getattr(self.layer, "pack_state", None)  # the states of nn.Recurrent are always a tuple
        output, after = self.layer(values, before if pack is None else pack(before), lengths=lengths)
        after = after if isinstance(after, tuple) else (after,)
        return output, {name: state.transpose(0, 1) for name, state in zip(self.specs, after, strict=True)}


class StepPooling:
    """A pooling whose result is updated by further steps; see `recurra.nn.Pooling`.

    Args:
        pooling: the pooling of the network.
        size: units of the layer's output.
    """

    def __init__(self, pooling: Pooling, size: int) -> None:
        self.pooling = pooling
        lowest, count = torch.finfo(torch.float32).min, {"pooling.steps": StateSpec((), torch.int64)}
        self.specs: dict[str, StateSpec] = {
            "last": {},
            "mean": {"pooling.sum": StateSpec((size,), torch.float64), **count},
            "max": {"pooling.max": StateSpec((size,), torch.float32, lowest), **count},
            "attention": {"pooling.attention": StateSpec((2 + size,), torch.float64)},
        }[pooling.how]

    def run(self, states: States, output: Tensor, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
        """Pools all steps so far.

        Args:
            states: states by name, `(sequences, …)`.
            output: outputs of new steps `(sequences, time, units)`, 0 beyond each length.
            hidden: hidden states after these steps `(sequences, layers, units)`.
            lengths: new steps of each sequence `(sequences,)`.

        Returns:
            `(sequences, units)`, and the new states.
        """
        if self.pooling.how == "last":
            return hidden[:, -1], {}
        if self.pooling.how == "attention":
            sums, score = states["pooling.attention"].clone(memory_format=torch.contiguous_format), self.pooling.score
            pooled = attend_steps(output, score.weight, score.bias, lengths, sums)  # type: ignore[union-attr]
            return pooled, {"pooling.attention": sums}
        steps = states["pooling.steps"] + lengths
        if self.pooling.how == "mean":
            total = add_steps(states["pooling.sum"], output)
            return total.float() / steps.clamp(min=1).unsqueeze(-1), {"pooling.sum": total, "pooling.steps": steps}
        top = states["pooling.max"]
        if output.shape[1]:
            mask = step_mask(lengths, output.shape[1]).unsqueeze(-1)
            top = torch.maximum(top, output.masked_fill(~mask, torch.finfo(output.dtype).min).amax(1))
        pooled = torch.where(steps.unsqueeze(-1) > 0, top, 0.0)
        return pooled, {"pooling.max": top, "pooling.steps": steps}
