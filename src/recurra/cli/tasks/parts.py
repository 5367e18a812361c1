"""Predictions and evaluations in parts, which this process or several workers compute."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recurra._util.messages import counted
from recurra.cli.support.console import say
from recurra.cli.support.files import located
from recurra.cli.support.options import PartOptions, PredictOptions, SharedPredictOptions
from recurra.cli.support.parts import PartFolder, check_place
from recurra.cli.support.rows import flat, write_rows
from recurra.errors import RecurraError, UsageError

from . import module_of
from .large import decimal_mark

if TYPE_CHECKING:
    from recurra.data.pieces.partitions import Partitions


@dataclasses.dataclass(frozen=True)
class Division:
    """Parts of a data set: rows of a table, or whole files.

    Attributes:
        data: the data set.
        files: names of the files, if they are the parts.
        partitions: the parts of a table.
    """

    data: str
    files: Sequence[str] = ()
    partitions: Partitions | None = None

    def __len__(self) -> int:
        return len(self.files) if self.partitions is None else len(self.partitions)

    def before(self, number: int) -> int:
        """Number of rows in the parts of a table before a part; files count their rows from 1."""
        return 0 if self.partitions is None else self.partitions.first[number]

    def identity(self) -> str:
        """Text that changes with the data, without reading them."""
        if self.partitions is not None:
            return self.partitions.table.fingerprint()
        stats = [(name, Path(name).stat()) for name in self.files]
        return repr([(name, found.st_size, found.st_mtime_ns) for name, found in stats])


class ModelJob:
    """A job whose parts need the model.

    Args:
        model: folder of the model.
        division: the parts.
        options: how to read the data, and what to compute.
    """

    def __init__(self, model: Path, division: Division, options: PredictOptions) -> None:
        self.model, self.division, self.options = model.absolute(), division, options

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "estimator"}

    @cached_property
    def estimator(self) -> Any:
        """The model, loaded once in each process."""
        from recurra.tasks import load

        return load(self.model)

    def part(self, number: int) -> tuple[str, PartOptions]:
        """Returns the file to read for a part, and the options that choose the rows."""
        given = {f.name: getattr(self.options, f.name) for f in dataclasses.fields(PredictOptions)}
        partitions = self.division.partitions
        if partitions is None:
            return self.division.files[number], PartOptions(**given)
        by = getattr(self.options, "by", None)
        return self.division.data, PartOptions(**given, by=by, reader=partial(partitions.files, number))


class Predictions(ModelJob):
    """Predicts the rows of each part, and writes them to a file of a folder.

    Args:
        model: see `ModelJob`.
        division: see `ModelJob`.
        options: see `ModelJob`.
        folder: of the files.
    """

    def __init__(self, model: Path, division: Division, options: PredictOptions, folder: PartFolder) -> None:
        super().__init__(model, division, options)
        self.folder = dataclasses.replace(folder, path=folder.path.absolute())

    def run(self, number: int) -> int:
        """Predicts a part, unless this was done before. Returns the number of rows."""
        file = self.folder.file(number)
        return 0 if file.exists() else write_rows(file, flat(self._rows(number)), error=RecurraError)

    def _rows(self, number: int) -> Iterator[dict[str, Any]]:
        source, options = self.part(number)
        commands, before = module_of(self.estimator, options), self.division.before(number)
        rounded = self.estimator.service().rounded
        name = {"file": Path(source).name} if len(self.division.files) > 1 else {}
        for count, row in enumerate(commands.predict(self.estimator, source, options), 1):
            found = {"row": count, **rounded(row)}
            yield {**name, **found, "row": before + found["row"]}


class Evaluation(ModelJob):
    """Evaluates the model on each part; a result has the sums from which metrics are computed."""

    def run(self, number: int) -> Any:
        """Evaluates a part. Returns the `sums` of the running evaluation."""
        source, options = self.part(number)
        commands, running = module_of(self.estimator, options), self.estimator.running_evaluation(*_coverage(options))
        if options.reader is not None:
            commands.add(running, self.estimator, Path(source), options)
            return number, running.sums
        labelled = commands.read(self.estimator, Path(source), options)
        with located(labelled.where):
            running.add(*labelled.arguments, *(() if labelled.groups is None else (labelled.groups,)))
        return number, running.sums


def predict_parts(estimator: Any, model: Path, data: str, options: SharedPredictOptions, folder: PartFolder) -> None:
    """Predicts a data set into a folder of files.

    Args:
        estimator: the model.
        model: its folder.
        data: the data set.
        options: those of the command.
        folder: the folder.

    Raises:
        UsageError: the options or the data do not fit, or the folder has other files.
        EngineError: the workers cannot be used.
    """
    from recurra.tasks.serving.fingerprint import fingerprint

    workers = options.processes()
    if options.plot is not None:
        raise UsageError("--plot needs --out with the name of a file")
    check_place(folder.path, data)
    with folder.opened():
        division = divide(estimator, data, options, folder.prepared)
        job = Predictions(model, division, options, folder)
        asked = [getattr(options, f.name) for f in dataclasses.fields(PredictOptions)]
        marks = repr((fingerprint(estimator), division.identity(), asked, folder.suffix, len(division)))
        missing = folder.begin(hashlib.blake2b(marks.encode(), digest_size=16).hexdigest(), len(division))
        kept = len(division) - len(missing)
        rows, seconds = _count(job, missing, workers)
        folder.finish()
    if not missing:
        say(f"the predictions in {folder.path} are complete; --overwrite instead of --resume writes them again")
        return
    said = f"{counted(len(missing), 'file')}, {rows / seconds:,.0f} rows/s"
    said += f"; {kept:,} were there" if kept else ""
    say(f"{counted(rows, 'prediction')} written to {folder.path} ({said})")


def evaluate_parts(estimator: Any, model: Path, data: str, options: SharedPredictOptions) -> dict[str, Any]:
    """Evaluates a model on several workers. Returns what `Estimator.evaluate` returns.

    Raises:
        UsageError: the options or the data do not fit.
        DataError: the data cannot be used.
        EngineError: the workers cannot be used.
    """
    import tempfile

    from recurra.training.workers.jobs import run_job

    if not hasattr(estimator, "running_evaluation"):
        raise UsageError(f"evaluate --workers is not for a {estimator.title.lower()}; leave --workers out")
    workers = options.processes()
    with tempfile.TemporaryDirectory(prefix="recurra-") as prepared:
        target = options.target or estimator.provenance_.target_column
        if estimator.provenance_.target_columns or "," in (target or ""):
            raise UsageError("several targets are evaluated by one process; leave --workers out")
        division = divide(estimator, data, options, Path(prepared), target)
        if division.partitions is not None and estimator.task == "regress":
            mark = decimal_mark(division.partitions.table, options.decimal)
            options = dataclasses.replace(options, decimal=mark)
        job = Evaluation(model, division, options)
        running, waiting, merged = estimator.running_evaluation(*_coverage(options)), {}, 0
        for number, sums in run_job(job, range(len(division)), workers):
            waiting[number] = sums
            while merged in waiting:  # in the order of the data, so that sums do not depend on the speed of workers
                running.merge(waiting.pop(merged))
                merged += 1
    return running.result()


def _coverage(options: PredictOptions) -> tuple[float, ...]:
    """Returns the argument of `running_evaluation`; tasks without coverage take none."""
    return () if options.coverage is None else (options.coverage,)


def divide(estimator: Any, data: str, options: PredictOptions, folder: Path, target: str | None = None) -> Division:
    """Divides a data set into parts, which do not depend on the number of workers.

    Args:
        estimator: the model.
        data: the data set.
        options: those of the command.
        folder: for tables that are converted to Parquet.
        target: column of targets, for an evaluation.

    Raises:
        UsageError: data of the model cannot be divided.
    """
    from recurra.data.files.places import find_files
    from recurra.data.files.remote import url_of
    from recurra.data.pieces import LargeTable
    from recurra.data.pieces.partitions import Partitions

    commands: ModuleType = module_of(estimator, options)
    if not hasattr(commands, "table_columns"):
        raise UsageError(
            f"the data of a {estimator.title.lower()} cannot be divided; leave --workers out, and give a file in --out"
        )
    if url_of(data) is None:
        data = str(Path(data).absolute())
    columns = commands.table_columns(estimator, Path(data), options)
    if columns is None:
        files = [str(getattr(file, "url", file)) for file in find_files(data)]
        return Division(data, files)
    if target is not None:
        by = getattr(options, "by", None)
        columns = [*columns, target, *([by] if by else [])]
    table = LargeTable(data, columns, folder, options.how(), say)
    say(table.summary)
    return Division(data, partitions=Partitions(table))


def _count(job: Predictions, parts: Sequence[int], workers: Any) -> tuple[int, float]:
    """Computes parts, with a progress line. Returns the number of rows, and the seconds."""
    from recurra.training.progress import line_for
    from recurra.training.workers.jobs import run_job

    line, rows, begin = line_for(Console(stderr=True)), 0, time.monotonic()
    try:
        for done, count in enumerate(run_job(job, parts, workers), 1):
            rows += count
            speed = rows / max(time.monotonic() - begin, 1e-9)
            line.show(done, len(parts), f"{rows:,} rows  {speed:,.0f} rows/s")
    finally:
        line.close("")
    return rows, time.monotonic() - begin
