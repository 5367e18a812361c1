"""`recurra generate`: writes text with a language model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.errors import UsageError
from recurra.tasks.params import MAX_SEED

from .evaluate import Model


def generate(
    model: Model,
    prompt: Annotated[str, typer.Option("--prompt", help="Beginning of the text.")] = "",
    length: Annotated[int, typer.Option("--length", help="Largest number of tokens to write.", min=0)] = 500,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            help="Below 1: more probable tokens; above 1: less probable ones; 0: always the most probable.",
            min=0,
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Draw from this number of most probable tokens.", min=1)
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the most probable tokens with this total probability.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same text.", min=0, max=MAX_SEED)
    ] = None,
    condition: Annotated[
        str | None, typer.Option("--condition", help="Label of the text, if the model was trained with labels.")
    ] = None,
) -> None:
    """Let a language model write: token by token in a terminal, line by line elsewhere.

    [bold]Examples[/bold]

      recurra generate my-model
      recurra generate my-model --prompt "ROMEO:" --length 300 --seed 1
      recurra generate my-model --condition good --temperature 0.7 --top-p 0.95
    """
    from recurra.tasks import load

    estimator: Any = load(model)
    if estimator.task != "generate":
        raise UsageError(
            f"{model} is a model for {estimator.task}; a language model is trained by: recurra fit generate"
        )
    prompt = prompt.encode("utf-8", "replace").decode()
    if unknown := estimator.encoder_.unknown(prompt):
        say(f"the model does not know {' '.join(map(repr, unknown))}: they are read as unknown characters")
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed, "condition": condition}
    pieces = estimator.stream(prompt, length, **sampling)
    for piece in _with(prompt, pieces) if sys.stdout.isatty() else _lines(_with(prompt, pieces)):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()


def _with(prompt: str, pieces: Iterator[str]) -> Iterator[str]:
    yield prompt
    yield from pieces


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    """The same text in whole lines."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            yield line + "\n"
    yield rest
