"""Page that shows models over their training: the same figures for each kept epoch, and a slider."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recurra.errors import UsageError
from recurra.inspect.core.trace import MAX_BYTES, Trace, trace
from recurra.tasks.base import Estimator
from recurra.tasks.starting.epochs import at_epoch, epochs_of
from recurra.tasks.subject import Subject

from .comparison import MAX_MODELS, check_aligned, comparison_payload
from .payload import Code, page_payload
from .sections import SectionChoice
from .write import check_language, write_data

SECTIONS = SectionChoice(("attribution", "reach"))
Read = Callable[[Estimator], Subject]
"""Returns a model and the sequence that it reads."""


def write_training(
    models: Estimator | Mapping[str, Estimator],
    x: Any = None,
    path: str | Path = "training.html",
    *,
    row: int = 0,
    max_bytes: int = MAX_BYTES,
    language: str | None = None,
    title: str | None = None,
    codes: Mapping[str, Code] | None = None,
    read: Mapping[str, Read] | None = None,
) -> list[int]:
    """Runs a model with the weights of each kept epoch and writes a page with a slider over the epochs.

    The figures are those of `write_report`, or of `write_comparison` for several models. Epoch 0 is the model before
    training. The models must have been trained with `keep_epochs=True`.

    Args:
        models: an estimator, or several by name.
        x: sequences as `predict` takes them.
        path: file to write.
        row: number of the sequence that is shown.
        max_bytes: maximum size of a trace.
        language: as for `write_report`.
        title: title of the page; None for the text, or a description of the inputs.
        codes: expressions for each model and its inputs in the Python code on the page.
        read: for each model, the function that reads the sequence; by default it reads `x`.

    Returns:
        The epochs on the page. A model that was trained for fewer epochs keeps its last weights.

    Raises:
        UsageError: a model has no weights of epochs, or the models read different steps.
        DataError: `x` cannot be used, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from recurra import SequenceClassifier
        >>> clf = SequenceClassifier(hidden_size=4, epochs=2, keep_epochs=True, verbose=0)
        >>> clf = clf.fit(["ab", "cd"] * 10, ["x", "y"] * 10)
        >>> write_training(clf, ["ab"], Path(tempfile.mkdtemp()) / "training.html")
        [0, 1, 2]
    """
    check_language(language)
    named = dict(models) if isinstance(models, Mapping) else {"": models}
    if not 1 <= len(named) <= MAX_MODELS:
        raise UsageError(f"a page has 1 to {MAX_MODELS} models, not {len(named)}")
    for model in named.values():
        if not isinstance(model, Estimator):
            raise UsageError(f"a page over training shows estimators, not {type(model).__name__}")
    own = {name: epochs_of(model) for name, model in named.items()}
    epochs = sorted({epoch for found in own.values() for epoch in found})
    read = read or {name: lambda model: model.subject(x) for name in named}

    def traces(epoch: int, **chosen: Any) -> dict[str, Trace]:
        found = {}
        for name, model in named.items():
            last = _kept(own[name], epoch)
            found[name] = trace(read[name](at_epoch(model, last)), max_bytes=max_bytes, **chosen.get(name, {}))
        return found

    def payload(budget: int) -> dict[str, Any]:
        share = budget // len(epochs)
        last = _payload(traces(epochs[-1]), row, share, codes or {}, title)
        chosen = _shown(named, last)
        others = [_payload(traces(epoch, **chosen), row, share, codes or {}, title) for epoch in epochs[:-1]]
        labels = [{"epoch": epoch, "metrics": _metrics(named, own, epoch)} for epoch in epochs]
        frames = [{**label, "data": data} for label, data in zip(labels, [*others, last], strict=True)]
        for frame in frames[:-1]:
            frame["data"]["inputs"] = None  # the same at each epoch
        return {**last, "frames": frames}

    check_aligned(traces(epochs[-1]), row)
    write_data(payload, path, language)
    return epochs


def _kept(epochs: Sequence[int], epoch: int) -> int:
    """Returns the last kept epoch up to an epoch, else the first one."""
    return epochs[max(0, bisect_right(epochs, epoch) - 1)]


def _payload(
    found: Mapping[str, Trace], row: int, budget: int, codes: Mapping[str, Code], title: str | None
) -> dict[str, Any]:
    if len(found) > 1:
        return comparison_payload(found, row, budget, codes, title)
    ((name, one),) = found.items()
    return page_payload(one, row, budget, codes.get(name, Code()), title, SECTIONS)


def _shown(names: Sequence[str] | Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the units and steps on a page as arguments of `trace`, so that the pages of all epochs have the same."""
    parts = page["parts"] if len(names) > 1 else page["parts"][:1] * len(names)
    return {
        name: {"units": part["units"], "time": slice(part["first"], part["first"] + part["steps"])}
        for name, part in zip(names, parts, strict=True)
        if "units" in {note["say"] for note in page["notes"]} or part["steps"] < part["of"]
    }


def _metrics(models: Mapping[str, Estimator], own: Mapping[str, list[int]], epoch: int) -> list[dict[str, Any]]:
    """Returns the loss and the metric of validation of each model after an epoch."""
    found = []
    for name, model in models.items():
        last = _kept(own[name], epoch)
        line = model.history_[last - 1] if 0 < last <= len(model.history_) else {}
        chosen = next((key for key in line if key.startswith("valid_") and key != "valid_loss"), None)
        values = {key: line[key] for key in ("loss", chosen) if key in line}
        found.append({"model": name, "epoch": last, "values": values})
    return found
