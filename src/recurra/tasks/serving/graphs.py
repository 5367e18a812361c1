"""The ONNX graph of an estimator, with the texts that its file holds as `metadata_props`."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from sklearn.utils.validation import check_is_fitted

from recurra.errors import UsageError
from recurra.tasks import registry

from .names import column_names


def plan_of(graph: Any, estimator: Any, part: str | None = None) -> Any:
    """Returns the `Plan` of a fitted estimator; `registry.Task.graph` names the function that writes it.

    Args:
        graph: an empty `recurra.onnx.graph.Graph`.
        estimator: the estimator.
        part: name of a part of the network; by default the whole of it.

    Raises:
        UsageError: a model of the task, or this one, cannot be exported, or has no such part.
    """
    check_is_fitted(estimator, "network_")
    task = registry.find(estimator.task)
    if not task.graph:
        raise UsageError(f"a model of the task {task.name} cannot be exported to ONNX; `recurra serve` can serve it")
    module, _, name = task.graph.partition(":")
    found = import_module(module, "recurra.tasks")
    write = getattr(found, f"{name}_{part}" if part else name, None)
    if write is None:
        raise UsageError(f"a model of the task {task.name} has no part {part!r:.40}; leave `part` out")
    plan = write(graph, estimator)
    plan.metadata = metadata(estimator)
    return plan


def metadata(estimator: Any) -> dict[str, str]:
    """Returns task, tokenizer, labels, columns, configuration and card of an estimator by name.

    The names of JSON files are without their ending: `tokenizer` is the tokenizer.json of the model folder.
    """
    config, files = estimator._state()
    texts = {name.removesuffix(".json"): text for name, text in files.items()}
    labels = getattr(estimator, "classes_", None)
    if labels is not None:
        texts["labels"] = _json([str(label) for label in labels.tolist()])
    names = column_names(estimator)
    if names:
        texts["columns"] = _json(names)
    return {"task": estimator.task, **texts, "config": _json(config), "card": estimator._card("model")}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
