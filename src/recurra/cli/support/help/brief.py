"""`--help` with the common options of a command, and `--help-all` with all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from recurra._util.language import translated
from recurra.tasks.params import params_of

from .defaults import DEFAULTS
from .localized import DEFAULT, Localized

ALL = "--help-all"
RARE = frozenset(
    {
        *("encoding", "delimiter", "header", "skip_bad_rows", "decimal", "time_format", "day_first", "month_first"),
        *("vocab_size", "embedding_size", "pooling", "preset", "members", "characters", "class_weight"),
        *("dropout", "weight_dropout", "variational_dropout", "token_dropout", "label_smoothing", "average_weights"),
        *("n_iter_no_change", "min_delta", "device", "memory", "precision", "health_checks", "start_from", "vectors"),
        "keep_epochs",
        *("optimizer", "schedule", "freeze", "elapsed", "recurrent_dropout", "recurrent_dropout_per", "zoneout"),
        *("fill_gaps", "segment", "decoding", "loss", "neighbours"),
        *("checkpoint_minutes", "workers", "cluster", "threads_per_worker", "logger"),
    }
)
"""Parameters of commands that only `--help-all` shows."""


class BriefHelp(Localized, TyperCommand):
    """A command whose help shows what fits: the common options, with `--help-all` all of them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            if getattr(parameter, "help", None):
                parameter.help = parameter.help.replace("[", r"\[")  # type: ignore[attr-defined]  # no markup

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the parameters that the command shares with others, see `with_options`."""
        return getattr(self.callback, "shared", ())

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """Returns the names of the option for help, always in the same order."""
        names = [*ctx.help_option_names, *([ALL] if self.shared else [])]
        known = {name for parameter in self.params for name in parameter.opts}
        return [name for name in names if name not in known]

    def get_help_option(self, ctx: Any) -> Any:
        """Returns the option for help."""
        option = super().get_help_option(ctx)
        if option is not None and self.shared:
            option.help = translated("Show help; --help-all: all options.")
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the words of a command line."""
        ctx.meta[ALL] = args[: args.index("--")] if "--" in args else list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        words = ctx.meta.get(ALL, [])
        left_out = [p for p in self.params if not getattr(p, "hidden", False) and self.is_left_out(str(p.name), words)]
        if ALL in words or not self.shared:
            left_out = []
        panels = {getattr(p, "rich_help_panel", None): i for i, p in reversed(list(enumerate(self.params)))}
        before, self.params = (
            self.params,
            sorted(self.params, key=lambda p: panels[getattr(p, "rich_help_panel", None)]),
        )
        for parameter in left_out:
            parameter.hidden = True  # type: ignore[attr-defined]
        try:
            super().format_help(ctx, formatter)
        finally:
            self.params = before
            for parameter in left_out:
                parameter.hidden = False  # type: ignore[attr-defined]

    def is_left_out(self, name: str, words: Sequence[str]) -> bool:
        """Returns whether the brief help leaves out a parameter.

        Args:
            name: of the parameter.
            words: of the command line.
        """
        return name in RARE


class TaskCommand(BriefHelp):
    """A command with the name of a task. Its help shows the defaults of the task, and none of the other options."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        defaults = DEFAULTS.get(str(self.name))
        if defaults is None:  # a task from outside the package
            return
        known = {name for table in DEFAULTS.values() for name in table}
        for parameter in self.params:
            name = str(parameter.name)
            if name in known and name in self.shared and name not in defaults:
                parameter.hidden = True  # type: ignore[attr-defined]  # the command says why it is not for the task
            elif defaults.get(name) and "default" not in parameter.help.lower():  # type: ignore[attr-defined]
                parameter.help += f"{DEFAULT}{defaults[name]}]"  # type: ignore[attr-defined]


def default_texts(estimator: type) -> dict[str, str]:
    """Returns the default of each parameter of an estimator in words; `""` if its help has to say what None means.

    Args:
        estimator: its class.
    """
    by_kind, specs, found = getattr(estimator, "defaults", {}), params_of(estimator), {}
    for field in dataclasses.fields(estimator):
        if field.name in by_kind.get("text", {}):
            found[field.name] = _several(by_kind, field.name)
        elif field.default is None:
            found[field.name] = (specs[field.name].none or "").removeprefix("for ")
        elif field.init:
            found[field.name] = _word(field.default)
    return found


def _several(by_kind: dict[str, dict[str, Any]], name: str) -> str:
    """Returns a default that depends on the kind of the sequences."""
    names, found = {"text": "texts", "series": "series", "audio": "recordings"}, dict[str, list[str]]()
    for kind, values in by_kind.items():
        found.setdefault(_word(values[name]), []).append(names[kind])
    first, *others = found
    return ", ".join([first, *(f"{value} for {' and '.join(found[value])}" for value in others)])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
