"""Runs the independent parts of a job on the workers of a Ray cluster, or in this process."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from recurra._util.extras import needs_extra
from recurra.errors import EngineError, RecurraError

from .board import Starts
from .cluster import connected, last_line, start_here
from .options import LOCAL, Workers

ATTEMPTS = 10
"""The job ends when so many workers ended with the same part."""


class Job(Protocol):
    """A job whose parts can be computed in any order. It is sent to each worker once."""

    def run(self, number: int) -> Any:
        """Computes a part and returns a small result."""
        ...


def run_job(job: Job, parts: Sequence[int], workers: Workers | None) -> Iterator[Any]:
    """Yields the results of the parts of a job, as they arrive.

    Args:
        job: the job.
        parts: numbers of the parts.
        workers: the processes; None for this process alone, which computes the parts in order.

    Raises:
        RecurraError: what a part raised.
        EngineError: Ray is not installed, the cluster cannot be used, or the workers end again and again.
    """
    if workers is None:
        yield from map(job.run, parts)
        return
    with needs_extra("cluster", "work with several workers", EngineError):
        import ray
        import ray.data
    threads = workers.threads or max(1, torch.get_num_threads() // workers.most)
    with connected(ray, workers, threads):
        yield from _run_on_ray(ray, job, parts, workers, threads)


def _run_on_ray(ray: Any, job: Job, parts: Sequence[int], workers: Workers, threads: int) -> Iterator[Any]:
    """Yields the results of workers, each of which is an actor of Ray Data with the job in its memory.

    Ray Data moves only the numbers of the parts and their results. A worker reads its part where it is: Ray Data would
    read the files in other processes and copy the rows through its object store, which takes more memory.
    """
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    starts = start_here(ray, Starts)
    rows = ray.data.from_items([{"part": number} for number in parts], override_num_blocks=len(parts))
    least, most = (min(count, len(parts)) for count in (workers.least, workers.most))  # Ray warns of idle actors
    found = rows.map_batches(
        _Worker,
        fn_constructor_args=(job, starts, threads, workers.cluster != LOCAL),
        batch_size=1,
        concurrency=most if least == most else (least, most),
        num_cpus=threads,
        num_gpus=1 if torch.cuda.is_available() else None,
    )
    found.context.enable_progress_bars = False
    found.context.print_on_execution_start = False
    try:
        for batch in found.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for result in batch["result"]:
                outcome = ray.cloudpickle.loads(result)  # pyright: ignore[reportAttributeAccessIssue]
                if isinstance(outcome, RecurraError):
                    raise outcome
                yield outcome
    except ray.exceptions.RayError as error:
        raise EngineError(f"the workers ended: {last_line(error)}") from None


class _Worker:
    """An actor of Ray Data."""

    def __init__(self, job: Job, starts: Any, threads: int, named: bool) -> None:
        torch.set_num_threads(threads)
        self.job, self.starts, self.named = job, starts, named

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Computes a part; returns its result or its error."""
        import ray

        number = int(batch["part"][0])
        try:
            starts: Any = ray.get(self.starts.count.remote(number))
            if starts > ATTEMPTS:
                raise EngineError(f"{ATTEMPTS} workers ended with part {number + 1}; is there enough memory?")
            outcome = self.job.run(number)
        except Exception as error:  # an error of Ray Data would hide the message
            outcome = error if isinstance(error, RecurraError) else RecurraError(f"{type(error).__name__}: {error}")
            if self.named:  # files may be missing on one machine only
                outcome = type(outcome)(f"{outcome}\n(on the machine {socket.gethostname()})")
        dumps: Any = ray.cloudpickle.dumps  # pyright: ignore
        return {"result": np.array([dumps(outcome)], dtype=object)}
