"""`recurra serve`: an HTTP server for trained models."""

# no `from __future__ import annotations`: typer needs the annotations themselves

import re
from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra._util.extras import needs_extra
from recurra.cli.support.console import say
from recurra.cli.support.options import with_options
from recurra.errors import UsageError
from recurra.serve.settings import Settings, limits

_PANELS = {
    "Batches": ("max_batch", "max_wait", "max_queue"),
    "Sessions": ("idle", "max_age", "max_sessions", "max_live", "state_dir", "durability"),
    "Access": ("keys", "open_metrics", "open_page", "origins", "allowed_hosts"),
    "Process": ("workers", "grace", "drain_delay"),
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_NAMED = re.compile(r"([^=/\\]*)=(.+)", re.DOTALL)


def _options() -> Any:
    """Makes a dataclass of the options, one for each setting."""
    panels = {name: panel for panel, names in _PANELS.items() for name in names}
    defaults = {entry.name: entry.default for entry in fields(Settings)}
    made = []
    for name, (kind, limit) in limits().items():
        option = f"--{name.replace('_', '-')}"
        extra: dict[str, Any] = {"help": limit.text, "rich_help_panel": panels.get(name, "Limits")}
        default = defaults[name]
        if kind in (int, float):
            extra |= {"min": limit.least, "max": limit.most, "metavar": limit.unit.upper()}
        elif kind is bool:
            option = f"{option}/--no-{name.replace('_', '-')}"
        elif default == ():
            option, kind, default = option.removesuffix("s"), list[str] | None, None
            extra |= {"metavar": "URL" if name == "origins" else "HOST"}
        made.append((name, Annotated[kind, typer.Option(option, **extra)], field(default=default)))
    return make_dataclass("ServeOptions", made, frozen=True)


@with_options(_options())
def serve(
    models: Annotated[
        list[str],
        typer.Argument(help="Model folders. The name in addresses is that of the folder.", metavar="[NAME=]MODEL…"),
    ],
    host: Annotated[
        str, typer.Option("--host", help="Interface to listen at; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 for a free one.", min=0, max=65_535)] = 8000,
    *,
    options: Any,
) -> None:
    """Serve trained models over HTTP: predictions, text, and sessions with state.

    [bold]Examples[/bold]

      recurra serve my-model
      recurra serve reviews=my-model sensors=my-forecaster --port 8080
      recurra serve my-model --host 0.0.0.0 --keys keys.txt --state-dir sessions
    """
    named = _named(models)
    given: dict[str, Any] = {entry.name: getattr(options, entry.name) for entry in fields(Settings)}
    given |= {entry.name: tuple(given[entry.name] or ()) for entry in fields(Settings) if entry.default == ()}
    settings = Settings(**given)
    with needs_extra("serve", "the server"):
        from recurra.serve.process.runner import run
    code = run(named, settings, host, port, say)
    if code:
        raise typer.Exit(code)


def _named(models: Sequence[str]) -> dict[str, Path]:
    """Returns the model folders by name.

    Raises:
        UsageError: a name cannot be part of an address, or two models have the same name.
    """
    found: dict[str, Path] = {}
    for word in models:
        match = _NAMED.fullmatch(word)
        name, path = (match[1], Path(match[2])) if match else ("", Path(word))
        name = name if match else path.resolve().name
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"the name {name!r:.120} cannot be part of an address: use up to 100 letters of a to z, digits, '.', "
                f"'_' and '-', for example: recurra serve my-model={path}"
            )
        if name in found:
            raise UsageError(f"two models have the name {name!r}: {found[name]} and {path}; write NAME=MODEL")
        found[name] = path
    return found
