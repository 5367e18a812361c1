"""What one step does to small differences of the state: singular values, spectral radius, Lyapunov exponents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.direction_runs import Run, Strand, jacobians, pull, reorder, runs_of, spread
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Result, place
from recurra.inspect.core.subject import subject_of
from recurra.inspect.core.trace import DIRECTIONS

WORK = 6_000_000_000
"""Products of numbers that a call may take, about, before it samples steps and sequences."""

MIN_STEPS, MAX_ROWS = 4, 8
"""At least so many steps, at most so many sequences."""

EXPONENTS = 8
"""Lyapunov exponents that are measured, the largest ones."""

SETTLING = 0.1
"""Share of a sequence after which the exponents are counted: directions must turn to the fastest ones first."""


@dataclass(frozen=True, repr=False)
class Spectrum(Result):
    """What the steps of each layer and direction do to small differences of the state.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `singular_values` `(layer, direction, batch, time, index)` of ∂state_t/∂state_{t-1}, greatest first, at
              some steps; NaN beyond the end of a sequence. The state of an LSTM is `(h, c)`.
            - `spectral_radius` `(layer, direction, batch, time)`: greatest absolute eigenvalue of the same.
            - `lyapunov` `(layer, direction, batch, exponent)`: mean logarithmic growth per step along the sequence.
        verdict: what they say, in one sentence, of the layer and direction with the greatest exponent.
        sampled: what was left out, in words; empty if nothing was.
    """

    sampled: str

    @property
    def singular_values(self) -> Any:
        """Of the only recurrent layer: `(layer, direction, batch, time, index)`."""
        return self.to_xarray()["singular_values"]

    @property
    def spectral_radius(self) -> Any:
        """Of the only recurrent layer: `(layer, direction, batch, time)`."""
        return self.to_xarray()["spectral_radius"]

    @property
    def lyapunov(self) -> Any:
        """Of the only recurrent layer: `(layer, direction, batch, exponent)`, per step, in nats."""
        return self.to_xarray()["lyapunov"]

    def rows(self) -> list[dict[str, Any]]:
        """For each part, layer and direction means over sequences and steps."""
        rows = []
        for part, data in self.parts.items():
            for layer in data["layer"].values.tolist():
                for direction in data["direction"].values.tolist():
                    one = data.sel(layer=layer, direction=direction)
                    values = one["singular_values"]
                    rows.append(
                        {
                            "part": part,
                            "layer": layer,
                            "direction": direction,
                            "lyapunov": float(one["lyapunov"].isel(exponent=0).mean()),
                            "spectral_radius": float(one["spectral_radius"].mean()),
                            "largest_singular_value": float(values.isel(index=0).mean()),
                            "median_singular_value": float(values.median()),
                        }
                    )
        return rows


def jacobian_spectrum(
    model: Any,
    x: Any = None,
    *,
    exponents: int = EXPONENTS,
    time: Sequence[int] | None = None,
    lengths: Any = None,
) -> Spectrum:
    """Measures the Jacobian ∂state_t/∂state_{t-1} of each layer and direction along the sequences.

    Each layer is looked at by itself, its inputs held fixed. The Lyapunov exponents are those of the product of all
    Jacobians of a sequence, by QR decompositions on the way (Benettin and others, 1980; for recurrent networks:
    Engelken, Wolf and Abbott, "Lyapunov spectra of chaotic recurrent neural networks", 2023). A tenth of the steps is
    not counted, in which directions turn to the fastest ones. A greatest exponent below 0 means that differences fade,
    above 0 that they grow: chaos.

    Args:
        model: an estimator of Recurra, a module that holds recurrent layers, or such a layer.
        x: sequences or tensor, as for `recurra.trace`.
        exponents: how many Lyapunov exponents, the largest ones.
        time: steps at which singular values and spectral radius are measured; None for as many as can be had quickly.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.

    Raises:
        UsageError: the model has no recurrent layer, or an argument is out of its range.
        DataError: `x` cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import jacobian_spectrum
        >>> spectrum = jacobian_spectrum(torch.nn.LSTM(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> spectrum.singular_values.sizes["index"], bool(spectrum.lyapunov.max() < 0)
        (16, True)
    """
    if exponents < 1:
        raise UsageError(f"exponents must be at least 1, got {exponents}")
    parts, notes = {}, []
    for run in runs_of(subject_of(model, x, lengths=lengths)):
        all_rows, size = len(run.rows), sum(run.stack.state_sizes)
        # about 25 n³ for singular values and eigenvalues
        strands = run.stack.num_layers * run.stack.directions
        count = max(WORK // (25 * size**3 * strands), MIN_STEPS)
        run = run.some(min(MAX_ROWS, max(1, count // MIN_STEPS)))
        steps = _steps(run, time, count // len(run.rows))
        parts[run.part] = _spectra(run, steps, min(exponents, size))
        if time is None and len(steps) < run.steps:
            notes.append(f"singular values at {len(steps)} of {run.steps:,} steps")
        if len(run.rows) < all_rows:
            notes.append(f"{len(run.rows)} of {all_rows:,} sequences")
    return Spectrum(parts, _verdict(parts), ", ".join(dict.fromkeys(notes)))


def _steps(run: Run, time: Sequence[int] | None, most: int) -> list[int]:
    if time is None:
        return spread(range(run.steps), most)
    steps = sorted({range(run.steps)[t] if -run.steps <= t < run.steps else -1 for t in time})
    if not steps or steps[0] < 0:
        raise UsageError(f"time must be steps between 0 and {run.steps - 1}, got {list(time)[:10]}")
    return steps


def _spectra(run: Run, steps: list[int], exponents: int) -> Any:
    import xarray

    shape = (run.stack.num_layers, run.stack.directions, len(run.rows))
    size = sum(run.stack.state_sizes)
    values = np.full((*shape, len(steps), size), np.nan)
    radius = np.full((*shape, len(steps)), np.nan)
    lyapunov = np.full((*shape, exponents), np.nan)
    for layer, strands in enumerate(run.strands):
        for direction, strand in enumerate(strands):
            found, largest = _along(strand, steps)
            values[layer, direction], radius[layer, direction] = found, largest
            lyapunov[layer, direction] = lyapunov_exponents(strand, exponents)
    axes = ("layer", "direction", "batch", "time")
    return xarray.Dataset(
        {
            "singular_values": ((*axes, "index"), values),
            "spectral_radius": (axes, radius),
            "lyapunov": ((*axes[:3], "exponent"), lyapunov),
        },
        {
            "layer": range(shape[0]),
            "direction": list(DIRECTIONS[: shape[1]]),
            "batch": run.rows,
            "time": steps,
            "length": ("batch", run.lengths.numpy()),
        },
        {"cell": run.stack.cell.name, "part": run.part},
    )


def _along(strand: Strand, steps: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Singular values `(batch, steps, size)` and spectral radius `(batch, steps)` at some steps in time's order."""
    own = reorder(torch.arange(strand.steps).unsqueeze(1).expand_as(strand.order), strand.order.cpu())  # (time, batch)
    values, radius = [], []
    for step in steps:
        matrices = torch.stack([jacobians(strand.only([b]), int(k))[0] for b, k in enumerate(own[step])])
        beyond = (strand.lengths <= step).unsqueeze(1)
        values.append(torch.linalg.svdvals(matrices).cpu().masked_fill(beyond, math.nan))
        eigen = torch.linalg.eigvals(matrices).abs().amax(-1, keepdim=True)
        radius.append(eigen.cpu().masked_fill(beyond, math.nan)[:, 0])
    return torch.stack(values, 1).numpy(), torch.stack(radius, 1).numpy()


def lyapunov_exponents(strand: Strand, count: int) -> np.ndarray:
    """The largest Lyapunov exponents of each sequence `(batch, count)`, greatest first, in nats per step.

    The transposed Jacobians from the end to the beginning have the same exponents as the Jacobians from the beginning
    to the end, and are what a gradient goes through anyway.
    """
    sizes = [s.shape[-1] for s in strand.states]
    batch = strand.states[0].shape[1]
    random = torch.Generator().manual_seed(0)
    drawn = torch.randn(sum(sizes), count, generator=random, dtype=torch.float64).to(strand.inputs)
    frame = torch.linalg.qr(drawn)[0].expand(batch, -1, -1)  # (batch, size, count)
    sums = frame.new_zeros(batch, count, dtype=torch.float64)
    lengths = strand.lengths.to(frame.device)
    counted = lengths - (lengths.double() * SETTLING).ceil().long()  # steps, from the beginning of the sequence
    counted = counted.clamp(min=1)
    for step in reversed(range(strand.steps)):
        adjoint = frame.movedim(2, 0).split(sizes, -1)
        _, found = pull(strand, step, tuple(adjoint))
        turned, scale = torch.linalg.qr(torch.cat(found, -1).movedim(0, 2))
        # a sequence that is shorter joins at its own last step
        frame = torch.where((step < lengths)[:, None, None], turned, frame)
        growth = scale.diagonal(dim1=1, dim2=2).double().abs().clamp(min=1e-300).log()
        sums = sums + growth.masked_fill((step >= counted)[:, None], 0)
    return (sums / counted[:, None]).sort(descending=True).values.cpu().numpy()


def _verdict(parts: dict[str, Any]) -> str:
    found = [
        (float(data["lyapunov"].isel(exponent=0).sel(layer=layer, direction=direction).mean()), name, layer, direction)
        for name, data in parts.items()
        for layer in data["layer"].values.tolist()
        for direction in data["direction"].values.tolist()
    ]
    exponent, name, layer, direction = max(found)
    words = place(name, layer, direction, parts[name]) if len(found) > 1 else ""
    return (f"{words}: " if words else "") + sentence(exponent)


def sentence(exponent: float) -> str:
    """What a greatest Lyapunov exponent says.

    Example:
        >>> sentence(-0.2231)
        'differences of the state halve every 3.1 steps (greatest Lyapunov exponent -0.22 per step)'
    """
    known = f"(greatest Lyapunov exponent {exponent:.2g} per step)"
    if exponent < -100:
        return f"differences of the state are gone after one step {known}"
    if abs(exponent) < 1e-4:
        return f"differences of the state keep their size {known}"
    verb = "halve" if exponent < 0 else "double"
    return f"differences of the state {verb} every {number(math.log(2) / abs(exponent))} steps {known}"


register(
    Measure(
        jacobian_spectrum,
        Text("Jacobian of one step", "한 스텝의 야코비 행렬"),
        Text(
            "Singular values, spectral radius and Lyapunov exponents of one step. They show whether small differences "
            "of the state fade or grow.",
            "한 스텝의 특잇값, 스펙트럼 반지름, 랴푸노프 지수입니다. 상태의 작은 차이가 줄어드는지 커지는지 보입니다.",
        ),
    )
)
