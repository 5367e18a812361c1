"""Page that shows several models on one sequence, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recurra.errors import UsageError
from recurra.inspect.core.trace import MAX_BYTES, Trace, trace

from .payload import Code, one_row, page_payload
from .sections import SectionChoice
from .write import check_language, write_data

MAX_MODELS = 6
SECTIONS = SectionChoice(("reach",))


def write_comparison(
    models: Mapping[str, Any] | Sequence[Any],
    x: Any = None,
    path: str | Path = "comparison.html",
    *,
    row: int = 0,
    max_bytes: int = MAX_BYTES,
    say: Callable[[str], Any] | None = None,
    language: str | None = None,
    title: str | None = None,
    codes: Mapping[str, Code] | None = None,
) -> dict[str, Trace]:
    """Runs several models on one sequence and writes a page that shows them side by side.

    The page has a column for each model: the states and gates of a unit, heat maps of all units, and the gradient
    reach. All figures share the selected step. The models must read the same steps. Of a model with several recurrent
    layers in a row, the page shows the first.

    Args:
        models: models by name, or models alone, which are then named by their cells. Each is one that `recurra.trace`
            takes.
        x: as for `recurra.trace`; every model gets it.
        path: file to write.
        row: number of the sequence that is shown.
        max_bytes: maximum size of the trace of a model.
        say: called before each run with a message about the size of the trace.
        language: as for `write_report`.
        title: title of the page; None for the text, or a description of the inputs.
        codes: expressions for each model and its inputs in the Python code on the page.

    Returns:
        The traces by the names of the models.

    Raises:
        UsageError: there are fewer than two models or too many, they read different steps, or one has no recurrent
            layer.
        DataError: `x` cannot be used, or the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> layers = [kind(5, 8, batch_first=True) for kind in (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)]
        >>> page = Path(tempfile.mkdtemp()) / "comparison.html"
        >>> list(write_comparison(layers, torch.randn(1, 10, 5), page))
        ['RNN', 'LSTM', 'GRU']
    """
    check_language(language)
    if not 2 <= len(models) <= MAX_MODELS:
        raise UsageError(f"a comparison has 2 to {MAX_MODELS} models, not {len(models)}")
    each = models.values() if isinstance(models, Mapping) else models
    traces = [trace(model, x, max_bytes=max_bytes, say=say) for model in each]
    names = list(models) if isinstance(models, Mapping) else _names(traces)
    found = dict(zip(names, traces, strict=True))
    check_aligned(found, row)
    codes = codes or {}
    write_data(lambda budget: comparison_payload(found, row, budget, codes, title), path, language)
    return found


def comparison_payload(
    found: Mapping[str, Trace], row: int, budget: int, codes: Mapping[str, Code], title: str | None = None
) -> dict[str, Any]:
    """Builds the data of the page, for JSON: that of a report whose recurrent layers belong to different models.

    Args:
        found: traces by the names of the models, which read the same steps.
        row: number of the sequence.
        budget: maximum size as JSON, in bytes.
        codes: see `write_comparison`.
        title: title of the page.
    """
    share = budget // len(found)
    pages = {
        name: page_payload(one, row, share, codes.get(name, Code()), title, SECTIONS) for name, one in found.items()
    }
    first = next(iter(pages.values()))
    reach = [page["measured"]["reach"] for page in pages.values()]
    why = next((one for one in reach if "why" in one), None)
    curves = {name: _first(one.get("parts")) for name, one in zip(pages, reach, strict=True)}
    return {
        **first,
        "comparison": [
            {"name": name, "task": page["task"], "answer": page["answer"], "verdict": one.get("verdict")}
            for (name, page), one in zip(pages.items(), reach, strict=True)
        ],
        "answer": None,
        "remarks": list(dict.fromkeys(remark for page in pages.values() for remark in page["remarks"])),
        "translations": {text: korean for page in pages.values() for text, korean in page["translations"].items()},
        "deviation": max(page["deviation"] for page in pages.values()),
        "notes": [{**note, "model": name} for name, page in pages.items() for note in page["notes"]],
        "parts": [_part(name, page) for name, page in pages.items()],
        "measured": {"reach": why or {"verdict": "", "parts": curves}},
    }


def _part(name: str, page: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data of the first recurrent layer of a model."""
    part = page["parts"][0]
    return {**part, "name": name, "origin": part["name"], "several": len(page["parts"]) > 1, "code": page["code"]}


def _first(parts: Mapping[str, Any] | None) -> Any:
    return None if parts is None else next(iter(parts.values()), None)


def _names(traces: Sequence[Trace]) -> list[str]:
    """Returns the names of the cells, with numbers where a cell occurs again."""
    names: list[str] = []
    for found in traces:
        cell = next(iter(found.parts.values())).attrs["cell"].upper()
        number = 1 + sum(name.split()[0] == cell for name in names)
        names.append(cell if number == 1 else f"{cell} {number}")
    return names


def check_aligned(found: Mapping[str, Trace], row: int) -> None:
    """Checks that all models read the same steps.

    Raises:
        UsageError: they do not.
    """
    shown = {name: one_row(next(iter(one.parts.values())), row) for name, one in found.items()}
    lengths = {name: int(data["length"]) for name, data in shown.items()}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise UsageError(f"the models read different numbers of steps: {words}; compare models with the same tokens")
    texts = {name: data["token"].values.tolist() for name, data in shown.items() if "token" in data.coords}
    (first, own), *others = list(texts.items()) or [("", [])]
    for name, tokens in others:
        if tokens != own:
            at = next(i for i, pair in enumerate(zip(own, tokens, strict=True)) if pair[0] != pair[1])
            raise UsageError(
                f"the models read different steps: step {at + 1} is {own[at]!r} for {first} and {tokens[at]!r} for "
                f"{name}; compare models with the same tokens"
            )
