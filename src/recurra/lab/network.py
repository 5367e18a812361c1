"""Network of the memory experiments: a recurrent layer and a linear output, with its size and initialization."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from recurra._util.plotting import GREY, PALETTE
from recurra.cells.registry import NO_MEMORY, known, label, names
from recurra.nn import build_recurrent, init_recurrent_

from .problems import Problem

INITS = ("long", "torch")

TORCH_CELLS = [name for name, entry in known().items() if entry.torch_class]
"""Cells that have the same colour in every figure."""


class ProbeNetwork(torch.nn.Module):
    """A recurrent layer with a linear output.

    Args:
        cell: name of a cell with memory, see `recurra.nn.CELLS`.
        inputs: number of features per time step.
        hidden_size: number of units.
        outputs: number of scores per time step.
    """

    def __init__(self, cell: str, inputs: int, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.layer: Any = build_recurrent(cell, inputs, hidden_size, 1)
        self.answer = torch.nn.Linear(hidden_size, outputs)

    def forward(self, x: Tensor, targets: int = 1, state: tuple[Tensor, ...] | None = None) -> Tensor:
        """Scores of the last `targets` steps, `(batch, targets, outputs)`, from x `(batch, time, features)`."""
        output, _ = self.layer(x, state[0] if state and len(state) == 1 else state)
        return self.answer(output[:, -targets:])


def styles(shown: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Returns the colour, the marker and the label of each cell in figures.

    Args:
        shown: labels of the cells of the figure. Cells that are shown have different colours if there are enough.
    """
    order = sorted(names(memoryless=False), key=lambda name: name not in TORCH_CELLS and label(name) not in {*shown})
    drawn = [*zip(order, cycle(PALETTE), strict=False), (NO_MEMORY, GREY)]
    return {name: {"color": colour, "marker": mark, "label": label(name)} for name, (colour, mark) in drawn}


def fitting_size(count: Callable[[int], int], wanted: int) -> int:
    """Finds the number of units for which the number of parameters is closest to `wanted`.

    Args:
        count: increasing function from the number of units to the number of parameters.
        wanted: number of parameters.

    Example:
        >>> fitting_size(lambda units: units**2 + units, 111)
        10
    """
    above = 1
    while count(above) < wanted:
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (middle, above) if count(middle) < wanted else (below, middle)
    return min((size for size in (below, above) if size), key=lambda size: abs(count(size) - wanted))


def parameter_count(network: torch.nn.Module) -> int:
    """Returns the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters())


def build(problem: Problem, cell: str, parameters: int, start: str, lag: int, seed: int) -> ProbeNetwork:
    """Builds a network with about `parameters` parameters and the initialization `start` (see `vanishing`)."""

    def count(size: int) -> int:
        with torch.device("meta"):
            return parameter_count(ProbeNetwork(cell, problem.inputs, size, problem.outputs))

    size = fitting_size(count, parameters)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = ProbeNetwork(cell, problem.inputs, size, problem.outputs)
        if start == "long":
            init_long_memory(network, lag)
    return network


def init_long_memory(network: ProbeNetwork, lag: int) -> None:
    """Initializes a layer for long memory.

    Recurrent matrices become orthogonal, which preserves norms (Saxe and others 2014), or the identity for ReLU cells
    (Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015). The biases
    of forget and update gates are set so that units keep their state for 1 to `lag` steps (Tallec and Ollivier, "Can
    recurrent neural networks warp time?", 2018). Cells without these gates keep their own initialization.
    """
    layer = network.layer
    init_recurrent_(layer)
    gates, size = layer.stack.cell.gates, layer.stack.hidden_size
    weights = dict(layer.named_parameters())
    keeping = next((gate for gate in ("forget", "update") if gate in gates), None)
    if keeping is None:
        if getattr(layer, "nonlinearity", "") == "relu":
            torch.nn.init.eye_(weights["weight_hh_l0"])
        return
    biases = [weights[name].detach() for name in ("bias_ih_l0", "bias_hh_l0") if name in weights]
    for bias in biases:
        torch.nn.init.zeros_(bias)
    steps = torch.empty(size).uniform_(1, max(lag - 1, 2))
    rows = biases[-1].split(size)  # in the order of the gates
    rows[gates.index(keeping)].copy_(steps.log())
    if "input" in gates:
        rows[gates.index("input")].copy_(-steps.log())
