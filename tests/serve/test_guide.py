"""The guide to serving: every example runs against `recurra serve`, and its tables are those of the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serve_helpers import serving

from recurra.serve.problems import Problem
from recurra.serve.settings import Settings, limits

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "serving.md"
TEXT = GUIDE.read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8000"
START = "recurra serve reviews kettles plays\n"
NODE = shutil.which("node")


class Block(NamedTuple):
    """An example and the JSON lines below it."""

    language: str
    code: str
    shown: str


BLOCKS = [
    Block(*found)
    for found in re.findall(
        r"^```(bash|python|javascript)\n(.*?)^```$(?:\n\n```json\n(.*?)^```$)?", TEXT, re.MULTILINE | re.DOTALL
    )
]


# tables


def _range(limit: Any) -> str:
    """Range of a setting."""
    return f"from {limit.least:,}" if limit.most == 2**31 - 1 else f"{limit.least:,} to {limit.most:,}"


def table_of_settings() -> str:
    """The table of settings as Markdown."""
    lines = ["| option | default | range | purpose |", "|---|---|---|---|"]
    defaults = {field.name: field.default for field in fields(Settings)}
    for name, (kind, limit) in limits().items():
        default, option = defaults[name], f"--{name.replace('_', '-')}"
        if kind is bool:
            option, shown, allowed = f"{option}`, `--no-{option[2:]}", "on" if default else "off", ""
        elif kind in (int, float):
            number = f"{default:,g}" if kind is float else f"{default:,}"
            shown, allowed = f"{number} {limit.unit}", _range(limit)
        else:
            shown, allowed = default or "–", ""
            option = option.removesuffix("s") if default == () else option
        lines.append(f"| `{option}` | {shown} | {allowed} | {limit.text} |")
    return "\n".join(lines) + "\n"


def table_of_metrics(text: str) -> str:
    """The table of metrics as Markdown, from the answer of `/metrics`."""
    lines = ["| name | type | value |", "|---|---|---|"]
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    for name, value in re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE):
        if name.startswith("recurra_"):
            lines.append(f"| `{name}` | {kinds[name]} | {value} |")
    return "\n".join(lines) + "\n"


def _check(table: str) -> None:
    """Fails if the guide has another table. With RECURRA_UPDATE=1, writes the table instead."""
    head, text = table.splitlines()[0], GUIDE.read_text(encoding="utf-8")
    known = re.search(re.escape(head) + r"\n(?:\|.*\n)*", text)
    assert known is not None
    if os.environ.get("RECURRA_UPDATE") == "1":
        GUIDE.write_text(text.replace(known[0], table), encoding="utf-8")
        return
    assert table == known[0], "if this is intended, run this test with RECURRA_UPDATE=1"


def test_settings():
    _check(table_of_settings())


def test_metrics(sensor):
    with serving({"sensor": sensor}) as client:
        _check(table_of_metrics(client.get("/metrics").text))


def test_addresses(client):
    """The list of addresses is that of the server."""
    described = {path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/v1")}
    described = {re.sub("/models/[^/]+", "/models/MODEL", path).replace("{session}", "ID") for path in described}
    listed = set(re.findall(r"^\| `(/v1[^`]*)` \|", TEXT, re.MULTILINE))
    assert described | {"/v1/models/MODEL/stream"} == listed


def test_statuses_are_in_the_table():
    sources = (Path(__file__).parents[2] / "src" / "recurra" / "serve").rglob("*.py")
    used = {
        int(status)
        for path in sources
        for status in re.findall(r"(?:Problem|refuse|send_error|return)\((?:send, )?(\d{3}),", path.read_text("utf-8"))
    }
    assert used
    listed = {int(status) for status in re.findall(r"^\| (\d{3}) \|", TEXT, re.MULTILINE)}
    assert used <= listed
    assert Problem(422, "").to_json()["error"]["status"] in listed


# examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the guide."""
    folder = tmp_path_factory.mktemp("guide")
    _bash(BLOCKS[0].code, folder)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Host and port of `recurra serve`."""
    (start,) = (block for block in BLOCKS if block.code == START)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*start.code.split(), "--port", "0"], cwd=folder, env=_environment(), stderr=log)
    try:
        yield _listening(process, folder / "log")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(1200):
        found = re.search(r"http://(127\.0\.0\.1:\d+) serves", log.read_text("utf-8"))
        if found:
            return found[1]
        with_code = None
        try:
            with_code = process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"exit code {with_code}: {log.read_text('utf-8')}")
    raise AssertionError("the server did not start")


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def _bash(code: str, folder: Path) -> str:
    return _run(["bash", "-e", "-o", "pipefail", "-c", code], folder)


def _values(text: str) -> list[Any]:
    """JSON values of a text. They may follow each other without a line break."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def _near(found: Any, shown: Any) -> bool:
    """Returns whether two JSON values are equal, apart from numbers, which depend a little on the processor."""
    if isinstance(shown, dict) and isinstance(found, dict):
        return found.keys() == shown.keys() and all(_near(found[key], shown[key]) for key in shown)
    if isinstance(shown, list) and isinstance(found, list):
        return len(found) == len(shown) and all(map(_near, found, shown))
    if isinstance(shown, float):
        return abs(found - shown) < 0.1
    return found == shown


@pytest.mark.slow
def test_commands(folder, address):
    """Commands print the answers that are shown below them. They run in order, because later ones use earlier ones."""
    commands = [block for block in BLOCKS[1:] if block.language == "bash" and block.code != START]
    assert commands
    for block in commands:
        printed = _bash(block.code.replace(ADDRESS, address), folder)
        shown = _values(block.shown)
        if shown:
            assert _near(_values(printed)[: len(shown)], shown), (block.code, printed)
        elif "/generate" in block.code:
            assert printed.count("data: ") == 21
            assert "event: end" in printed


@pytest.mark.slow
def test_python_examples(folder, address):
    """All of them in their order, in one program."""
    program = "".join(block.code for block in BLOCKS if block.language == "python")
    _run([sys.executable, "-c", program.replace(ADDRESS, address)], folder)
    printed = _run([sys.executable, "-c", "from service import app; print(*app.state.server.models)"], folder)
    assert printed == "reviews\n"


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_javascript_examples(folder, address):
    examples = [block.code.replace(ADDRESS, address) for block in BLOCKS if block.language == "javascript"]
    assert NODE is not None
    flags = ["--experimental-websocket"] if _major(NODE) < 22 else []
    first, second = (_run([NODE, "--input-type=module", *flags, "-e", code], folder) for code in examples)
    assert "'1': 0." in first
    assert [line.split()[0] for line in second.splitlines()] == ["0", "1"]


def _major(node: str) -> int:
    return int(_run([node, "--version"], Path.cwd()).lstrip("v").partition(".")[0])
