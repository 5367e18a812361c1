"""Cases of the benchmark: mode, cell and shape, and the same input data for every peer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from recurra.cells.registry import FAMILIES, known

if TYPE_CHECKING:
    import numpy as np

_CELLS = [known()[name] for name in FAMILIES]
GATES = {c.torch_class: len(c.cell.gates) for c in sorted(_CELLS, key=lambda c: len(c.cell.gates))}
"""Number of gates of each cell that is measured, by the name of its layer."""

SHAPES = (
    *((1, steps, hidden) for steps in (1, 100) for hidden in (64, 256, 512)),
    *((32, 100, hidden) for hidden in (64, 128, 256, 512)),
    (128, 50, 128),
    (32, 50, 1024),
)
"""Batch, steps, hidden size."""

HALF_SHAPES = ((1, 100, 256), *((32, 100, hidden) for hidden in (128, 256, 512)))
"""Shapes of training with bfloat16 products."""

QUICK_SHAPES = ((1, 1, 64), (1, 100, 64), (32, 100, 128))


@dataclass(frozen=True)
class Case:
    """A timed case: one layer in one direction, in float32, with `hidden` input features.

    Attributes:
        mode: `"training"` (output and all gradients), `"bfloat16 training"` (our engine multiplies in bfloat16),
            `"inference"` (with one step: a stream that feeds its state back), `"float32 session"`,
            `"bfloat16 session"` or `"int8 session"` (a streaming session with weights of this type), `"call"` (one call
            of the layer) or `"step"` (one call of `layer.step`).
        cell: `"RNN"`, `"GRU"` or `"LSTM"`.
        batch: sequences.
        steps: time steps.
        hidden: units.
    """

    mode: str
    cell: str
    batch: int
    steps: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.mode} {self.cell} {self.shape}"

    @property
    def shape(self) -> str:
        """Batch, steps and hidden size in short."""
        return f"B{self.batch} T{self.steps} H{self.hidden}"

    @property
    def streams(self) -> bool:
        """True if each call continues from the state of the previous one."""
        return self.mode.endswith("session") or self.mode == "step" or (self.mode == "inference" and self.steps == 1)

    @property
    def trains(self) -> bool:
        """True if gradients are computed."""
        return self.mode.endswith("training")

    @property
    def halves(self) -> bool:
        """True if our engine multiplies in bfloat16."""
        return self.mode.startswith("bfloat16")

    @property
    def weight_bytes(self) -> int:
        """Bytes of each weight."""
        return {"bfloat16": 2, "int8": 1}.get(self.mode.split()[0], 4)

    @property
    def flops(self) -> float:
        """Number of operations in the matrix products. The backward pass needs twice as many as the forward pass."""
        products = 2 * 2.0 * self.batch * self.steps * GATES[self.cell] * self.hidden**2
        return products * (3 if self.trains else 1)

    @property
    def matrix_bytes(self) -> int:
        """Size of one of the two weight matrices."""
        return GATES[self.cell] * self.hidden**2 * self.weight_bytes

    @property
    def working_set(self) -> int:
        """Bytes that are read repeatedly: the recurrent matrix; in a stream of single steps both matrices."""
        return self.matrix_bytes * (2 if self.steps == 1 else 1)

    @property
    def read_bytes(self) -> float:
        """Bytes of weights to read: the recurrent matrix in each step, the input matrix once."""
        return self.matrix_bytes * (self.steps + 1.0) * (2 if self.trains else 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def grid(quick: bool = False) -> list[Case]:
    """All cases of a run, with the cases of a slice next to each other."""
    shapes = QUICK_SHAPES if quick else SHAPES
    cases = [Case(mode, cell, *shape) for mode in ("training", "inference") for cell in GATES for shape in shapes]
    shapes = ((32, 100, 128),) if quick else HALF_SHAPES
    cases += [Case("bfloat16 training", cell, *shape) for cell in GATES for shape in shapes]
    widths = (256,) if quick else (256, 512, 1024)
    for mode in ("float32 session", "bfloat16 session", "int8 session"):
        cases += [Case(mode, cell, 1, 1, hidden) for cell in GATES for hidden in widths]
    return cases + [Case(mode, "LSTM", 1, 1, 64) for mode in ("call", "step")]


class Numbers(NamedTuple):
    """Weights and data of a case, in torch's layout.

    Attributes:
        weights: `weight_ih` and `weight_hh` `(gates * hidden, hidden)`, `bias_ih` and `bias_hh` `(gates * hidden,)`.
        x: input `(time, batch, features)`.
        grad: gradient of the output, in its shape.
    """

    weights: dict[str, np.ndarray]
    x: np.ndarray
    grad: np.ndarray


def numbers(case: Case) -> Numbers:
    """Generates the data of a case, the same for every peer."""
    import numpy as np

    random = np.random.default_rng(0)
    rows, bound = GATES[case.cell] * case.hidden, case.hidden**-0.5
    shapes = {
        "weight_ih": (rows, case.hidden),
        "weight_hh": (rows, case.hidden),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    weights = {name: bound * (2 * random.random(shape, np.float32) - 1) for name, shape in shapes.items()}
    shape = (case.steps, case.batch, case.hidden)
    x, grad = random.standard_normal(shape, np.float32), random.standard_normal(shape, np.float32)
    return Numbers({name: w.astype(np.float32) for name, w in weights.items()}, x, grad)
