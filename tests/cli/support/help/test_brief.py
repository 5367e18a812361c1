"""`--help`: the common options, those of the task, and their defaults."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import typer

import pinned
from recurra.cli.app import app
from recurra.cli.support.help import defaults
from recurra.cli.support.help.brief import RARE, default_texts
from recurra.cli.support.options import FitOptions, Network
from recurra.cli.tasks import task_module
from recurra.tasks.params import params_of
from recurra.tasks.registry import BUILT_IN

TASKS = [task.name for task in BUILT_IN]
LINES_BEFORE = 161
"""Median number of lines of `recurra fit TASK --help` at 80 columns before the options were divided."""


@pytest.fixture(autouse=True)
def _columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def commands(*names: str) -> Any:
    found = typer.main.get_command(app)
    for name in names:
        found = found.commands[name]  # type: ignore[attr-defined]
    return found


def shown(out: str, command: Any) -> set[str]:
    """The names of the parameters whose option is in a help text."""
    rows = re.findall(r"^│ [ *]{0,5}(--\S+)", out, re.MULTILINE)
    words = {word for row in rows for word in row.split(",")}
    return {p.name for p in command.params if p.opts[0].startswith("--") and words & {*p.opts, *p.secondary_opts}}


def test_defaults_are_those_of_the_estimators():
    lines = [
        '"""Defaults of the parameters of each task, in words. `tests/cli/support/help/test_brief.py` writes it."""',
        "",
    ]
    lines += ["# a copy, because importing the estimators would make `--help` slow", "", "DEFAULTS = {"]
    for task in BUILT_IN:
        lines.append(f'    "{task.name}": {{')
        lines += [f'        "{name}": "{text}",' for name, text in default_texts(task.load()).items()]
        lines.append("    },")
    lines += ["}", "", "CHOICES = {"]
    for name, allowed in sorted({n: s.allowed for t in BUILT_IN for n, s in params_of(t.load()).items()}.items()):
        if allowed:
            lines.append(f'    "{name}": ({", ".join(json.dumps(value) for value in allowed)}),')
    lines += ["}", '"""Values of parameters that are names, for the completion of a shell."""', ""]
    pinned.check(Path(defaults.__file__), "\n".join(lines))


@pytest.mark.parametrize("task", TASKS)
def test_help_has_no_option_that_the_task_does_not_use(recurra, task):
    for verb in ("fit", "tune"):
        out, command = recurra(verb, task, "--help-all")[1], commands(verb, task)
        network = {name for name in Network.__dataclass_fields__ if name != "old_watch"}
        assert shown(out, command) & network == network & defaults.DEFAULTS[task].keys()


@pytest.mark.parametrize("task", TASKS)
def test_help_of_a_model_has_no_option_that_it_does_not_use(recurra, tmp_path, task):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps({"task": task}))
    module = task_module(task)
    for verb in ("predict", "evaluate", "health", "inspect"):
        code, out, _ = recurra(verb, "m", "--help")
        command = commands(verb)
        fitting = {*module.OPTIONS, *getattr(module, "EVALUATE_OPTIONS", ())} - RARE
        assert code == 0
        assert shown(out, command) & set(command.shared) == {*fitting, "workers", "config"} & set(command.shared)


def test_help_is_at_most_half_as_long_as_before(recurra):
    lines = {task: len(recurra("fit", task, "--help")[1].splitlines()) for task in TASKS}
    assert statistics.median(lines.values()) <= LINES_BEFORE / 2, lines


@pytest.mark.parametrize("task", TASKS)
def test_every_default_is_shown(task):
    for parameter in commands("fit", task).params:
        text = defaults.DEFAULTS[task].get(parameter.name)
        if text is not None and not parameter.hidden:
            assert "default" in parameter.help.lower(), f"fit {task} {parameter.opts[0]} does not tell its default"
            assert re.search("By default|Default:", parameter.help) or text in parameter.help


def test_brackets_are_shown(recurra):
    out = " ".join(recurra("fit", "classify", "--help-all")[1].replace("│", " ").split())
    assert "It needs recurra[cluster]." in out
    assert "[default: lstm]" in out


def test_rare_options_exist():
    names = {p.name for verb in ("fit", "tune") for c in commands(verb).commands.values() for p in c.params}
    assert names >= RARE
    assert {"valid", "out", "resume"} <= set(FitOptions.__dataclass_fields__) - RARE
