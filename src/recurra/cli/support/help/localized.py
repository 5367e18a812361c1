"""Shows the help and the errors of typer in the language of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recurra._util.language import is_english, translated

DEFAULT = r"  \[default: "
"""What precedes the default of a parameter in its help."""

PANEL = "rich_help_panel"
WORDS = (
    *("ARGUMENTS_PANEL_TITLE", "COMMANDS_PANEL_TITLE", "ERRORS_PANEL_TITLE", "OPTIONS_PANEL_TITLE"),
    *("ABORTED_TEXT", "DEFAULT_STRING", "REQUIRED_LONG_STRING", "RICH_HELP"),
)
"""Texts of typer that it takes from variables of its module `rich_utils`."""
_english: dict[str, str] = {}


class Localized:
    """A command or a group whose help is shown in the language of the command line."""

    def get_usage(self, ctx: Any) -> str:
        """Returns the line that shows how the command is called."""
        usage = super().get_usage(ctx)  # type: ignore[misc]
        return usage if is_english() else usage.replace("Usage:", translated("Usage:"), 1)

    def get_help_option(self, ctx: Any) -> Any:
        """Returns the option for help."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.help = translated(option.help)
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        with _translated_texts(self):
            super().format_help(ctx, formatter)  # type: ignore[misc]


@contextmanager
def localized_errors() -> Iterator[None]:
    """Inside the block, errors of typer get a message in the language of the command line."""
    try:
        yield
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is not None and not is_english():
            _set_words()
            text = translated(message())
            error.format_message = lambda: text  # type: ignore[attr-defined]
        raise


def translated_help(text: str) -> str:
    """Returns a text of a help, paragraph by paragraph. Examples are indented, and stay."""
    text, default, value = text.partition(DEFAULT)
    if default:
        shown = translated("[default: {}]").format(translated(value[:-1], "answer"))
        return f"{translated_help(text)}  \\{shown}"
    return "\n\n".join(map(_paragraph, text.split("\n\n")))


def _paragraph(text: str) -> str:
    if text.startswith(" "):
        return text
    return translated(" ".join(text.split()).replace(r"\[", "[")).replace("[", r"\[" if r"\[" in text else "[")


@contextmanager
def _translated_texts(command: Any) -> Iterator[None]:
    """Inside the block, the texts of a command, its parameters and its subcommands are translated.

    In English, lines of a paragraph are joined.
    """
    if _english or not is_english():
        _set_words()
    shown = [command, *command.params, *getattr(command, "commands", {}).values()]
    before = [(one, name, getattr(one, name, None)) for one in shown for name in ("help", PANEL)]
    before = [(one, name, text) for one, name, text in before if isinstance(text, str)]
    for one, name, text in before:
        setattr(one, name, translated(text, "panel") if name == PANEL else translated_help(text))
    try:
        yield
    finally:
        for one, name, text in before:
            setattr(one, name, text)


def _set_words() -> None:
    """Translates the words of typer itself, and corrects the width of lines."""
    from rich.text import Text
    from typer import rich_utils

    Text.rstrip_end = _strip_end  # type: ignore[method-assign]

    for name in WORDS:
        if hasattr(rich_utils, name):
            text = _english.setdefault(name, getattr(rich_utils, name))
            setattr(rich_utils, name, translated(text, "panel"))


def _strip_end(text: Any, size: int) -> None:
    """Removes spaces at the end of a line that is wider than its place.

    The method of rich counts characters. It keeps a space after a line of Hangul, whose last letter is then cut off.
    """
    while text.cell_len > size and text.plain.endswith(" "):
        text.right_crop(1)
