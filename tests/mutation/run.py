"""Changes one place of the code at a time and counts how often the fast tests notice: `make test-mutation`.

cosmic-ray makes the changes. Its own runner is not used: it knows one test command for all modules, and it edits the
files of the working tree. Here every mutant is a forked process, in which an import hook serves the changed module, and
the tests of that module run first. A mutant is noticed if a test fails, the process dies, or a test does not end.
At the end, every test that noticed something runs once more on unchanged code, and must pass. Without that, a test that
always fails, or takes minutes by itself, would seem to notice everything.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import sys
import tempfile
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
PARTS = {
    **{folder: (folder,) for folder in ("cells", "ops", "nn", "data", "training")},
    "decoders": (
        "tasks/transcribe/decode", "tasks/fill/search", "tasks/generate/network", "tasks/tag/network",
        "tasks/translate/search", "tasks/forecast/decode", "tasks/forecast/intervals", "tasks/forecast/split",
    ),
}  # fmt: skip
"""What is changed: folders and modules of the package. Of the tasks, the decoders and what forecasts rest on."""
LEFT_OUT = ("plot.py", "plots.py", "learning_curve.py", "progress.py", "build_report.py")
"""Modules that draw pictures or word messages: what they show is not worth an exact test."""
LEAST = 0.9
"""Share of the mutants, without the equivalent ones, that must be noticed."""
TEST_SECONDS, ALL_SECONDS = 15, 30
"""Processor time after which one test counts as endless, and after which a mutant counts as not noticed. It is not the
time on the clock: that says little on a busy machine."""
LONGER = 4
"""A test notices an endless loop only if it takes this many times less processor time on unchanged code."""
GRACE = 60
"""Seconds after the end of the time in which begun mutants may end; those that do not are not counted."""
PRELOADED = ("torch", "pytorch_lightning", "pyarrow.parquet", "sklearn.pipeline", "xarray", "tokenizers")
"""Imported once, before the processes are forked. They import nothing of the package."""


@dataclass(frozen=True)
class Mutant:
    """One change: an operator of cosmic-ray at one of the places where it applies."""

    path: Path
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")

    def code(self) -> str:
        """The changed module; as it is, if cosmic-ray does not make Python of it."""
        before = self.path.read_text(encoding="utf-8")
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        try:
            after = cosmic_ray.mutating.mutate_code(before, operator, self.occurrence) or before
            same = ast.dump(ast.parse(after)) == ast.dump(ast.parse(before))
        except (SyntaxError, AttributeError):  # an exception that is an attribute of a module cannot be replaced
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
    left_out, places = set(_left_out(text)), {}
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(text)))
    nodes = [node for node in nodes if node.type not in ("name", "newline", "string")]  # no operator changes them
    for name in cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if operator_class.arguments():
            continue
        positions = itertools.chain.from_iterable(map(operator_class().mutation_positions, nodes))
        for occurrence, (begin, end) in enumerate(positions):
            if not any(first <= begin and end <= last for first, last in left_out):
                places.setdefault((begin, end), []).append(Mutant(path, *begin, name, occurrence))
    yield from places.values()


def _left_out(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Places that are not changed.

    Nothing runs annotations and imports for the type checker. The wording of messages is not worth an exact test: what
    stands in the call of a `raise`, `warnings.warn` or `warn`, and in `__repr__` and `__str__`. `zip(strict=True)`
    checks what the code around it has made sure of.
    """
    for node in ast.walk(ast.parse(text)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found.append(node)
        if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__", "extra_repr"):
            found.append(node)
        if isinstance(node, ast.Raise):
            found.append(node.exc)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "warn":
            found.append(node)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
            found += [keyword.value for keyword in node.keywords]
        for part in found:
            if isinstance(part, ast.AST):
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)  # type: ignore[attr-defined]


def tests_of(mutant: Mutant) -> list[str]:
    """The tests for a mutant: the module's examples, its test file, those that import it, the others of the folder."""
    own = TESTS / mutant.path.relative_to(SOURCE / "recurra").parent
    package, _, name = mutant.module.rpartition(".")
    imports = f"from {mutant.module} import", f"import {mutant.module}", f"from {package} import"

    def order(path: Path) -> tuple[bool, bool, bool, bool, str]:
        text = _text(path)
        named = any(mark in text for mark in imports[:2]) or (imports[2] in text and name in text)
        return path.stem != f"test_{name}", path.parent != own, not named, not path.is_relative_to(own), str(path)

    area = TESTS / own.relative_to(TESTS).parts[0]
    found = sorted(
        (path for path in TESTS.rglob("test_*.py") if path.is_relative_to(area) or not order(path)[2]), key=order
    )
    files = [str(path) for path in found if "mutation" not in path.parts and "fuzz" not in path.parts]
    text = _text(mutant.path)
    name = ".".join(mutant.path.relative_to(SOURCE).with_suffix("").parts)
    examples = f"{TESTS / 'test_doctests.py'}::test_examples[{name}]"
    return [examples, *files] if ">>> " in text and ".fit(" not in text else files


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class _Loader(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    """Finds one module and runs other code than its file holds."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.path))
        self.code = compile(mutant.code(), str(mutant.path), "exec", dont_inherit=True)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> Any:
        return self.code


class _Watch:
    """A plugin of pytest that limits the processor time and writes down what the tests do."""

    def __init__(self, log: Path, seconds: float, wanted: set[str] | None) -> None:
        self.log, self.seconds, self.wanted, self.over = log, seconds, wanted, False

    def write(self, *words: object) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            print(*words, file=file, sep="\t")

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        phases = Phase.explicit, Phase.generate  # one example that fails is enough, it need not be made small
        settings.register_profile("quick", settings(), derandomize=True, database=None, phases=phases)
        settings.load_profile("quick")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.seconds += time.process_time() - begun  # seconds are for the tests, not for reading them

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        begun = time.process_time()
        self.over = begun > self.seconds
        if self.over:
            pytest.exit("time is up", returncode=0)
        self.write("begun", item.nodeid)
        signal.setitimer(signal.ITIMER_PROF, TEST_SECONDS)  # SIGPROF ends the process, also inside C++
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.write("ended", item.nodeid, time.process_time() - begun)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.write("failed", report.nodeid)


def _begin(*tests: str, watch: _Watch, mutant: Mutant | None = None, first: bool = True) -> Any:
    """Starts a process that runs tests, with a module changed or not. It ends with 0 if they pass."""

    def run() -> None:
        os.setsid()
        devnull = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(devnull, descriptor)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))
        if mutant is not None:
            sys.meta_path.insert(0, _Loader(mutant))
        options = [*(["-x"] if first else []), "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        options += ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
        stages = tests[:1], tests[1:4], tests[4:]  # the later files are read only if the first ones notice nothing
        for stage in filter(None, stages if first else [tests]):
            code = int(pytest.main([*options, *stage], plugins=[watch]))
            if watch.over or code not in (0, 5):  # 5: none was to run
                os._exit(code)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=run)  # not a daemon: tests start processes too
    process.start()
    return process


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: whether it was noticed, by which test (empty: while tests were read), and how."""

    mutant: Mutant
    noticed: bool
    test: str
    endless: bool


def outcomes(mutants: Iterator[Mutant], seconds: float, processes: int, folder: Path) -> Iterator[Outcome]:
    """Runs mutants until the time is up.

    Args:
        mutants: which, in this order.
        seconds: time in which they are begun.
        processes: how many run at a time.
        folder: an empty folder, for what the processes write down.
    """
    end, running, count = time.monotonic() + seconds, {}, 0
    while True:
        while len(running) < processes and time.monotonic() < end and (mutant := next(mutants, None)):
            count += 1
            watch = _Watch(folder / str(count), ALL_SECONDS, None)
            running[_begin(*tests_of(mutant), watch=watch, mutant=mutant)] = mutant, watch.log
        if not running:
            return
        multiprocessing.connection.wait([process.sentinel for process in running], timeout=1)
        late = time.monotonic() > end + GRACE
        for process, (mutant, log) in list(running.items()):
            if process.is_alive() and late:
                os.killpg(process.pid, signal.SIGKILL)  # neither noticed nor missed: its tests had not ended
                process.join()
                del running[process]
                print("not ended  ", mutant, flush=True)
            elif not process.is_alive():
                del running[process]
                begun = [words[1] for words in _written(log) if words[0] == "begun"]
                endless = process.exitcode == -signal.SIGPROF
                yield Outcome(mutant, process.exitcode != 0, begun[-1] if begun else "", endless)


def _written(log: Path) -> list[list[str]]:
    return [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def fails_unchanged(found: list[Outcome], folder: Path) -> list[str]:
    """Runs the tests that noticed something on unchanged code; names those that fail, or that take too long."""
    tests = {outcome.test for outcome in found if outcome.noticed and outcome.test}
    watch = _Watch(folder / "unchanged", float("inf"), tests)
    files = {str(ROOT / test.partition("::")[0]) for test in tests}
    files |= {tests_of(outcome.mutant)[-1] for outcome in found if outcome.noticed and not outcome.test}
    process = _begin(*sorted(files), watch=watch, first=False)
    process.join()
    written = _written(watch.log)
    seconds = {words[1]: float(words[2]) for words in written if words[0] == "ended"}
    failed = {words[1] for words in written if words[0] == "failed"} | (tests - set(seconds))
    if process.exitcode not in (0, 5) and not failed:  # 5: none was to run
        failed = {f"{process.exitcode} is the exit code of pytest"}
    slow = {o.test for o in found if o.endless and seconds.get(o.test, 0) * LONGER > TEST_SECONDS}
    return sorted(failed | slow)


def equivalent() -> set[tuple[str, str, str]]:
    """The mutants that a person found to be equivalent: file, line before, line after."""
    listed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))
    return {(entry["file"], entry["line"], entry["becomes"]) for entry in listed["mutant"]}


def sample(seed: int, only: str, line: int | None) -> Iterator[Mutant]:
    """Mutants in a random order that hardly changes with the code: one of each part in turn, one for each place.

    With a line, all mutants of that line.
    """

    def chance(mutant: Mutant) -> bytes:
        text = _text(mutant.path).splitlines()[mutant.line - 1].strip()
        words = seed, text, mutant.column, mutant.operator  # not the path: a module that moves keeps its mutants
        return hashlib.sha256(repr([str(word) for word in words]).encode()).digest()

    chosen = []
    for part in PARTS:
        files = [path for path in _files(part) if only in str(path.relative_to(ROOT))]
        places = [place for path in files for place in mutants_of(path)]
        if line is None:
            chosen.append(sorted((min(place, key=chance) for place in places), key=chance))
        else:
            chosen.append([mutant for place in places for mutant in place if mutant.line == line])
    for turn in itertools.zip_longest(*chosen):
        yield from filter(None, turn)


@cache
def _files(part: str) -> list[Path]:
    """The modules of a part that are changed."""
    found = []
    for name in PARTS[part]:
        path = SOURCE / "recurra" / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in found if path.name not in LEFT_OUT]


def main() -> int:
    """Prints each mutant as it is done, then those not noticed; 1 if there are too many, 2 without result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=10**9, help="how many are run at most")
    parser.add_argument("--seconds", type=float, default=240, help="time in which mutants are begun")
    parser.add_argument("--seed", type=int, default=0, help="which mutants are chosen")
    parser.add_argument("--only", default="", help="part of a path, such as ops/ or nn/crf.py")
    parser.add_argument("--line", type=int, help="all mutants of this line, with --only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    known = equivalent()
    different = (
        m for m in sample(asked.seed, asked.only, asked.line) if m.key() not in known and m.key()[1] != m.key()[2]
    )
    for name in PRELOADED:
        importlib.import_module(name)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = itertools.islice(different, asked.mutants)
        for outcome in outcomes(chosen, asked.seconds, asked.processes, Path(folder)):
            found.append(outcome)
            print("noticed    " if outcome.noticed else "NOT noticed", outcome.mutant, flush=True)
            if outcome.noticed:
                print("   ", "endless:" if outcome.endless else "by", outcome.test or "reading the tests", flush=True)
        wrong = fails_unchanged(found, Path(folder))
    if wrong or not found:
        print("no result: these tests fail, or take too long, without a change:", *wrong, sep="\n    ")
        return 2
    return _report(found, asked.seed)


def _report(found: list[Outcome], seed: int) -> int:
    """Prints the shares and the survivors."""
    for part in PARTS:
        inside = [outcome for outcome in found if outcome.mutant.path in _files(part)]
        if inside:
            print(f"{part}: {sum(o.noticed for o in inside)} of {len(inside)} noticed")
    share = sum(outcome.noticed for outcome in found) / len(found)
    print(f"\n{len(found)} mutants ended in time, seed {seed}: {share:.1%} noticed")
    for outcome in found:
        if not outcome.noticed:
            print("not noticed:", outcome.mutant)
    return int(share < LEAST)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
