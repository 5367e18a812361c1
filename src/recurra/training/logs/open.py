"""Creates Lightning's loggers by their names, for a new run or for one that continues."""

from __future__ import annotations

import csv
import os
import socket
import urllib.request
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from recurra._util.atomic import reason
from recurra._util.extras import needs_extra
from recurra.errors import RecurraError
from recurra.training.quiet import quiet_lightning

from .arguments import Named

PACKAGES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
PROJECT = "recurra"
"""Default name of the experiment of MLflow and of the project of Weights & Biases."""
CONNECT_SECONDS = 10.0
START_SECONDS = 30.0
"""Longest time until Weights & Biases answers."""


class Opened(NamedTuple):
    """A logger with a run.

    Attributes:
        logger: of Lightning.
        name: for people.
        run: id of the run, with which `open_logger` continues it.
        where: place of the run, for people.
        close: ends the run; the argument is `"success"` or `"failed"`.
    """

    logger: Logger
    name: str
    run: Any
    where: str
    close: Callable[[str], None]


def check_loggers(items: list[Any]) -> None:
    """Imports the packages of loggers, and connects to servers for a moment.

    Raises:
        UsageError: a package is not installed.
        RecurraError: a server cannot be reached.
    """
    for item in items:
        if isinstance(item, Named):
            with needs_extra("loggers", f"the logger {item.name}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for package in PACKAGES.get(item.name, ()):
                    import_module(package)
            if item.name == "mlflow":
                _reach(_address(item.place) or "")


def open_logger(item: Any, folder: Path, run: str, earlier: Any = None) -> Opened:
    """Starts or continues a run.

    Args:
        item: `Named`, or a logger of Lightning, which belongs to the caller.
        folder: for the files of loggers without a place.
        run: name of the run.
        earlier: id of the run to continue; None for a new one.

    Raises:
        RecurraError: the logger cannot start, for example because a server cannot be reached.
    """
    name = item.name if isinstance(item, Named) else type(item).__name__
    try:
        with quiet_lightning("mlflow", "alembic"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(item, Named):
                return _OPEN[name](item.place, folder, run, earlier)
            _ = getattr(item, "experiment", None)
            return Opened(item, name, None, "", item.finalize)
    except RecurraError:
        raise
    except Exception as error:  # the errors of these libraries have no common class
        raise RecurraError(f"the logger {name} cannot start: {said(error)}") from None


def said(error: BaseException) -> str:
    """Returns the message of an error of a library, shortened to one line."""
    text = reason(error) if isinstance(error, OSError) else " ".join(str(error).split())
    return f"{text or type(error).__name__:.300}"


def _tensorboard(place: str | None, folder: Path, run: str, earlier: Any) -> Opened:
    logger = TensorBoardLogger(place or folder / "tensorboard", run, earlier, default_hp_metric=False)
    _ = logger.experiment
    return Opened(logger, "tensorboard", logger.version, logger.log_dir, logger.finalize)


def _csv(place: str | None, folder: Path, run: str, earlier: Any) -> Opened:
    logger = CSVLogger(place or folder / "csv", run, earlier)
    file = Path(logger.log_dir, "metrics.csv")
    kept = file.with_name("earlier.csv")  # Lightning removes `file`
    if file.exists() and not kept.exists():
        file.rename(kept)
    if kept.exists():
        with kept.open(newline="", encoding="utf-8") as rows:
            for row in csv.DictReader(rows):
                known: dict[str, Any] = {key: value for key, value in row.items() if key and value}
                if known.pop("step", "").isdecimal():
                    logger.experiment.metrics.append({**known, "step": int(row["step"])})
    _ = logger.experiment
    logger.save()
    kept.unlink(missing_ok=True)
    return Opened(logger, "csv", logger.version, str(file), logger.finalize)


def _mlflow(place: str | None, folder: Path, run: str, earlier: Any) -> Opened:
    import mlflow

    usual = os.environ.get("MLFLOW_TRACKING_URI")
    address = _address(place) or str(folder)
    if ":" not in address and address != "databricks":
        Path(address).mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{Path(address).absolute() / 'mlflow.db'}"
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    try:
        logger = MLFlowLogger(experiment, run, address, run_id=earlier)
        found = logger.run_id
    finally:  # Lightning makes the address that of the whole process
        mlflow.set_tracking_uri(usual)  # type: ignore[arg-type]
    if earlier is not None:
        logger.experiment.update_run(earlier, "RUNNING")
    return Opened(logger, "mlflow", found, f"run {found} in {_public(address)}", logger.finalize)


def _address(place: str | None) -> str | None:
    return place or os.environ.get("MLFLOW_TRACKING_URI")


def _wandb(place: str | None, folder: Path, run: str, earlier: Any) -> Opened:
    import wandb

    own = wandb.run is None
    if own:
        target = Path(place or os.environ.get("WANDB_DIR") or folder)
        target.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS)
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        name = os.environ.get("WANDB_NAME") or run
        wandb.init(project=project, name=name, dir=str(target), id=earlier, resume="allow", settings=settings)
    found = wandb.run
    if found is None:
        raise RecurraError("the logger wandb cannot start: there is no run")
    found.define_metric("trainer/global_step")
    found.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    logger = WandbLogger(experiment=found)
    offline = found.settings.mode != "online" or not found.url

    def close(status: str) -> None:
        logger.finalize(status)
        if own:
            found.finish(0 if status == "success" else 1)

    return Opened(logger, "wandb", found.id, str(Path(found.dir).parent if offline else found.url), close)


_OPEN: dict[str, Callable[..., Opened]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "csv": _csv,
}


def _reach(address: str) -> None:
    """Raises a `RecurraError` if nothing answers at the address of a server; MLflow would try for minutes."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or urllib.request.getproxies():
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise RecurraError(f"the server {_public(address)} of mlflow cannot be reached: {reason(error)}") from None


def _public(address: str) -> str:
    """Returns an address without the user's name and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address
