"""`recurra inspect` with several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recurra.cli.support.console import say, show_json, show_table
from recurra.cli.tasks import one, source_of
from recurra.errors import UsageError

if TYPE_CHECKING:
    from recurra.inspect import Trace
    from recurra.inspect.report.payload import Code
    from recurra.tasks.subject import Subject


class Opened(NamedTuple):
    """A model with the sequence that it reads.

    Attributes:
        name: shown on the page.
        estimator: the model.
        subject: the model and the sequence.
        code: expressions for both in the Python code on the page.
        title: title of the page; None for a description of the inputs.
        arguments: the sequence, as arguments of `estimator.subject`.
    """

    name: str
    estimator: Any
    subject: Subject
    code: Code
    title: str | None
    arguments: tuple[Any, ...]


def open_model(path: Path, name: str, data: str, row: int, options: Any, *, allow_nonfinite: bool) -> Opened:
    """Loads a model and reads its sequence.

    Args:
        path: folder of the model.
        name: see `Opened`.
        data: argument TEXT|DATA|- of the command.
        row: number of the sequence, counted from 1.
        options: those of `recurra predict`.
        allow_nonfinite: whether weights may be NaN or infinite.
    """
    from recurra.inspect.report.payload import Code
    from recurra.tasks import load

    estimator: Any = load(path, allow_nonfinite=allow_nonfinite)
    source = source_of(estimator, data)
    arguments = one(estimator, source, options, row)
    subject = estimator.subject(*arguments)
    is_text = isinstance(source, list)
    where = source[0] if isinstance(source, list) else f"{Path(source).name}, row {row}"
    title = where if is_text or subject.steps is None else None
    x = f"[{where!r}]" if is_text else f"...  # {where}, as recurra predict reads it"
    return Opened(name, estimator, subject, Code(f"recurra.load({str(path)!r})", x), title, arguments)


def names_of(models: Sequence[Path]) -> list[str]:
    """Returns the names of the folders, or the paths if two folders have the same name.

    Example:
        >>> names_of([Path("a/lstm"), Path("b/gru")]), names_of([Path("a/lstm"), Path("b/lstm")])
        (['lstm', 'gru'], ['a/lstm', 'b/lstm'])
    """
    names = [path.resolve().name for path in models]
    found = names if len(set(names)) == len(names) else [str(path) for path in models]
    if len(set(found)) < len(found):
        raise UsageError("a model is named twice; a comparison needs different models")
    return found


def compare_models(
    models: Sequence[Path], data: str, row: int, options: Any, out: Path, *, json: bool, **more: Any
) -> None:
    """Writes the page that shows several models side by side, and a table of them.

    Args:
        models: their folders.
        data: see `open_model`.
        row: see `open_model`.
        options: see `open_model`.
        out: the page.
        json: whether to write JSON in place of the table.
        **more: `language` and `max_bytes` of `recurra.inspect.write_comparison`, and `allow_nonfinite`.
    """
    from recurra.inspect import write_comparison

    opened = _open(models, data, row, options, more.pop("allow_nonfinite"))
    found = write_comparison(
        {model.name: model.subject for model in opened},
        path=out,
        say=say,
        title=opened[0].title,
        codes={model.name: model.code for model in opened},
        **more,
    )
    _show(found, out, json)


def write_training_page(
    models: Sequence[Path], data: str, row: int, options: Any, out: Path, *, json: bool, **more: Any
) -> None:
    """Writes the page that shows models over their training; the arguments are those of `compare_models`."""
    from recurra.inspect import write_training

    opened = _open(models, data, row, options, more.pop("allow_nonfinite"))
    epochs = write_training(
        {model.name: model.estimator for model in opened},
        path=out,
        title=opened[0].title,
        codes={model.name: model.code for model in opened},
        read={model.name: lambda found, given=model.arguments: found.subject(*given) for model in opened},
        **more,
    )
    if json:
        show_json({"models": [model.name for model in opened], "epochs": epochs, "written": {"report": str(out)}})
        return
    say(f"report of the epochs {', '.join(map(str, epochs))} written to {out}")


def _open(models: Sequence[Path], data: str, row: int, options: Any, allow_nonfinite: bool) -> list[Opened]:
    """Opens the models, and shows the notes about their sequences."""
    if data == "-" and len(models) > 1:
        raise UsageError("standard input can be read by one model; give the text or a file to compare models")
    opened = [
        open_model(path, name, data, row, options, allow_nonfinite=allow_nonfinite)
        for path, name in zip(models, names_of(models), strict=True)
    ]
    for note in dict.fromkeys(note for model in opened for note in model.subject.notes):
        say(note)
    return opened


def _show(found: dict[str, Trace], out: Path, json: bool) -> None:
    rows = []
    for name, trace in found.items():
        data, answers = next(iter(trace.parts.values())), trace.subject.answers
        sizes = {"units": data.sizes["unit"], "layers": data.sizes["layer"], "steps": int(data["length"][0])}
        rows.append({"model": name, "cell": data.attrs["cell"], **sizes, "answer": answers[0] if answers else None})
    if json:
        show_json({"models": rows, "written": {"report": str(out)}})
        return
    columns = ["model", "cell", "units", "layers", "steps", "prediction"]
    show_table(
        "Models on the same sequence", columns, [["–" if v is None else str(v) for v in r.values()] for r in rows]
    )
    say(f"report written to {out}")
