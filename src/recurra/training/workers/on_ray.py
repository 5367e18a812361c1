"""Training on the workers of a Ray cluster, on this machine or on several."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from recurra._util.extras import needs_extra
from recurra._util.terminal import say
from recurra.errors import DataError, EngineError, RecurraError, UsageError
from recurra.ops import reproducible_algebra
from recurra.training.checkpoints import step_of
from recurra.training.progress import Line, line_for
from recurra.training.settings import Run, Settings

from .board import STARTS_WITHOUT_PROGRESS, Board
from .cluster import connected, last_line, start_here
from .group import Group
from .options import LOCAL, Workers

SAVE_MINUTES = 1.0
"""Greatest time between two checkpoints: workers that end cost the steps since the last one."""
RESTARTS = 50
"""Failures of workers that a run survives."""
LOOK_SECONDS = 0.5
"""Time between two updates of the progress line."""


def train_on_ray(job: tuple[Any, ...], settings: Settings, workers: Workers, logs: Any = None) -> Run:
    """Trains a network on several processes and leaves it with the weights of its best epoch.

    Args:
        job: network, objective, training data and validation data, as `recurra.training.loop.train` takes them.
        settings: how to train. The folder of the checkpoint must be on a disk that all machines share.
        workers: the processes.
        logs: gets the metrics, see `recurra.training.logs.run.RunLogs`; None for nothing.

    Raises:
        EngineError: Ray is not installed, the cluster cannot be used, or the workers end again and again.
        DataError: the loss is not a finite number.
        UsageError: there is no shared folder for checkpoints.
    """
    with needs_extra("cluster", "training with several workers", EngineError):
        import ray
        import ray.train
    from recurra.training.loop import checkpoint_to_resume  # Lightning takes seconds to import

    checkpoint_to_resume(settings)
    if settings.checkpoint is None and workers.cluster != LOCAL:
        raise UsageError("training on a cluster needs a folder for checkpoints on a disk that all machines share")
    own = Path(tempfile.mkdtemp(prefix="recurra-")) if settings.checkpoint is None else None
    if own is not None:
        settings = replace(settings, checkpoint=own / "last.ckpt")
    threads = workers.threads or max(1, torch.get_num_threads() // workers.most)
    try:
        with connected(ray, workers, threads) as dashboard:
            if dashboard and settings.verbose:
                say(f"Ray's dashboard: {dashboard}")
            return _run(ray, job, settings, workers, threads, logs)
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _run(ray: Any, job: tuple[Any, ...], settings: Settings, workers: Workers, threads: int, logs: Any) -> Run:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    assert settings.checkpoint is not None  # noqa: S101  (`train_on_ray` sets one)
    gpu = settings.device != "cpu" and torch.cuda.is_available()
    settings = replace(settings, checkpoint=settings.checkpoint.resolve())
    board = start_here(ray, Board)
    count = workers.most if workers.least == workers.most else (workers.least, workers.most)

    class Trainer(TorchTrainer):
        """Ctrl-C raises KeyboardInterrupt; Ray's own handler would end the process with code 1 and stay registered."""

        def _register_sigint_handler(self, controller: Any) -> None:
            pass

    with tempfile.TemporaryDirectory(prefix="recurra-ray-") as storage:
        trainer = Trainer(
            _work,
            train_loop_config={
                "job": ray.put(job),
                "settings": settings,
                "threads": threads,
                "board": board,
                "logs": logs is not None,
                "folder": Path.cwd(),
            },
            torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=600),
            scaling_config=ScalingConfig(
                num_workers=count,
                use_gpu=gpu,
                resources_per_worker={"CPU": threads, **({"GPU": 1} if gpu else {})},
                elastic_resize_monitor_interval_s=10.0,
            ),
            run_config=RunConfig(name="run", storage_path=storage, failure_config=FailureConfig(max_failures=RESTARTS)),
        )
        line = line_for(Console(stderr=True)) if settings.verbose else None
        try:
            with _watched(ray, board, line, logs):
                failure = _fit(trainer)
        except KeyboardInterrupt:
            if line is not None:
                line.close("")
            raise
        outcome = ray.get(board.outcome.remote())
    if isinstance(outcome, RecurraError):
        raise outcome from None
    if outcome is None:
        raise EngineError(f"the workers ended before training was finished: {last_line(failure)}") from None
    run, weights, summary = outcome
    network = job[0]
    network.load_state_dict(weights)
    network.eval()
    if line is not None:
        line.close(summary)
    return run


def _fit(trainer: Any) -> BaseException | None:
    """Runs the workers; returns their error."""
    try:
        trainer.fit()
    except Exception as error:  # Ray's errors have no common class
        return error
    return None


def _work(config: dict[str, Any]) -> None:
    """Trains on one worker; Ray calls it on each."""
    import ray
    from ray.train import get_context

    from recurra.training.logs.relay import BoardLogger
    from recurra.training.loop import train

    with suppress(OSError):  # Ray has changed it; the folder of the command is missing where disks are not shared
        os.chdir(config["folder"])
    context, board = get_context(), config["board"]
    group = Group(context.get_world_rank(), context.get_world_size())
    group = replace(group, hosts=tuple(group.gather(socket.gethostname())))
    torch.set_num_threads(config["threads"])
    network, objective, batches, valid = ray.get(config["job"])
    settings = replace(
        config["settings"],
        resume=True,
        checkpoint_minutes=min(config["settings"].checkpoint_minutes, SAVE_MINUTES),
    )
    if group.rank == 0 and not ray.get(board.starting.remote(step_of(settings.checkpoint), group.size)):
        again = f"the workers ended {STARTS_WITHOUT_PROGRESS} times without progress; is there enough memory?"
        ray.get(board.end.remote(EngineError(again)))
    group.first(None)  # the others wait for the answer
    if ray.get(board.outcome.remote()) is not None:
        return
    line = ToBoard(board)
    loggers = [BoardLogger(board)] if config["logs"] and group.rank == 0 else []
    try:
        with reproducible_algebra():
            run = train(network, objective, batches, valid, settings, group, line, loggers)
    except RecurraError as error:
        ray.get(board.end.remote(error))
        if isinstance(error, DataError):  # all workers have found it
            return
        raise  # ends the other workers, which wait for this one
    if group.rank == 0:
        weights = {name: value.cpu() for name, value in network.state_dict().items()}
        ray.get(board.end.remote((run, weights, line.summary)))


class ToBoard:
    """A progress line that sends its texts to the board; see `recurra.training.progress.Line`."""

    def __init__(self, board: Any) -> None:
        self.board, self.summary = board, ""
        self._next = 0.0

    def show(self, done: int, total: int, text: str) -> None:
        """See `Line.show`."""
        if time.monotonic() >= self._next:  # a message costs as much as a small step
            self._next = time.monotonic() + LOOK_SECONDS
            self.board.show.remote(done, total, text)

    def note(self, text: str) -> None:
        """See `Line.note`."""
        self.board.note.remote(text)

    def close(self, text: str) -> None:
        """See `Line.close`."""
        self.summary = text


@contextmanager
def _watched(ray: Any, board: Any, line: Line | None, logs: Any) -> Iterator[None]:
    """Shows the messages of the board while the block runs, and passes the metrics on to the loggers."""
    ended = threading.Event()

    def look() -> None:
        over = line is None and logs is None
        while not over:
            over = ended.wait(LOOK_SECONDS)
            try:
                shown, notes, points = ray.get(board.read.remote())
            except Exception:  # the cluster is being closed
                return
            if logs is not None:
                for metrics, step in points:
                    logs.log(metrics, step)
            if line is not None:
                for note in notes:
                    line.note(note)
                if shown is not None and not over:
                    line.show(*shown)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
