"""`recurra export`: writes a model as a file that runs without Recurra."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.support.console import say
from recurra.errors import DataError

from .evaluate import Model


def export(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="File to write. An existing file is replaced.")],
    format: Annotated[
        str | None, typer.Option("--format", help="Format; by default that of the ending of --out.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Store the weights as 8-bit integers.")] = False,
    opset: Annotated[int | None, typer.Option("--opset", help="Version of the ONNX operators.", min=1)] = None,
    required_inputs: Annotated[
        bool,
        typer.Option(
            "--required-inputs", help="Make optional inputs of an ONNX file required, for OpenVINO and JavaScript."
        ),
    ] = False,
    part: Annotated[
        str | None, typer.Option("--part", help="Part of a translator in an ONNX file: encoder or decoder.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title of a web page.")] = None,
    example: Annotated[
        list[str] | None,
        typer.Option("--example", help="Text, or file with a table, that a web page offers. Repeat it for several."),
    ] = None,
) -> None:
    """Write a model as a file that runs without Recurra.

    [bold]Examples[/bold]

      recurra export my-model --out model.onnx

      recurra export my-model --out model.c

      recurra export my-model --out page.html --example "a sentence"
    """
    from recurra.exporting import export
    from recurra.tasks import load

    options = {
        "int8": int8,
        "opset": opset,
        "required_inputs": required_inputs,
        "part": part,
        "title": title,
        "examples": [_read(one) for one in example or ()],
    }
    path = export(load(model), out, format=format, **options)
    say(f"{path}: {path.stat().st_size:,} bytes")


def _read(example: str) -> str:
    """Returns the content of a table; other examples are texts."""
    if not example.lower().endswith((".csv", ".tsv", ".txt")):
        return example
    try:
        return Path(example).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(f"the example {example} cannot be read: {error}") from None
