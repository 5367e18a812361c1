"""Writes a model as one safetensors file that the module recurra-web reads: weights, settings and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save
from sklearn.utils.validation import check_is_fitted

from recurra.errors import UsageError
from recurra.tasks.base import Estimator

from .models.fill import describe_filler
from .models.forecast import describe_forecaster
from .models.generate import describe_language_model
from .models.parts import LAYERS, Described, describe_stack
from .models.sequences import describe_classifier, describe_layer, describe_regressor
from .models.tag import describe_tagger
from .models.transcribe import describe_transcriber
from .models.translate import describe_translator

FOLDER = Path(__file__).parent
"""Folder of recurra-web: the modules, their types and engine.wasm."""
VERSION = 1
"""Version of the settings in the metadata."""
TASKS: dict[str, Callable[[Any], Described]] = {
    "classify": describe_classifier,
    "regress": describe_regressor,
    "layer": describe_layer,
    "tag": describe_tagger,
    "forecast": describe_forecaster,
    "generate": describe_language_model,
    "fill": describe_filler,
    "translate": describe_translator,
    "transcribe": describe_transcriber,
}
"""What each task writes into the file."""


def build(model: Any) -> bytes:
    """Returns the model file of an estimator or a recurrent layer.

    Args:
        model: a fitted estimator, or a layer of `recurra.nn` or `torch.nn`.

    Raises:
        UsageError: recurra-web cannot run this model.
    """
    task = "layer" if type(model) in LAYERS else getattr(model, "task", "")
    if task not in TASKS:
        raise UsageError(
            f"the format web represents estimators, and the layers RNN, GRU and LSTM, not {type(model).__name__}; "
            "export a layer of the module instead"
        )
    if isinstance(model, Estimator):
        check_is_fitted(model, "network_")
    settings, stacks, tensors = TASKS[task](model)
    described = {name: describe_stack(layer) for name, layer in stacks.items()}
    metadata = {"version": VERSION, "task": task, **settings, "stacks": described}
    tensors |= {f"{name}.{part}": weight for name, layer in stacks.items() for part, weight in layer.named_parameters()}
    content = {name: tensor.detach().cpu().float().contiguous().clone() for name, tensor in tensors.items()}
    return save(content, {"recurra": json.dumps(metadata, ensure_ascii=False)})
