"""Completion as bash runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from recurra.cli.support.values.completion import _VALUES
from recurra.tasks.params import params_of
from recurra.tasks.registry import BUILT_IN
from recurra.training.optimizers import OPTIMIZERS, SCHEDULES

SCRIPT = """
eval "$(_RECURRA_COMPLETE=source_bash recurra)"
complete -p recurra
COMP_WORDS=({words}) COMP_CWORD={last}
_recurra_completion recurra
echo "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def environment(tmp_path):
    """The variables of a shell that finds `recurra`, and a module that refuses to be imported as torch."""
    (tmp_path / "recurra").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recurra "$@"\n')
    (tmp_path / "recurra").chmod(0o755)
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')\n")
    paths = [str(tmp_path), *sys.path]
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ev"], ["evaluate"]),
        (["fit", "trans"], ["translate", "transcribe"]),
        (["fit", "classify", "--hid"], ["--hidden-size"]),
        (["fit", "classify", "x.csv", "--cell", "gr"], ["gru"]),
        (["fit", "tag", "--characters", ""], ["jamo", "char", "none"]),
        (["--language", "k"], ["ko"]),
    ],
)
def test_bash(environment, words, found):
    quoted = " ".join(["recurra", *(repr(word) for word in words)])
    script = SCRIPT.format(words=quoted, last=len(words))
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    registered, completed = done.stdout.splitlines()
    assert "-F _recurra_completion recurra" in registered
    assert completed.split() == found, done.stderr


def test_zsh_and_fish_get_a_script(environment):
    for shell in ("zsh", "fish"):
        variables = {**environment, "_RECURRA_COMPLETE": f"source_{shell}"}
        done = subprocess.run(["recurra"], env=variables, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"_RECURRA_COMPLETE=complete_{shell}" in done.stdout


def test_values_are_those_of_the_parameters():
    assert set(_VALUES["optimizer"]) == set(OPTIMIZERS)
    assert set(_VALUES["schedule"]) == set(SCHEDULES)
    for task in BUILT_IN:
        for name, spec in params_of(task.load()).items():
            if spec.choices:
                assert set(_VALUES[name]) == set(spec.allowed)
