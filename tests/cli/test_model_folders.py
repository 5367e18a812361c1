"""Every command that takes a model answers a damaged folder with exit code 4 and one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

FOLDERS = Path(__file__).parents[1] / "io" / "schema1"
COMMANDS = {
    "predict": ["predict", "MODEL", "data.csv"],
    "predict -": ["predict", "MODEL", "-"],
    "evaluate": ["evaluate", "MODEL", "data.csv"],
    "inspect": ["inspect", "MODEL", "a good film"],
    "health": ["health", "MODEL"],
    "generate": ["generate", "MODEL"],
}


class Touch:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def change(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["params"] |= values
    (folder / "config.json").write_text(json.dumps(config))


def panic(folder: Path) -> None:
    """A tokenizer at which the Rust library panics when it encodes a text."""
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 9}
    (folder / "tokenizer.json").write_text(json.dumps(content))


def not_finite(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"][0] = torch.nan
    save_file(weights, folder / "model.safetensors")


def pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


DAMAGE = {
    "brackets": lambda m: (m / "config.json").write_text("[" * 100_000),
    "pipe": pipe,
    "large": lambda m: change(m, hidden_size=20_000),
    "panic": panic,
    "pickle": lambda m: (m / "model.safetensors").write_bytes(pickle.dumps(Touch(m / "executed"))),
    "not finite": not_finite,
    "missing": shutil.rmtree,
}


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\na good film,pos\n")
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", COMMANDS)
def test_exit_code_and_one_sentence(recurra, data, capfd, monkeypatch, command, damage):
    monkeypatch.chdir(data)
    shutil.copytree(FOLDERS / "classify", data / "m")
    DAMAGE[damage](data / "m")
    words = ["m" if word == "MODEL" else word for word in COMMANDS[command]]
    code, out, err = recurra(*words)
    assert code == 4
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) <= 2
    assert "Traceback" not in err
    assert "panicked" not in err + "".join(capfd.readouterr())
    assert not (data / "m" / "executed").exists()


@pytest.mark.slow
def test_time_and_memory(data):
    """20,000 units declared, a header of 2^62 bytes and 60 MB of lists: seconds, and less than 2 GB."""
    for number, damage in enumerate(
        (
            lambda m: change(m, hidden_size=60_000, num_layers=200),
            lambda m: (m / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}"),
            lambda m: (m / "config.json").write_text("[" + "[]," * 20_000_000 + "[]]"),
            lambda m: (m / "tokenizer.json").write_text('{"a": "' + "x" * 60_000_000),
            lambda m: (m / "metrics.json").write_text("[" + "1.5," * 15_000_000 + "1]"),
        )
    ):
        shutil.copytree(FOLDERS / "classify", data / f"m{number}")
        damage(data / f"m{number}")
    script = (
        "import recurra, sys\n"
        "for path in sys.argv[1:]:\n"
        "    try: recurra.load(path)\n"
        "    except recurra.errors.ModelFolderError as error: print(error)\n"
        # not `ru_maxrss`: a new process starts with the value of the process that started it, here the test runner
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    folders = [str(data / f"m{number}") for number in range(5)]
    run = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stderr
    *errors, peak = run.stdout.splitlines()
    assert len(errors) == 5
    assert int(peak) < 2 << 20  # kilobytes


def test_a_look_inside_is_possible(recurra, data, monkeypatch):
    monkeypatch.chdir(data)
    shutil.copytree(FOLDERS / "classify", data / "m")
    not_finite(data / "m")
    assert recurra("inspect", "m", "a good film", "--allow-nonfinite", "--json")[0] == 0
    code, out, _ = recurra("health", "m", "--allow-nonfinite", "--json")
    assert code == 1  # red
    json.loads(out, parse_constant=pytest.fail)
