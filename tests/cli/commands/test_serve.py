"""Errors of `recurra serve`: a clear message and the right exit code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from recurra import SequenceRegressor


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model folder."""
    folder = tmp_path_factory.mktemp("models") / "sensor"
    estimator = SequenceRegressor(hidden_size=3, epochs=1, verbose=0)
    estimator.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 6, [1.0, 2.0] * 6).save(folder)
    return folder


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("a-key-of-20-letters-\n")
    path.chmod(0o600)
    return path


def test_names(recurra, model, tmp_path):
    assert recurra("serve")[0] == 2
    code, _, said = recurra("serve", model, model)
    assert (code, "two models have the name 'sensor'" in said) == (2, True)
    code, _, said = recurra("serve", f"a={model}", f"a={tmp_path}")
    assert (code, "two models have the name 'a'" in said) == (2, True)
    for name in ("", "a b", "ä", "-a", "a?b", "x" * 101):
        code, _, said = recurra("serve", "--", f"{name}={model}")
        assert code == 2
        assert "cannot be part of an address" in said


def test_model_folders(recurra, model, tmp_path):
    code, _, said = recurra("serve", "missing", "--port", 0)
    assert (code, "missing" in said) == (4, True)
    (tmp_path / "empty").mkdir()
    assert recurra("serve", model, "empty", "--port", 0)[0] == 4


def test_addresses(recurra, model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, said = recurra("serve", model, "--port", port)
    assert (code, f"port {port} of 127.0.0.1 is in use" in said) == (1, True)
    code, _, said = recurra("serve", model, "--host", "no-such-host.invalid")
    assert (code, "cannot be resolved" in said) == (2, True)
    code, _, said = recurra("serve", model, "--host", "192.0.2.1")  # reserved for documentation
    assert (code, "is not an address of this machine" in said) == (2, True)
    assert recurra("serve", model, "--port", 70_000)[0] == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may use every port")
def test_privileged_ports(recurra, model):
    code, _, said = recurra("serve", model, "--port", 80)
    assert (code, "needs the rights of an administrator" in said) == (1, True)


def test_key_files(recurra, model, keys):
    def run(content: str) -> tuple[int, str]:
        keys.write_text(content)
        code, _, said = recurra("serve", model, "--port", 0, "--keys", keys)
        return code, said

    for content in ("", "# only a comment\n", "\n\n"):
        code, said = run(content)
        assert (code, "has no key" in said) == (3, True)
    for content in ("short", "name:short", "a:b:cccccccccccccccccccc", "with space in the middle", "x" * 300):
        code, said = run(f"# a comment\n{content}")
        assert (code, "line 2: a key has 16 to 256" in said) == (3, True)
    assert "the same key is in an earlier line" in run(f"{'k' * 20}\na:{'k' * 20}")[1]
    assert "not ASCII" in run("키" * 20)[1]
    keys.chmod(0o640)
    code, said = run("k" * 20)
    assert (code, f"chmod 600 {keys}" in said) == (3, True)
    assert recurra("serve", model, "--port", 0, "--keys", keys.parent)[0] == 3
    code, _, said = recurra("serve", model, "--port", 0, "--keys", "missing")
    assert (code, "missing cannot be read: No such file" in said) == (3, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--max-batch", 0),
        ("--idle", -1),
        ("--durability", "always"),
        ("--origin", "example.org"),
        ("--allowed-host", "http://example.org"),
    ],
)
def test_settings(recurra, model, options):
    code, _, said = recurra("serve", model, *options)
    assert code == 2
    assert options[0].lstrip("-").replace("-", "")[:6] in said.replace("-", "").replace("_", "")


def test_a_missing_extra(recurra, model, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("recurra.serve.process")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, said = recurra("serve", model)
    assert (code, "pip install 'recurra[serve]'" in said) == (2, True)


@pytest.mark.slow  # imports torch in another process
def test_serves_and_ends(model, tmp_path):
    """One line on standard error has the URL and the names of the models; without keys, 0.0.0.0 is warned of."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "recurra", "serve", model, f"other={model}", "--port", "0"]
    command += ["--host", "0.0.0.0"]  # noqa: S104
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r"(http://0.0.0.0:\d+) serves sensor, other\n", log.read_text())):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        assert log.read_text().startswith("warning: everyone who reaches 0.0.0.0 can use the server")
        url = found[1].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        answer = httpx.post(f"{url}/v1/models/other/predict", json={"inputs": [[1.0, 2.0]]}, timeout=30)
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
