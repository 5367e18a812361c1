"""Layers with the weights of a layer of Keras, from the layer or from a saved model."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recurra.cells import GRU, LSTM, RNN, Cell, ResetBeforeGRU
from recurra.errors import DataError, UsageError

from .build import build_layer, reorder
from .reversed import Reversed

KINDS = ("SimpleRNN", "LSTM", "GRU")


@dataclass(frozen=True)
class _Given:
    """A recurrent layer of Keras: class, settings and weights in the order of `get_weights`."""

    kind: str
    config: Mapping[str, Any]
    weights: list[np.ndarray]


def from_keras(source: Any, *, layer: str | None = None) -> Any:
    """Returns a layer of `recurra.nn` with the weights of a layer of Keras. It computes the same.

    Args:
        source: a `SimpleRNN`, `LSTM` or `GRU` of Keras, a `Bidirectional` of one of them, a model, or the path of a
            saved model (`.keras` or `.h5`), which is read without Keras.
        layer: name of the layer in a model; needed if the model has several recurrent layers.

    Returns:
        `nn.RNN`, `nn.LSTM`, `nn.GRU`, or `nn.Recurrent` with the cell `ResetBeforeGRU` for `reset_after=False`; with
        `go_backwards=True` inside an `nn.Reversed`. Input and output are `(batch, time, features)`. A call returns the
        outputs of all steps and the last states; `return_sequences` and `return_state` have no effect. Dropout and
        masks are not converted; give `lengths` instead of a mask.

    Raises:
        DataError: the file cannot be read.
        UsageError: there is no such layer, or it has a setting that Recurra does not have.

    Example:
        >>> import recurra
        >>> recurra.from_keras("missing.keras")
        Traceback (most recent call last):
        recurra.errors.DataError: missing.keras cannot be read: No such file or directory
    """
    if isinstance(source, str | Path):
        found = _chosen(dict(_read(Path(source))), layer, str(source))
    elif hasattr(source, "layers"):
        found = _chosen({each.name: _of_object(each) for each in source.layers}, layer, "the model")
    else:
        found = _of_object(source)
    if found.kind not in (*KINDS, "Bidirectional"):
        raise UsageError(f"from_keras takes {', '.join(KINDS)} or Bidirectional, not {found.kind:.60}")
    return _layer(found)


def _of_object(layer: Any) -> _Given:
    if not hasattr(layer, "get_config"):
        raise UsageError(f"from_keras takes a layer of Keras or the path of a model, not {layer!r:.60}")
    if type(layer).__name__ not in (*KINDS, "Bidirectional"):
        return _Given(type(layer).__name__, {}, [])
    if not layer.weights:
        raise UsageError(f"the layer {layer.name} has no weights yet: build it or call it once")
    return _Given(type(layer).__name__, layer.get_config(), [np.asarray(w) for w in layer.get_weights()])


def _chosen(layers: Mapping[str, _Given], name: str | None, where: str) -> _Given:
    """Returns the layer of that name, or the only recurrent one."""
    recurrent = {key: given for key, given in layers.items() if given.kind in (*KINDS, "Bidirectional")}
    if name is None and len(recurrent) == 1:
        return next(iter(recurrent.values()))
    if name not in recurrent:
        known = f"it has {', '.join(recurrent)}" if recurrent else "it has none"
        wanted = "give layer=NAME for one of several recurrent layers" if name is None else f"no layer {name!r:.60}"
        raise UsageError(f"{where}: {wanted if recurrent else 'no recurrent layer'}; {known}")
    return recurrent[name]


def _layer(given: _Given) -> Any:
    if given.kind != "Bidirectional":
        cell, weights = _converted(given)
        made = build_layer(cell, [weights], batch_first=True)
        return Reversed(made, input_order=False) if given.config.get("go_backwards") else made
    config = given.config
    inner, behind = config["layer"], config.get("backward_layer") or config["layer"]
    if config.get("merge_mode") != "concat":
        raise UsageError(f"Bidirectional needs merge_mode='concat', not {config.get('merge_mode')!r}")
    if inner["config"].get("go_backwards"):
        raise UsageError("Bidirectional with a forward layer that goes backwards has no counterpart")
    half = len(given.weights) // 2
    parts = [
        _converted(_Given(each["class_name"], each["config"], weights))
        for each, weights in ((inner, given.weights[:half]), (behind, given.weights[half:]))
    ]
    if repr(parts[0][0]) != repr(parts[1][0]):
        raise UsageError("Bidirectional needs two layers of one kind")
    return build_layer(parts[0][0], [weights for _, weights in parts], batch_first=True)


def _converted(given: _Given) -> tuple[Cell, dict[str, np.ndarray]]:
    """Returns the cell and its weights, which have the layout of torch."""
    config, kind = given.config, given.kind
    if kind not in KINDS:
        raise UsageError(f"Bidirectional of {kind:.60} has no counterpart; {', '.join(KINDS)} have")
    activation = config.get("activation", "tanh")
    if activation != "tanh" and (kind, activation) != ("SimpleRNN", "relu"):
        raise UsageError(f"{kind} with activation={activation!r:.60} has no counterpart; tanh has")
    if config.get("recurrent_activation", "sigmoid") != "sigmoid":
        raise UsageError(
            f"{kind} with recurrent_activation={config['recurrent_activation']!r:.60} has no counterpart; sigmoid has"
        )
    kernel, recurrent, *biases = given.weights
    weight_ih, weight_hh = kernel.T, recurrent.T
    bias = biases[0] if biases else None
    if kind == "GRU":
        return _gru(config, weight_ih, weight_hh, bias)
    found = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    if bias is not None:
        found |= {"bias_ih": bias, "bias_hh": np.zeros_like(bias)}
    return (LSTM() if kind == "LSTM" else RNN(activation)), found


def _gru(
    config: Mapping[str, Any], weight_ih: np.ndarray, weight_hh: np.ndarray, bias: np.ndarray | None
) -> tuple[Cell, dict[str, np.ndarray]]:
    """Keras has the gates in the order update, reset, candidate."""
    order = (1, 0, 2)
    found = {"weight_ih": reorder(weight_ih, order)}
    if config.get("reset_after", False):
        found["weight_hh"] = reorder(weight_hh, order)
        if bias is not None:
            found |= {"bias_ih": reorder(bias[0], order), "bias_hh": reorder(bias[1], order)}
        return GRU(), found
    found["weight_hh"], found["weight_hh_candidate"] = reorder(weight_hh, (1, 0), 3), reorder(weight_hh, (2,), 3)
    return ResetBeforeGRU(), found | ({} if bias is None else {"bias_ih": reorder(bias, order)})


def _read(path: Path) -> Iterator[tuple[str, _Given]]:
    """Reads names and layers of a saved model."""
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                    yield from _of_archive(config, file)
        else:
            with path.open("rb") as opened, h5py.File(opened, "r") as file:
                if "model_config" not in file.attrs:
                    raise DataError(f"{path} has weights without the settings of the layers; save the whole model")
                yield from _of_h5(json.loads(_text(file.attrs["model_config"])), file["model_weights"])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or 'it is no HDF5 file'}") from None
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no saved model of Keras: {error!s:.200}") from None


def _of_archive(config: Any, file: Any) -> Iterator[tuple[str, _Given]]:
    """Layers of a `.keras` file, whose weights are stored under the class of a layer and its number."""
    seen: Counter[str] = Counter()
    for each in config["config"]["layers"]:
        kind = each["class_name"]
        snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        group = f"layers/{snake}_{seen[snake]}" if seen[snake] else f"layers/{snake}"
        seen[snake] += 1
        parts = {"Bidirectional": ("forward_layer/cell", "backward_layer/cell")}.get(kind, ("cell",))
        weights = []
        if kind in (*KINDS, "Bidirectional"):
            stored = [file[f"{group}/{part}/vars"] for part in parts]
            weights = [np.asarray(part[name]) for part in stored for name in sorted(part, key=int)]
        yield each["config"].get("name", snake), _Given(kind, each["config"], weights)


def _of_h5(config: Any, file: Any) -> Iterator[tuple[str, _Given]]:
    """Layers of an `.h5` file, whose weights are stored under the name of a layer."""
    for each in config["config"]["layers"]:
        kind, name = each["class_name"], each["config"]["name"]
        weights = []
        if kind in (*KINDS, "Bidirectional"):
            weights = [np.asarray(file[name][_text(path)]) for path in file[name].attrs["weight_names"]]
        yield name, _Given(kind, each["config"], weights)


def _text(value: Any) -> str:
    """Keras 2 stores bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
