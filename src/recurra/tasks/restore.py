"""Rebuilds an estimator from a model folder; everything is checked before the network is built."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch

from recurra._util.schema import FileError, check, parse_json, plain
from recurra.cells import CellLike
from recurra.cells.registry import find, name_of, names
from recurra.errors import ModelFolderError, UsageError
from recurra.io import CONFIG, StoredEpochs, StoredModel, blaming, identity, read_folder, read_weights, with_provenance
from recurra.ops.registry import engines
from recurra.training.extensions import lost_in_folder
from recurra.training.learning_curve import Epochs

from . import registry
from .aliases import PARAMETERS
from .base import Estimator
from .config import METRICS, Metrics, params_type

E = TypeVar("E", bound=Estimator)

DEVICES = re.compile("auto|cpu|cuda(:[0-9]{1,3})?")


REPLACED = 3
"""Times that a folder is read if another process replaces it in between, which could mix two models."""


def load(path: str | Path, *, allow_nonfinite: bool = False, cells: Iterable[CellLike] = ()) -> Estimator:
    """Rebuilds a saved estimator. Every file is checked first, and nothing from the folder is executed.

    Args:
        path: model folder written by `save` or `recurra fit`.
        allow_nonfinite: whether weights that are NaN or infinite are accepted, to inspect a damaged model.
        cells: the cells of your own that the model may use, as instances or classes; cells that
            `recurra.cells.register` has made known need not be given.

    Raises:
        ModelFolderError: the folder is missing, damaged or of a newer version, or holds weights that are not finite.

    Example:
        >>> import recurra
        >>> recurra.load("missing/folder")
        Traceback (most recent call last):
        recurra.errors.ModelFolderError: there is no model folder missing/folder
        train one with: recurra fit … --out missing/folder
    """
    cells = tuple(cells)
    for _ in range(REPLACED - 1):
        before = identity(path)
        try:
            found = _load(path, allow_nonfinite, cells)
        except ModelFolderError:
            if identity(path) == before:
                raise
            continue
        if identity(path) == before:
            return found
    return _load(path, allow_nonfinite, cells)


def _load(path: str | Path, allow_nonfinite: bool, cells: Iterable[CellLike]) -> Estimator:
    stored = read_folder(path)
    task = stored.config.get("task")
    try:
        kind = registry.find(task if isinstance(task, str) else "").load()
    except UsageError:
        raise ModelFolderError(
            f"{path} holds a model for the task {task!r:.80}, which this version does not know\n"
            "if a module of your own registers it, import it first; on the command line: recurra --import MODULE"
        ) from None
    return rebuild(kind, stored, allow_nonfinite=allow_nonfinite, cells=cells)


def rebuild(kind: type[E], stored: StoredModel, *, allow_nonfinite: bool = False, cells: Iterable[CellLike] = ()) -> E:
    """Rebuilds an estimator.

    Args:
        kind: the class of the estimator.
        stored: what was read of the folder.
        allow_nonfinite: see `recurra.load`.
        cells: likewise.

    Raises:
        ModelFolderError: a part of the folder is damaged, or does not fit the others.
    """
    with blaming(stored.path):
        try:
            return _rebuild(kind, stored, allow_nonfinite, cells)
        except ModelFolderError:
            raise
        except Exception as error:  # every mismatch is an error of the folder
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelFolderError(f"{stored.path} does not fit together: {reason:.300}") from None


def _rebuild(kind: type[E], stored: StoredModel, allow_nonfinite: bool, cells: Iterable[CellLike]) -> E:
    config = check(kind.folder_config, with_provenance(stored.config), CONFIG)
    metrics = parse_json(stored.files[METRICS], METRICS, nonfinite=True)
    check(Metrics, metrics, METRICS)
    estimator = _with_params(kind, config.params, cells)
    estimator._load_state(plain(config), stored.files)
    with torch.device("meta"):  # shapes without memory
        expected = estimator._build().state_dict()
    weights = read_weights(stored.path, expected, allow_nonfinite=allow_nonfinite)
    with torch.random.fork_rng(devices=[]):
        estimator.network_ = estimator._build().eval()
    estimator.network_.load_state_dict(weights)
    estimator.epoch_weights_ = StoredEpochs(stored.path, expected)
    estimator.baselines_ = estimator._baselines_of(stored.files)
    estimator.data_, estimator.provenance_ = config.data, config.provenance
    _take_metrics(estimator, metrics)
    if lost := lost_in_folder(estimator):
        warnings.warn(lost, stacklevel=5)
    return estimator


def _with_params(kind: type[E], params: dict[str, Any], cells: Iterable[CellLike]) -> E:
    """An untrained estimator with the parameters of a model folder."""
    params = {PARAMETERS.get(name, name): value for name, value in params.items()}
    check(params_type(kind), params, CONFIG, "params")
    values = {name: _from_json(value) for name, value in params.items()}
    given = {name: cell for cell in cells for name in (find(cell).name, name_of(cell))}
    if "cell" in values:
        values["cell"] = given.get(values["cell"], values["cell"])
        named = isinstance(values["cell"], str) and values["cell"].partition("(")[0]
        if named not in names() and values["cell"] not in given.values():
            raise FileError(
                CONFIG,
                f"needs the cell {values['cell']!r:.40}, which is not one of {', '.join(names())}: "
                "pass its class, as in recurra.load(path, cells=[MyCell])",
            )
    estimator = kind(**values)
    here = kind(**{**estimator.get_params(deep=False), "device": "cpu"})  # the device may be absent here
    try:
        if estimator.engine not in ("auto", *(engine.name for engine in engines())):
            raise UsageError(f"there is no engine {estimator.engine!r:.40}")
        if not DEVICES.fullmatch(estimator.device):
            raise UsageError(f"there is no device {estimator.device!r:.40}")
        here._check_params()
    except UsageError as error:
        raise FileError(CONFIG, f"does not fit: params: {error}") from None
    return estimator


def _take_metrics(estimator: Estimator, metrics: dict[str, Any]) -> None:
    """Gives an estimator the content of metrics.json."""
    as_is = {k: v for k, v in metrics.items() if (v is None and k != "loss") or k in ("tuning", "classes")}
    found: dict[str, Any] = {k: as_is[k] if k in as_is else _with_nan(v) for k, v in metrics.items()}
    estimator.history_, estimator.health_checks_ = Epochs(found.pop("history")), found.pop("watch", [])
    estimator.metrics_ = found
    if "tuning" in found:
        estimator.tuning_ = found["tuning"]
    estimator.best_epoch_, estimator.n_iter_ = metrics["best_epoch"], metrics["epochs"]


def _with_nan(value: Any) -> Any:
    """Returns metrics in which `null` is NaN again."""
    if isinstance(value, dict):
        return {key: math.nan if item is None else _with_nan(item) for key, item in value.items()}
    return [_with_nan(item) for item in value] if isinstance(value, list) else value


def _from_json(value: Any) -> Any:
    """The reverse of what `Estimator.save` does to a parameter."""
    return dict(value["items"]) if isinstance(value, dict) else value
