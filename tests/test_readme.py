"""Every command and every example of the READMEs runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.ko.md"]


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [code for found, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if found == language]


def test_make_commands_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for name in READMES:
        (commands,) = blocks(name, "")
        targets = [line.split()[1] for line in commands.splitlines()]
        assert targets == ["demo", "test"]
        assert all(f"\n{target}:" in makefile for target in targets)


def test_pictures_and_links_are_there():
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"^\[\w+\]: (\S+)$", text, re.M)
        assert set(re.findall(r"\]\[(\w+)\]", text)) == set(re.findall(r"^\[(\w+)\]: ", text, re.M))
        assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", READMES)
def test_python_examples(name, tmp_path):
    """Every example prints the output that is shown below it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, re.M | re.S)
    assert [code for code, _ in found] == blocks(name, "python") != []
    for code, shown in found:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, shown), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", READMES)
def test_commands(name, tmp_path):
    """The last command prints the output that is shown, apart from the probability, which depends on the processor."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (commands,) = blocks(name, "bash")
    printed = ""
    for command in commands.splitlines():
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
        printed = done.stdout
    without_digits = re.compile(r"(?<=\d\.)\d+")
    assert without_digits.sub("", printed) in [without_digits.sub("", text) for text in blocks(name, "text")]


GUIDES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "guides").glob("*.md"))


WITH_SERVER = "docs/guides/serving.md"
"""Its examples need a server: `tests/serve/test_guide.py` runs them."""
WITH_PROGRAMS = "docs/guides/export.md"
"""It contains programs in other languages: `tests/exporting/test_guide.py` runs them."""
TRANSLATED = [name for name in GUIDES if name.endswith(".ko.md")]


def test_each_guide_has_a_korean_version():
    assert {name.replace(".ko.md", ".md") for name in TRANSLATED} == set(GUIDES) - set(TRANSLATED)


@pytest.mark.parametrize("name", TRANSLATED)
def test_translated_guides_have_the_same_commands_and_examples(name):
    for language in ("bash", "python"):
        assert blocks(name, language) == blocks(name.replace(".ko.md", ".md"), language)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(GUIDES) - {*TRANSLATED, WITH_SERVER, WITH_PROGRAMS}))
def test_guides(name, tmp_path):
    """Commands and examples of a guide, in their order, in one folder; an example knows the names before it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.M | re.S)
    assert found
    run = "import subprocess\nsubprocess.run(['bash', '-e', '-c', {!r}], check=True)\n"
    program = "".join(run.format(code) if language == "bash" else code for language, code in found)
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_links_of_guides_are_there():
    for name in GUIDES:
        links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
        assert [link for link in links if "://" not in link and not (ROOT / name).parent.joinpath(link).exists()] == []
