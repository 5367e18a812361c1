"""Builds the web page of a model: one HTML file that needs no connection."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import math
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from recurra._util.plotting import GATES_AND_STATES
from recurra.errors import UsageError
from recurra.exporting.web import FOLDER
from recurra.exporting.web import build as model_file
from recurra.inspect.core.quantize import as_json
from recurra.inspect.pages import page_parts
from recurra.inspect.report.write import figures_script, figures_style
from recurra.tasks import Estimator
from recurra.tasks.serving.service import InputError

from .bundle import bundle

TASKS = ("classify", "regress", "tag", "forecast", "generate", "fill", "translate")
"""Tasks that have a form of input and answer on the page; see page/tasks.js."""
MOST_TITLE = 200
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval'; style-src 'sha256-{style}'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy: the page runs and shows only what the file contains, and connects to nothing."""


def build(model: Any, *, name: str = "model", title: str | None = None, examples: Sequence[Any] = ()) -> bytes:
    """Returns the content of an HTML file.

    Args:
        model: a fitted estimator.
        name: name of the file without its ending.
        title: title of the page; by default `name`.
        examples: inputs that a button shows; the first is shown when the page opens.

    Raises:
        UsageError: the page cannot show the model, or an example is not an input of the model.
    """
    _check(model)
    content = model_file(model)
    about = _about(model, name if title is None else title[:MOST_TITLE], examples) | {"file": name}
    page, own = files("recurra.exporting") / "html" / "page", page_parts()
    own |= {file.name: file.read_text(encoding="utf-8") for file in page.iterdir()}
    modules = own | {f"web/{path.name}": path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}
    script = f"{figures_script()}\n{bundle(modules, 'main.js')}\n"
    style = f"{figures_style()}\n{own['page.css']}\n{own['exported.css']}"
    if "</script" in script or "</style" in style:
        raise ValueError("a script or style of the page ends too early")
    data = {"about": about, "engine": _packed((FOLDER / "engine.wasm").read_bytes()), "model": _packed(content)}
    values = {
        "policy": POLICY.format(script=_digest(script), style=_digest(style)),
        "title": html.escape(about["name"]),
        "style": style,
        "data": as_json(data),
        "script": script,
    }
    before, *rest = own["index.html"].split("{{")
    parts = [part.partition("}}")[::2] for part in rest]
    return "".join([before, *(values[key] + after for key, after in parts)]).encode("utf-8", errors="replace")


def _check(model: Any) -> None:
    known, hears = isinstance(model, Estimator), getattr(getattr(model, "encoder_", None), "kind", "") == "audio"
    if known and model.task in TASKS and not hears:
        return
    what = f"{model.title.lower()}{' of recordings' * hears}" if known else f"layer or module ({type(model).__name__})"
    raise UsageError(
        f"the format html shows models that read texts or numbers, not a {what}; "
        "use the format onnx, or `recurra serve` for a page of any estimator"
    )


def _about(model: Estimator, title: str, examples: Sequence[Any]) -> dict[str, Any]:
    """Returns what the page tells about the model, as the server describes a model."""
    service = model.service()
    if not examples and not getattr(service, "plain", True):
        examples = [service.example()]  # a table with the columns of a forecaster
    return {
        "name": title,
        "task": model.task,
        "title": model.title,
        "input": service.input_schema(),
        "id": model.provenance_.id_column,
        "time": model.provenance_.time_column,
        "generates": hasattr(model, "stream"),
        **service.about(),
        "examples": [_example(service, one, i) for i, one in enumerate(examples)],
        "metrics": {"valid": _finite(getattr(model, "metrics_", {}).get("valid", {}))},
        "version": version("recurra"),
        "colours": GATES_AND_STATES,
    }


def _finite(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, float) and math.isfinite(value)}


def _example(service: Any, value: Any, place: int) -> Any:
    if not isinstance(value, str):
        value = value.tolist() if hasattr(value, "tolist") else value
    elif getattr(service, "kind", "text") != "text":
        return value  # a table as text
    try:
        service.item(value, ("example", place))
    except InputError as error:
        raise UsageError(f"example {place + 1}: {error}") from None
    return value


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
