"""Changes one place of the code at a time and counts how often the fast tests notice: `make test-mutation`.

cosmic-ray makes the changes. Its own runner is not used: it knows one test command for all modules, and it edits the
files of the working tree. Here every mutant is a forked process, in which an import hook serves the changed module, and
the tests of that module run first. A mutant is noticed if a test fails, the process dies, or a test does not end.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import math
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.plugins
import pytest

ROOT = Path(__file__).parents[2]
SOURCE, TESTS = ROOT / "src", ROOT / "tests"
PARTS = (
    "cells", "ops", "nn", "data", "training",
    "tasks/ctc", "tasks/filling", "tasks/language", "tasks/tagger", "tasks/translate/search",
    "tasks/forecasting/decode", "tasks/forecasting/bands", "tasks/forecasting/split",
)  # fmt: skip
"""What is changed: folders and modules of the package; of the tasks, the decoders and what forecasts rest on."""
LEAST = 0.9
"""Share of the mutants, without the equivalent ones, that must be noticed."""
TEST_SECONDS, ALL_SECONDS, CONTROL_SECONDS = 40, 90, 10
"""Processor time after which one test counts as endless, after which a mutant counts as not noticed, and for which the
tests of each folder run on unchanged code before."""
GRACE = 60
"""Seconds after the end of the time in which begun mutants may end; those that do not are not counted."""
PRELOADED = ("torch", "pytorch_lightning", "pyarrow.parquet", "sklearn.pipeline", "xarray", "tokenizers")
"""Imported once, before the processes are forked. They import nothing of the package."""


@dataclass(frozen=True)
class Mutant:
    """One change: an operator of cosmic-ray at one of the places where it applies."""

    path: Path
    line: int
    operator: str
    occurrence: int

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")

    def code(self) -> str:
        """The changed module; as it is, if cosmic-ray does not make Python of it."""
        before = self.path.read_text(encoding="utf-8")
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        after = cosmic_ray.mutating.mutate_code(before, operator, self.occurrence) or before
        try:
            same = ast.dump(ast.parse(after)) == ast.dump(ast.parse(before))
        except SyntaxError:
            same = True
        return before if same else after

    def changed_lines(self) -> tuple[list[str], list[str]]:
        """The lines that differ, before and after."""
        before = self.path.read_text(encoding="utf-8").splitlines()
        found = list(difflib.unified_diff(before, self.code().splitlines(), n=0, lineterm=""))[3:]
        return tuple([line[1:].strip() for line in found if line[0] == sign] for sign in "-+")  # type: ignore[return-value]

    def key(self) -> tuple[str, str, str]:
        """File, lines before and lines after, as in equivalent.toml."""
        before, after = self.changed_lines()
        return str(self.path.relative_to(ROOT)), " ".join(before), " ".join(after)

    def __str__(self) -> str:
        before, after = self.changed_lines()
        shown = "".join(
            f"\n    {sign} {line}" for sign, lines in zip("-+", (before, after), strict=True) for line in lines
        )
        return f"{self.path.relative_to(ROOT)}:{self.line}{shown}"


def mutants_of(path: Path) -> Iterator[list[Mutant]]:
    """The mutants of a file, those of one place together."""
    text = path.read_text(encoding="utf-8")
    left_out, places = set(_lines_of_annotations(text)), {}
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(text)))
    for name in cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if operator_class.arguments():
            continue
        positions = itertools.chain.from_iterable(map(operator_class().mutation_positions, nodes))
        for occurrence, (begin, end) in enumerate(positions):
            if not any(first <= begin and end <= last for first, last in left_out):
                places.setdefault((begin, end), []).append(Mutant(path, begin[0], name, occurrence))
    yield from places.values()


def _lines_of_annotations(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Places that nothing runs: annotations, and imports for the type checker."""
    for node in ast.walk(ast.parse(text)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found.append(node)
        for part in found:
            if isinstance(part, ast.AST):
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)  # type: ignore[attr-defined]


def tests_of(mutant: Mutant) -> list[str]:
    """The test files for a mutant: that of its module, those that import the module, the others of its folder."""
    inside = mutant.path.relative_to(SOURCE / "recurra")
    folder = TESTS / inside.parts[0]
    package, _, name = mutant.module.rpartition(".")
    imports = f"from {mutant.module} import", f"import {mutant.module}", f"from {package} import"

    def order(path: Path) -> tuple[bool, bool, bool, str]:
        text = _text(path)
        named = any(mark in text for mark in imports[:2]) or (imports[2] in text and name in text)
        return path.stem != f"test_{name}", path.parent != folder, not named, str(path)

    found = sorted(
        (path for path in TESTS.rglob("test_*.py") if path.parent == folder or not order(path)[2]), key=order
    )
    return [str(path) for path in found if "mutation" not in path.parts and "fuzz" not in path.parts]


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class _Loader(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    """Finds one module and runs other code than its file holds."""

    def __init__(self, mutant: Mutant, changed: bool) -> None:
        super().__init__(mutant.module, str(mutant.path))
        text = mutant.code() if changed else mutant.path.read_text(encoding="utf-8")
        self.code = compile(text, str(mutant.path), "exec", dont_inherit=True)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> Any:
        return self.code


class _Limits:
    """A plugin of pytest that limits the processor time of one test and of all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        if time.process_time() > self.seconds:
            pytest.exit("time is up", returncode=0)
        signal.setitimer(signal.ITIMER_PROF, TEST_SECONDS)  # SIGPROF ends the process, also inside C++
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)


def _run(mutant: Mutant, changed: bool) -> None:
    """In a process of its own: ends with 0 if the tests pass, with the module changed or as it is."""
    os.setsid()
    devnull = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(devnull, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))
    sys.meta_path.insert(0, _Loader(mutant, changed))
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    os._exit(
        int(pytest.main([*options, *tests_of(mutant)], plugins=[_Limits(ALL_SECONDS if changed else CONTROL_SECONDS)]))
    )


def noticed(
    mutants: Iterator[Mutant], seconds: float, processes: int, changed: bool = True
) -> Iterator[tuple[Mutant, bool]]:
    """Runs mutants until the time is up; yields each with whether a test noticed it.

    Args:
        mutants: which, in this order.
        seconds: time in which they are begun.
        processes: how many run at a time.
        changed: whether the modules are changed; if not, the tests are expected to pass.
    """
    end, running = time.monotonic() + seconds, {}
    fork = multiprocessing.get_context("fork")
    while True:
        while len(running) < processes and time.monotonic() < end and (mutant := next(mutants, None)):
            process = fork.Process(target=_run, args=(mutant, changed), daemon=True)
            process.start()
            running[process] = mutant
        if not running:
            return
        multiprocessing.connection.wait([process.sentinel for process in running], timeout=1)
        late = time.monotonic() > end + GRACE
        for process, mutant in list(running.items()):
            if process.is_alive() and late:
                os.killpg(process.pid, signal.SIGKILL)  # neither noticed nor missed: its tests had not ended
                process.join()
                del running[process]
            elif not process.is_alive():
                del running[process]
                yield mutant, process.exitcode != 0


def equivalent() -> set[tuple[str, str, str]]:
    """The mutants that a person found to be equivalent: file, line before, line after."""
    listed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))
    return {(entry["file"], entry["line"], entry["becomes"]) for entry in listed["mutant"]}


def sample(seed: int, only: str) -> list[Mutant]:
    """Mutants in random order: places at random, and one mutant of each."""
    files = [
        path for part in PARTS for path in _files(SOURCE / "recurra" / part) if only in str(path.relative_to(ROOT))
    ]
    places = [place for path in files for place in mutants_of(path)]
    chance = random.Random(seed)
    chance.shuffle(places)
    return [chance.choice(place) for place in places]


def _files(part: Path) -> list[Path]:
    return sorted(part.rglob("*.py")) if part.is_dir() else [part.with_suffix(".py")]


def main() -> int:
    """Prints each mutant as it is done, then those that were not noticed; 1 if there are too many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240, help="time in which mutants are begun")
    parser.add_argument("--seed", type=int, default=0, help="which mutants are chosen")
    parser.add_argument("--only", default="", help="part of a path, such as ops/ or nn/chain.py")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    known = equivalent()
    mutants = sample(asked.seed, asked.only)
    for name in PRELOADED:
        importlib.import_module(name)
    control = {mutant.path.parent: mutant for mutant in mutants}
    for mutant, failed in noticed(iter(control.values()), math.inf, asked.processes, changed=False):
        if failed:
            print("the tests fail without a change:", *tests_of(mutant), sep="\n    ")
            return 2
    count, survivors = 0, []
    different = (m for m in mutants if m.key() not in known and m.key()[1] != m.key()[2])
    for mutant, found in noticed(different, asked.seconds, asked.processes):
        count += 1
        if not found:
            survivors.append(mutant)
        print("noticed    " if found else "NOT noticed", mutant, flush=True)
    share = (count - len(survivors)) / max(count, 1)
    print(f"\n{count} of {len(mutants)} mutants, seed {asked.seed}: {share:.1%} noticed")
    for mutant in survivors:
        print("not noticed:", mutant)
    return int(share < LEAST or not count)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
