"""Writes the report page: a single HTML file that loads nothing from the internet."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from recurra._util.atomic import written
from recurra.errors import UsageError
from recurra.inspect.core.quantize import as_json
from recurra.inspect.core.trace import MAX_BYTES, PAGE_WRITERS, Trace, trace

from .payload import Code, page_payload
from .sections import page_measures

PAGE_BYTES = 4_900_000
"""Maximum size of a page in bytes. If necessary, texts are cut and steps and units are left out; the page notes it."""
LANGUAGES = ("en", "ko")
SCRIPTS = ("core", "strings", "colours", "figure", "input", "rasters", "lines", "cell", "charts", "view")
"""Scripts of the figures in the order of their dependencies. The scripts of the measures follow."""
PAGE_SCRIPTS = ("comparison", "main")
"""Scripts of the page of the report only."""


def write_report(
    model: Any,
    x: Any = None,
    path: str | Path = "report.html",
    *,
    row: int = 0,
    names: Collection[str] | None = None,
    units: Sequence[int] | slice | None = None,
    time: int | slice | None = None,
    max_bytes: int = MAX_BYTES,
    say: Callable[[str], Any] | None = None,
    language: str | None = None,
    title: str | None = None,
    code: Code | None = None,
) -> Trace:
    """Runs a model and writes a page that shows its gates and states.

    The page contains heat maps of all gates and states, the states of a unit over the steps, the computation of the
    cell with its numbers, the gradient reach, the memory of the units, and the steps that drove the prediction. It is
    one HTML file below 5 MB that loads nothing from the internet.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: as for `recurra.trace`.
        path: file to write.
        row: number of the sequence that is shown.
        names: gates and states to keep; None for all.
        units: units to keep; None for all.
        time: steps to keep; None for all.
        max_bytes: maximum size of the trace.
        say: called before the run with a message about the size of the trace.
        language: initial language of the page, `"en"` or `"ko"`; None for that of the reader's browser. Readers can
            change it.
        title: title of the page, at most 400 characters; None for the text, or a description of the inputs.
        code: expressions for the model and the inputs in the Python code on the page.

    Returns:
        The trace that the page shows.

    Raises:
        UsageError: an argument is out of its range, or the model has no recurrent layer.
        DataError: `x` cannot be used, or the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> page = Path(tempfile.mkdtemp()) / "report.html"
        >>> found = write_report(torch.nn.GRU(5, 8, batch_first=True), torch.randn(1, 10, 5), page)
        >>> page.read_text(encoding="utf-8").startswith("<!doctype html>")
        True
    """
    check_language(language)
    found = trace(model, x, names=names, units=units, time=time, max_bytes=max_bytes, say=say)
    write_page(found, path, row=row, language=language, title=title, code=code)
    return found


def write_page(
    found: Trace,
    path: str | Path,
    *,
    row: int = 0,
    language: str | None = None,
    title: str | None = None,
    code: Code | None = None,
) -> None:
    """Writes the page of a trace; see `write_report`."""
    write_data(lambda budget: page_payload(found, row, budget, code or Code(), title), path, language)


def write_data(make: Callable[[int], dict[str, Any]], path: str | Path, language: str | None) -> None:
    """Writes a page with data.

    Args:
        make: returns the data, given their maximum size as JSON in bytes.
        path: file to write.
        language: see `write_report`.
    """
    check_language(language)
    values = _values(language)
    data = {"language": language, **make(PAGE_BYTES - sum(len(value.encode()) for value in values.values()) - 4096)}
    values |= {"data": as_json(data), "title": html.escape(data["title"])}
    page = re.sub(r"{{(\w+)}}", lambda place: values[place[1]], _read("report.html"))
    with written(Path(path)) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")


PAGE_WRITERS.append(write_page)


def check_language(language: str | None) -> None:
    """Raises UsageError for a language that the page does not support."""
    if language is not None and language not in LANGUAGES:
        raise UsageError(f"language is one of {', '.join(LANGUAGES)}, not {language!r}")


def figures_script() -> str:
    """Returns the JavaScript of all figures and measures, without the code that starts the report."""
    scripts = [_read(f"{name}.js") for name in SCRIPTS] + [section.javascript() for _, section in page_measures()]
    return "\n".join(scripts)


def figures_style() -> str:
    """Returns the style sheet of the report."""
    return _read("report.css")


def _values(language: str | None) -> dict[str, str]:
    """Values of the placeholders of the page, except the data."""
    script = "\n".join([figures_script(), *(_read(f"{name}.js") for name in PAGE_SCRIPTS)])
    return {"language": language or "en", "style": figures_style(), "script": script}


def _read(name: str) -> str:
    return (files("recurra.inspect.report") / "page" / name).read_text(encoding="utf-8")
