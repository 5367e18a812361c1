"""Jacobian of one step with respect to the state: singular values, spectral radius, Lyapunov exponents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recurra.errors import UsageError
from recurra.inspect.core.decay import number
from recurra.inspect.core.direction_runs import DirectionRun, LayerRun, jacobians, layer_runs, reorder, spread, vjp_step
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Result, layer_rows, measure_layers, place
from recurra.inspect.core.subject import subject_of

WORK = 6_000_000_000
"""Approximate limit of multiplications in a call. Above it, steps and sequences are sampled."""

MIN_STEPS, MAX_ROWS = 4, 8
"""Minimum number of steps and maximum number of sequences of a sample."""

EXPONENTS = 8
"""Number of the largest Lyapunov exponents that are computed."""

SETTLING = 0.1
"""Share of the steps that the exponents ignore, in which the vectors align with the fastest-growing directions."""


@dataclass(frozen=True, repr=False)
class Spectrum(Result):
    """Spectra of the Jacobian of a step, for each layer and direction. The Jacobian scales small state differences.

    Attributes:
        parts: for each recurrent layer of the model by name, a data set with

            - `singular_values` `(layer, direction, batch, time, index)` of ∂state_t/∂state_{t-1}, largest first, at
              some steps; NaN in the padding. The state of an LSTM is `(h, c)`.
            - `spectral_radius` `(layer, direction, batch, time)`: largest absolute eigenvalue of the same matrix.
            - `lyapunov` `(layer, direction, batch, exponent)`: mean logarithmic growth per step along the sequence.
        verdict: one sentence about the layer and direction with the largest exponent.
        sampled: description of what was sampled; empty if everything was used.

    Example:
        >>> import torch
        >>> from recurra.inspect import jacobian_spectrum
        >>> spectrum = jacobian_spectrum(torch.nn.RNN(3, 8, batch_first=True), torch.randn(2, 30, 3))
        >>> spectrum.spectral_radius.dims
        ('layer', 'direction', 'batch', 'time')
    """

    sampled: str

    @property
    def singular_values(self) -> Any:
        """`singular_values` of the only recurrent layer: `(layer, direction, batch, time, index)`."""
        return self.to_xarray()["singular_values"]

    @property
    def spectral_radius(self) -> Any:
        """`spectral_radius` of the only recurrent layer: `(layer, direction, batch, time)`."""
        return self.to_xarray()["spectral_radius"]

    @property
    def lyapunov(self) -> Any:
        """`lyapunov` of the only recurrent layer: `(layer, direction, batch, exponent)`, in nats per step."""
        return self.to_xarray()["lyapunov"]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each part, layer and direction, with means over sequences and steps."""
        return layer_rows(
            self.parts,
            lambda one: {
                "lyapunov": float(one["lyapunov"].isel(exponent=0).mean()),
                "spectral_radius": float(one["spectral_radius"].mean()),
                "largest_singular_value": float(one["singular_values"].isel(index=0).mean()),
                "median_singular_value": float(one["singular_values"].median()),
            },
        )


def jacobian_spectrum(
    model: Any,
    x: Any = None,
    *,
    exponents: int = EXPONENTS,
    time: Sequence[int] | None = None,
    lengths: Any = None,
) -> Spectrum:
    """Measures the Jacobian ∂state_t/∂state_{t-1} of each layer and direction along the sequences.

    Each layer is measured separately with fixed inputs. The Lyapunov exponents are those of the product of all
    Jacobians of a sequence, computed with QR decompositions (Benettin and others, 1980; for recurrent networks:
    Engelken, Wolf and Abbott, "Lyapunov spectra of chaotic recurrent neural networks", 2023). The first tenth of the
    computation is ignored, because the vectors still align with the fastest-growing directions. If the largest exponent
    is negative, differences fade; if it is positive, they grow (chaos).

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: sequences or tensor, as for `recurra.trace`.
        exponents: number of Lyapunov exponents to compute, the largest ones.
        time: steps at which singular values and spectral radius are measured; None for as many as the limit of work
            allows.
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
    for run in layer_runs(subject_of(model, x, lengths=lengths)):
        all_rows, size = len(run.rows), sum(run.stack.state_sizes)
        # about 25 n³ for singular values and eigenvalues
        direction_runs = run.stack.num_layers * run.stack.directions
        count = max(WORK // (25 * size**3 * direction_runs), MIN_STEPS)
        run = run.some(min(MAX_ROWS, max(1, count // MIN_STEPS)))
        steps = _steps(run, time, count // len(run.rows))
        parts[run.part] = _spectra(run, steps, min(exponents, size))
        if time is None and len(steps) < run.steps:
            notes.append(f"singular values at {len(steps)} of {run.steps:,} steps")
        if len(run.rows) < all_rows:
            notes.append(f"{len(run.rows)} of {all_rows:,} sequences")
    return Spectrum(parts, _verdict(parts), ", ".join(dict.fromkeys(notes)))


def _steps(run: LayerRun, time: Sequence[int] | None, most: int) -> list[int]:
    if time is None:
        return spread(range(run.steps), most)
    steps = sorted({range(run.steps)[t] if -run.steps <= t < run.steps else -1 for t in time})
    if not steps or steps[0] < 0:
        raise UsageError(f"time must be steps between 0 and {run.steps - 1}, got {list(time)[:10]}")
    return steps


def _spectra(run: LayerRun, steps: list[int], exponents: int) -> Any:
    import xarray

    shape = (run.stack.num_layers, run.stack.directions, len(run.rows))
    size = sum(run.stack.state_sizes)
    values = np.full((*shape, len(steps), size), np.nan)
    radius = np.full((*shape, len(steps)), np.nan)
    lyapunov = np.full((*shape, exponents), np.nan)
    for layer, direction_runs in enumerate(run.direction_runs):
        for direction, direction_run in enumerate(direction_runs):
            found, largest = _along(direction_run, steps)
            values[layer, direction], radius[layer, direction] = found, largest
            lyapunov[layer, direction] = lyapunov_exponents(direction_run, exponents)
    axes = ("layer", "direction", "batch", "time")
    return xarray.Dataset(
        {
            "singular_values": ((*axes, "index"), values),
            "spectral_radius": (axes, radius),
            "lyapunov": ((*axes[:3], "exponent"), lyapunov),
        },
        {**run.coords, "batch": run.rows, "time": steps, "length": ("batch", run.lengths.numpy())},
        run.attributes,
    )


def _along(run: DirectionRun, steps: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns singular values `(batch, steps, size)` and spectral radii `(batch, steps)`, in the order of time."""
    own = reorder(torch.arange(run.steps).unsqueeze(1).expand_as(run.order), run.order.cpu())  # (time, batch)
    values, radius = [], []
    for step in steps:
        matrices = torch.stack([jacobians(run.only([b]), int(k))[0] for b, k in enumerate(own[step])])
        beyond = (run.lengths <= step).unsqueeze(1)
        values.append(torch.linalg.svdvals(matrices).cpu().masked_fill(beyond, math.nan))
        eigen = torch.linalg.eigvals(matrices).abs().amax(-1, keepdim=True)
        radius.append(eigen.cpu().masked_fill(beyond, math.nan)[:, 0])
    return torch.stack(values, 1).numpy(), torch.stack(radius, 1).numpy()


def lyapunov_exponents(run: DirectionRun, count: int) -> np.ndarray:
    """Returns the largest Lyapunov exponents of each sequence `(batch, count)`, largest first, in nats per step.

    It multiplies transposed Jacobians from the last to the first step, as for a gradient. The exponents are the same.
    """
    sizes = [s.shape[-1] for s in run.states]
    batch = run.states[0].shape[1]
    random = torch.Generator().manual_seed(0)
    drawn = torch.randn(sum(sizes), count, generator=random, dtype=torch.float64).to(run.inputs)
    frame = torch.linalg.qr(drawn)[0].expand(batch, -1, -1)  # (batch, size, count)
    sums = frame.new_zeros(batch, count, dtype=torch.float64)
    lengths = run.lengths.to(frame.device)
    counted = lengths - (lengths.double() * SETTLING).ceil().long()  # steps, from the beginning of the sequence
    counted = counted.clamp(min=1)
    for step in reversed(range(run.steps)):
        adjoint = frame.movedim(2, 0).split(sizes, -1)
        _, found = vjp_step(run, step, tuple(adjoint))
        turned, scale = torch.linalg.qr(torch.cat(found, -1).movedim(0, 2))
        # a shorter sequence begins at its last step
        frame = torch.where((step < lengths)[:, None, None], turned, frame)
        growth = scale.diagonal(dim1=1, dim2=2).double().abs().clamp(min=1e-300).log()
        sums = sums + growth.masked_fill((step >= counted)[:, None], 0)
    return (sums / counted[:, None]).sort(descending=True).values.cpu().numpy()


def _verdict(parts: dict[str, Any]) -> str:
    found = measure_layers(parts, lambda one: float(one["lyapunov"].isel(exponent=0).mean()))
    name, layer, direction, exponent = max(found, key=lambda measured: (measured[3], *measured[:3]))
    words = place(name, layer, direction, parts[name]) if len(found) > 1 else ""
    return (f"{words}: " if words else "") + sentence(exponent)


def sentence(exponent: float) -> str:
    """Describes a largest Lyapunov exponent in one sentence.

    Example:
        >>> sentence(-0.2231)
        'differences of the state halve every 3.1 steps (largest Lyapunov exponent -0.22 per step)'
    """
    known = f"(largest Lyapunov exponent {exponent:.2g} per step)"
    if exponent < -100:
        return f"differences of the state vanish after one step {known}"
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
