"""Comparison of a graph with its model: by `onnx.checker` and in ONNX Runtime, on random ragged batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch

from recurra.errors import RecurraError

from .plan import Plan

BATCHES = 100
TOLERANCE = 1e-5
"""Largest difference, relative to the largest value of an output or to 1, whichever is greater."""
INT8_TOLERANCE = 0.1
"""Likewise with 8-bit integers: root mean square of the differences over that of the values."""


class ExportCheckError(RecurraError):
    """An exported file that does not compute what its model computes."""


def check(plan: Plan, model: Any) -> None:
    """Compares the outputs of a graph with those of its model.

    Raises:
        ExportCheckError: the file is not valid, or an output differs.
    """
    onnx.checker.check_model(model, full_check=True)
    with _one_thread():
        _compare_batches(plan, model)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Gives torch one thread: on small batches, several threads wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare_batches(plan: Plan, model: Any) -> None:
    session, rng = _session(model), np.random.default_rng(0)
    names = [output.name for output in session.get_outputs()]
    sums = {name: np.zeros(2) for name in names}
    for number in range(BATCHES):
        feed = plan.sample(rng)
        found = dict(zip(names, session.run(None, feed), strict=True))
        expected = plan.answer(feed, found)
        if set(expected) != set(names):
            raise ExportCheckError(f"the outputs {sorted(names)} are not those of the model, {sorted(expected)}")
        for name, value in found.items():
            _compare(plan, name, value, expected[name], f"batch {number}", sums[name])
    if plan.graph.int8:
        _compare_sums(sums)


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        version = model.opset_import[0].version
        reason = str(error).splitlines()[0]
        raise ExportCheckError(f"ONNX Runtime cannot load the model with opset {version}: {reason:.300}") from None


def _compare(plan: Plan, name: str, found: np.ndarray, expected: np.ndarray, where: str, sums: np.ndarray) -> None:
    if found.shape != expected.shape:
        raise ExportCheckError(f"{where}: {name} has the shape {found.shape}, that of the model {expected.shape}")
    if expected.dtype.kind in "iu":
        if (found != expected).any():
            raise ExportCheckError(f"{where}: {name} is {found.tolist()!s:.200}, that of the model differs")
        return
    scale = plan.scale.get(name, 1.0)
    away = np.abs(found.astype(np.float64) - expected)
    sums += np.square(away).sum(), np.square(expected.astype(np.float64)).sum() + 1e-6 * scale**2 * expected.size
    if plan.graph.int8 or not away.size:
        return
    limit = TOLERANCE * max(scale, float(np.abs(expected).max()))
    if not away.max() <= limit:  # also for NaN
        raise ExportCheckError(
            f"{where}: {name} differs from the model by {away.max():.3g}, more than {limit:.3g}; no file is written"
        )


def _compare_sums(sums: dict[str, np.ndarray]) -> None:
    for name, (away, size) in sums.items():
        if size and not np.sqrt(away / size) <= INT8_TOLERANCE:
            raise ExportCheckError(
                f"with 8-bit integers, {name} differs from the model by {np.sqrt(away / size):.1%} of its size (root "
                f"mean square), more than {INT8_TOLERANCE:.0%}; export without int8"
            )
