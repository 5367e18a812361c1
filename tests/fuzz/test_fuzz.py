"""Damaged input gives a clear error or a right answer, in bounded time and memory (`make test-fuzz`)."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

from .harness import ALLOWED, Fuzz
from .mutate import damage, damage_json, damage_safetensors
from .seeds import MODELS, QUICK, SEEDS, Seed, fit_command, inside

pytestmark = pytest.mark.fuzz


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# readers


@pytest.mark.parametrize("seed", SEEDS.values(), ids=lambda seed: seed.name)
def test_damaged_data_file(fuzz: Fuzz, seed: Seed) -> None:
    clean = fresh(fuzz.folder / "clean")
    seed.write(clean / seed.name)
    name = seed.damaged or seed.name
    for command in seed.commands:
        arguments = [seed.name if word == "FILE" else word for word in command] + [*QUICK, "--out", "m"]
        assert fuzz.server.run("command", arguments, clean, 60).code == 0
        shutil.rmtree(clean / "m")
    content = (clean / name).read_bytes()
    unpacked, pack = inside(name, content)
    for number in fuzz.cases():
        rng = random.Random(number)
        folder = fresh(fuzz.folder / "case") / "work"
        shutil.copytree(clean, folder)
        damaged = pack(damage(unpacked, rng)) if rng.random() < 0.7 else damage(content, rng)
        (folder / name).write_bytes(damaged)
        command = rng.choice(seed.commands)
        arguments = [seed.name if word == "FILE" else word for word in command] + [*QUICK, "--out", "m"]
        outcome = fuzz.check(f"{seed.name}-{number}", arguments, folder)
        assert (folder / "m").is_dir() == (outcome.code == 0)


# model folders


def trained(fuzz: Fuzz, task: str) -> Path:
    """A folder with a trained model `m` of a task and the seed file of its data."""
    folder = fresh(fuzz.folder / "trained")
    name = MODELS[task][0]
    SEEDS[name].write(folder / name)
    outcome = fuzz.server.run("command", fit_command(task), folder, 60)
    assert outcome.code == 0, outcome.err
    return folder


def damage_model_file(path: Path, rng: random.Random) -> None:
    """Damages one file of a model folder by its kind."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        path.write_bytes(damage_safetensors(content, rng))
    elif path.suffix == ".json" and rng.random() < 0.8:
        path.write_bytes(damage_json(content, rng))
    elif rng.random() < 0.1:
        path.unlink()
    else:
        path.write_bytes(damage(content, rng))


@pytest.mark.parametrize("task", MODELS)
def test_damaged_model_folder(fuzz: Fuzz, task: str) -> None:
    clean = trained(fuzz, task)
    name, _, commands = MODELS[task]
    for command in commands:
        outcome = fuzz.server.run("command", [{"M": "m", "F": name}.get(w, w) for w in command], clean, 60)
        assert outcome.code in ({0, 1} if command[0] == "health" else {0}), outcome.err
    for number in fuzz.cases():
        rng = random.Random(number)
        folder = fresh(fuzz.folder / "case") / "work"
        shutil.copytree(clean, folder)
        files = sorted(p for p in (folder / "m").iterdir() if p.suffix != ".md")
        damage_model_file(rng.choice(files), rng)
        command = rng.choice(commands)
        arguments = [{"M": "m", "F": name}.get(word, word) for word in command]
        allowed = ALLOWED | {1} if command[0] == "health" else ALLOWED  # a red light
        outcome = fuzz.check(f"model-{task}-{number}", arguments, folder, allowed=allowed)
        for line in outcome.out.splitlines() if command[0] == "predict" else ():
            json.loads(line, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"the output holds {name}, which is not JSON")


# checkpoints


def unfinished(fuzz: Fuzz, folder: Path) -> list[str]:
    """Leaves a run that was killed after its first epoch, and gives its command."""
    SEEDS["reviews.csv"].write(folder / "reviews.csv")
    command = [
        "fit",
        "classify",
        "reviews.csv",
        "--input",
        "text",
        "--target",
        "label",
        "--out",
        "m",
        "--hidden-size",
        "4",
    ]
    command += ["--epochs", "6", "--patience", "9", "--checkpoint-minutes", "0"]
    outcome = fuzz.server.run("killed", [command, "m.training/last.ckpt", 3], folder, 60)
    assert outcome.code == -9, outcome.err
    assert (folder / "m.training" / "last.ckpt").exists()
    return [*command, "--resume"]


def test_damaged_checkpoint(fuzz: Fuzz) -> None:
    clean = fresh(fuzz.folder / "clean")
    command = unfinished(fuzz, clean)
    whole = fresh(fuzz.folder / "whole") / "work"
    shutil.copytree(clean, whole)
    assert fuzz.server.run("command", command, whole, 60).code == 0
    weights = (whole / "m" / "model.safetensors").read_bytes()
    for number in fuzz.cases():
        rng = random.Random(number)
        folder = fresh(fuzz.folder / "case") / "work"
        shutil.copytree(clean, folder)
        files = sorted(p for p in (folder / "m.training").rglob("*") if p.is_file() and p.stat().st_size)
        path = rng.choice(files)
        path.write_bytes(damage(path.read_bytes(), rng))
        outcome = fuzz.check(f"checkpoint-{number}", command, folder)
        if outcome.code == 0:
            assert (folder / "m" / "model.safetensors").read_bytes() == weights, f"other weights, case {number}"


# command line

WORDS = (
    "",
    " ",
    "-",
    "--",
    "abc",
    "가나다",
    "a" * 300,
    "a/b",
    "/",
    ".",
    "..",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "0",
    "1",
    "2",
    "-1",
)
WORDS += (
    "0.5",
    "1.5",
    "4294967296",
    "18446744073709551616",
    "1e-320",
    "0x10",
    "1,2",
    "1,,2",
    "nan,1,1",
    "data.csv",
    "m",
)
WORDS += (
    "text",
    "label",
    "none",
    "lstm",
    "auto",
    "cuda",
    "cuda:99",
    "meta",
    "full",
    "utf-16",
    "cp949",
    "\t",
    ";",
    "%Y",
    "on",
)
LONG_BY_DESIGN = {"bench", "demo", "lab"}
"""Commands that train for minutes whatever their input is."""
COUNTS = {"--epochs", "--max-minutes"}
"""Options whose large values ask for a long run, which is what the user wants."""


def commands(group: Any, prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """All commands of the command line with their words."""
    found = []
    for name, command in group.commands.items():
        if name in LONG_BY_DESIGN:
            continue
        words = (*prefix, name)
        found += commands(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


def draw_value(option: Any, rng: random.Random) -> str:
    """A value for an option: nasty, or nearly right."""
    name = option.opts[0] if option.opts else ""
    if name in COUNTS:
        return rng.choice(("0", "1", "2", "-1", "nan", "abc", "", "0.001"))
    return rng.choice(WORDS)


def draw_command(words: tuple[str, ...], command: Any, rng: random.Random) -> list[str]:
    """A command line with some options, right and wrong."""
    arguments = list(words)
    options = [p for p in command.params if isinstance(p, click.Option) or p.param_type_name == "option"]
    positional = [p for p in command.params if p.param_type_name == "argument"]
    for parameter in positional:
        if rng.random() < 0.95:
            right = "m" if parameter.name == "model" else "data.csv"
            arguments.append(right if rng.random() < 0.8 else rng.choice(WORDS))
    chosen = rng.sample(options, rng.randint(0, min(4, len(options))))
    if words[0] == "fit":
        arguments += ["--epochs", "1", "--hidden-size", "4", "--max-minutes", "0.05"]
        right = {"--input": "text", "--target": "label", "--source": "text"}
        arguments += [
            w for o in options for name in o.opts if name in right and rng.random() < 0.8 for w in (name, right[name])
        ]
    for option in chosen:
        if "--help" in option.opts:
            continue
        arguments.append(rng.choice([*option.opts, *option.secondary_opts]))
        if not option.is_flag:
            arguments.append(draw_value(option, rng))
    return arguments


def test_command_line(fuzz: Fuzz) -> None:
    import typer

    from recurra.cli.app import app

    clean = trained(fuzz, "classify")
    (clean / "data.csv").write_bytes((clean / "reviews.csv").read_bytes())
    known = commands(typer.main.get_command(app))
    for number in fuzz.cases():
        rng = random.Random(number)
        folder = fresh(fuzz.folder / "case") / "work"
        shutil.copytree(clean, folder)
        words, command = rng.choice(known)
        arguments = draw_command(words, command, rng)
        allowed = ALLOWED | {1} if words[0] == "health" else ALLOWED  # a red light
        fuzz.check(f"command-{number}", arguments, folder, allowed=allowed)


# layers


def test_layers_as_torchs(fuzz: Fuzz) -> None:
    folder = fresh(fuzz.folder / "case")
    for number in fuzz.cases(100):
        fuzz.check(f"layer-{number}", number, folder, allowed={0}, call="layer")
