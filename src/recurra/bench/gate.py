"""Correctness gate: every peer must agree with us on every case before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recurra.errors import RecurraError

from .cases import Case

SAMPLES = 2000
TOLERANCE = 5e-4  # share of the largest entry: float32 sums in another order, over up to 6,400 tokens
COARSE = 3e-2  # factors in bfloat16


class GateError(RecurraError):
    """The result of a peer differs from ours."""


def probe(array: np.ndarray) -> np.ndarray:
    """Returns a sample of the entries at fixed random positions, the largest magnitude, and the root mean square."""
    flat = np.asarray(array, np.float64).ravel()
    places = np.random.default_rng(0).integers(flat.size, size=min(SAMPLES, flat.size))
    return np.concatenate([flat[places], [np.abs(flat).max(), np.sqrt(np.mean(flat**2))]])


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of two probes, as a share of the largest entry; infinite for NaN."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(ours[-2], 1e-30))


def compare(case: Case, peer: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> float:
    """Compares the probes of a peer with ours.

    Returns:
        The largest difference.

    Raises:
        GateError: they do not agree; the message names the array.
    """
    tolerance = COARSE if case.weight_bytes < 4 else TOLERANCE
    common = ours.keys() & theirs.keys()
    if not common:
        raise GateError(f"{case}: {peer} returned nothing to compare")
    found = {name: difference(ours[name], theirs[name]) for name in common}
    worst = max(found, key=found.__getitem__)
    if not found[worst] <= tolerance:
        raise GateError(
            f"{case}: the {worst} of {peer} and of recurra differ by {found[worst]:.2g} of the largest entry\n"
            "Nothing is timed before all results agree."
        )
    return found[worst]
