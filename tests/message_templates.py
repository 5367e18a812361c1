"""The texts that the command line shows, as templates: the entries of the catalogues in `src/recurra/locale`.

Messages are taken from the source: every text of two words or more in the modules whose texts are shown, and the texts
of exceptions everywhere else. Texts of `--help` are taken from the commands themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import typer

from recurra._util.catalogue import Template
from recurra.cli.app import app
from recurra.cli.support.help.localized import DEFAULT
from recurra.io.provenance import Provenance
from recurra.tasks.registry import BUILT_IN

SOURCE = Path(__file__).parents[1] / "src" / "recurra"

SHOWN = (
    *("cli", "data", "lab", "tasks", "training"),
    *("_util/messages.py", "_util/schema.py", "_util/extras.py", "inspect/core/trace.py", "inspect/health.py"),
    *("io/folder.py", "io/read.py", "io/weights.py", "ops/dispatch.py", "ops/native/build_report.py"),
    *("ops/native/engine.py", "ops/registry.py", "ops/torch_kernels.py"),
    *("serve/models.py", "serve/process/listen.py", "serve/process/runner.py", "serve/process/workers.py"),
)
"""Packages and modules whose texts are messages."""
NOT_SHOWN = (
    *("inspect/attribution", "inspect/gradients", "inspect/interventions", "inspect/memory", "inspect/units"),
    *("inspect/core/direction_runs.py", "inspect/core/layer_input.py", "inspect/core/registry.py"),
    *("inspect/core/results.py", "inspect/core/subject.py", "inspect/plots.py", "nn", "ops"),
    *("serve/client", "serve/cluster", "serve/process", "serve/routes", "serve/sessions", "bench/worker.py"),
    *("serve/batching.py", "serve/metrics.py", "serve/owners.py", "serve/state_file.py"),
    *("cli/support/help/defaults.py", "data/columns/times/formats.py", "data/samples", "tasks/aliases.py"),
)
"""Packages and modules whose texts have another reader, such as the client of a server. Those of `SHOWN` go first."""
OF_PYTHON = {"AssertionError", "AttributeError", "KeyError", "NotImplementedError", "RuntimeError", "TypeError"}
"""Exceptions that tell of a mistake in a program and not of a user of the command line."""
OTHER_CALLS = "Argument Option _data _option _run _training param"  # the help has their texts
OTHER_CALLS += " compile search match sub fullmatch get replace getLogger fields alias as_file TypeVar NewType"
OTHER_CALLS += " set_title set_xlabel set_ylabel annotate text legend library define"
NOT_MESSAGES = set(OTHER_CALLS.split())
"""Functions whose texts are not shown as messages."""
KEPT = {"loss {}", "loss {} to {}", "bold red", "PowerPoint Document", "No such option", "for "}
"""Texts that are not translated: names of metrics, and texts that are not shown."""

WORD = re.compile(r"[^\W\d_]{2,} |(?<=[\w{}\])\"',.:;]) [^\W\d_]{2,}|^ [^\W\d_]{2,}")
CODE = re.compile(r"\\[\\bdsw(]|^[@#<$]|^\.[*]|^\[\"|==|^[ \n]*/[/*]|;$| [|] None|^[가-힣]")
VERB = re.compile(r"(?!has no$)(is|are|has|does|lacks|holds|begins|contains|names no|cannot be) ")
"""The beginning of a text that continues a sentence: the subject precedes it, such as the name of a file."""
LONG = 40
"""Letters of a template that surely fits a text of the help."""

OF_TYPER = """
Usage:
Aborted.
[default: {{}}]
[required]
Show this message and exit.
Try [blue]'{{command_path}} {{help_option}}'[/] for help.
Invalid value: {}
Invalid value for {}: {}
Missing argument {}.
Missing option {}.
Missing command.
No such option: {}
No such command {}.
{} (Possible options: {})
Got unexpected extra argument(s) ({})
Option {} requires an argument.
Option {} does not take a value.
Value {} is not a valid {}.
{} is not one of {}.
{} is not a valid {}.
{} is not in the range {}.
File {} does not exist.
Path {} does not exist.
Input should be greater than or equal to {}
Input should be less than or equal to {}
Input should be a valid integer, unable to parse string as an integer
Input should be a valid number, unable to parse string as a number
"""
"""Texts of typer that are shown, one a line. It has no catalogue of its own."""
SHORT = (
    *("error: ", "warning: ", "tab-separated", "comma-separated", "semicolon-separated", "pipe-separated", "quoted"),
    *("{:,} bytes", "{} times"),
)
"""Texts of the code that are shorter than other messages."""
IN_CONTEXT = {
    "answer": "no,yes,within chance,not measured",
    "panel": "Arguments,Commands,Error,Options",
    "table": "Devices,Engines,Samples,Versions,baselines,blanks,call,class,classes,context,defaults,device,difference,"
    "direction,features,folder,found,greatest,green,grey,group,horizon,kind,label,learning,least,light,mean,measure,"
    "metric,model,name,network,overfitting,package,pairs,predicted,probability,quantiles,recordings,red,review,"
    "saturation,sentences,sequences,series,shuffled,state,step,steps,target,targets,task,texts,time,tokens,trial,truth,"
    "unknown,validation,value,version,vocabulary,what,where,windows,words,written,yellow",
}
"""Words that are translated in one context only, see `recurra._util.language.translated`."""


@cache
def templates() -> set[str]:
    """Returns all templates. One that is valid in one context only begins with its name and the character 4."""
    of_code = {template for file in _files() for template in _of_file(file)}
    long = [
        template for template in (Template.of(text, "") for text in of_code if "{" in text) if template.letters > LONG
    ]
    of_help = set(_of_help(typer.main.get_command(app)))
    of_help = {text for text in of_help if not any(template.values(text) for template in long)}
    words = {name: words.split(",") for name, words in IN_CONTEXT.items()}
    words["table"] += _of_provenance()
    in_context = {f"{name}\4{word}" for name, found in words.items() for word in found}
    of_typer = OF_TYPER.strip().splitlines()
    return {*of_typer, *SHORT, *in_context, *_of_tasks(), *_of_samples(), *of_code, *of_help}


def _of_provenance() -> list[str]:
    """Returns the names of what a model knows of its training data."""
    return [field.name.replace("_", " ") for field in msgspec.structs.fields(Provenance)]


def _of_tasks() -> list[str]:
    """Returns the names of models, at the beginning and within a sentence."""
    return [text for task in BUILT_IN for text in (task.label, task.label.lower())]


def _of_samples() -> Iterator[str]:
    """Yields the titles of the embedded data sets."""
    for file in (SOURCE / "data" / "samples").glob("*/README.md"):
        yield file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def _files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _is_in(file: Path, places: tuple[str, ...]) -> bool:
    name = file.relative_to(SOURCE)
    return any(str(name) == place or Path(place) in name.parents for place in places)


def _of_help(command: Any) -> Iterator[str]:
    """Yields the texts of the help of a command and its subcommands."""
    texts = [command.help or ""]
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        texts.append(getattr(parameter, "help", None) or "")
        if panel := getattr(parameter, "rich_help_panel", None):
            yield f"panel\4{panel}"
    for text in texts:
        text, _, default = text.replace("\n\n", "\0").partition(DEFAULT)
        for paragraph in text.split("\0"):
            if paragraph.strip() and not paragraph.startswith(" "):
                yield _escaped(" ".join(paragraph.split()).replace(r"\[", "["))
        if re.search("[a-z]{2,} ", default):
            yield _escaped(default[:-1])
    for below in getattr(command, "commands", {}).values():
        yield from _of_help(below)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}").replace("{{}}", "{}")  # a text for `format`


def _of_file(file: Path) -> Iterator[str]:
    """Yields the templates of a module."""
    shown = _is_in(file, SHOWN) and (str(file.relative_to(SOURCE)) in SHOWN or not _is_in(file, NOT_SHOWN))
    if shown or not _is_in(file, NOT_SHOWN):
        yield from _of_code(ast.parse(file.read_text(encoding="utf-8")), shown, False)


def _of_code(node: ast.AST, shown: bool, raised: bool) -> Iterator[str]:
    """Yields the templates in a part of a module.

    Args:
        node: of the syntax tree.
        shown: whether to take all texts, and not only those of exceptions.
        raised: whether the node is a part of an exception.
    """
    if isinstance(node, ast.Raise):
        if _name_of(node.exc) in (OF_PYTHON if shown else {*OF_PYTHON, "ValueError", "Problem", "OSError", None}):
            return
        raised = True
    elif isinstance(node, ast.Call) and _name_of(node) in NOT_MESSAGES:
        return
    elif isinstance(node, ast.Call) and _name_of(node) == "counted" and len(node.args) == 2 and (shown or raised):
        thing = _template(node.args[1])
        if thing is not None:
            yield from (f"{{:,}} {thing}", f"{{:,}} {thing}s")
            return
    text = _template(node)
    if text is not None:
        if (shown or raised) and text not in KEPT and _is_message(text):
            yield from map(_with_subject, _paragraphs(text))
        below = list(_values(node))
    else:
        below = [value for name, value in ast.iter_fields(node) if name not in ("annotation", "returns")]
    for one in below:
        for child in one if isinstance(one, list) else [one]:
            is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_docstring:
                yield from _of_code(child, shown, raised)


def _name_of(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Call):
        node = node.func
    return getattr(node, "id", getattr(node, "attr", None))


def _is_message(text: str) -> bool:
    """Returns whether a template has two words or a word beside a value, and is no code."""
    plain = text.replace("{:,}", "{}").replace("{}", "\0")
    if plain.strip() != plain and plain.strip().isalpha() and plain[0] == plain[-1] == " ":
        return False  # " and " between names
    return bool(WORD.search(text.replace("{:,}", "{}"))) and not CODE.search(plain)


def _template(node: ast.AST) -> str | None:
    """Returns a text with `{}` for its values; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _escaped(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(v) or "" if isinstance(v, ast.Constant) else _place(v) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _template(node.left), _template(node.right)
        if left is not None or right is not None:
            return ("{}" if left is None else left) + ("{}" if right is None else right)
    return None


def _place(value: Any) -> str:
    """Returns the place of a value, which says whether it is a number with commas."""
    spec = value.format_spec
    return "{:,}" if spec is not None and [getattr(part, "value", None) for part in spec.values] == [","] else "{}"


def _with_subject(text: str) -> str:
    """Returns a template with a place for its subject, if it begins with a verb."""
    return "{} " + text if VERB.match(text) else text


def _paragraphs(text: str) -> list[str]:
    """Returns the paragraphs of a docstring; any other text as it is."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()] if "\n\n" in text else [text]


def _values(node: ast.AST) -> Iterator[ast.expr]:
    """Yields the expressions of the values of a template."""
    if isinstance(node, ast.JoinedStr):
        yield from (value.value for value in node.values if isinstance(value, ast.FormattedValue))
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            yield from [side] if _template(side) is None else _values(side)
