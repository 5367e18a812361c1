"""Trials on the machines of a Ray cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from recurra._util.extras import needs_extra
from recurra.errors import EngineError
from recurra.training.workers.cluster import connected, last_line
from recurra.training.workers.options import LOCAL, Workers

from .places import pickled
from .trial import Assignment, Outcome, Problem, Report, run_trial

LOOK_SECONDS = 0.3
"""Time between two looks at the progress of a trial."""
THREADS = 1
"""Threads of each trial."""


class Trials:
    """Runs trials on a machine of the cluster, as an actor with two threads: one trains, one answers.

    Args:
        problem: pickled, so that its arrays can be changed.
    """

    def __init__(self, problem: bytes) -> None:
        import cloudpickle
        import torch

        torch.set_num_threads(THREADS)
        self.problem: Problem = cloudpickle.loads(problem)
        self._lock = threading.Lock()
        self._progress: list[tuple[int, float]] = []
        self._ended = False

    def process(self) -> int:
        """Returns the id of the process."""
        return os.getpid()

    def run(self, assignment: Assignment) -> Outcome:
        """Runs a trial."""
        self._ended = False
        return run_trial(self.problem, assignment, self._report)

    def _report(self, step: int, score: float) -> bool:
        with self._lock:
            self._progress.append((step, score))
        return not self._ended

    def take(self) -> list[tuple[int, float]]:
        """Returns the progress since the last call."""
        with self._lock:
            found, self._progress = self._progress, []
        return found

    def end(self) -> None:
        """Ends the running trial after its epoch."""
        self._ended = True


class Actor:
    """A place of the cluster, see `recurra.tasks.tuning.places.Place`. It is started again if its process ended.

    Args:
        ray: the module.
        make: starts the actor.
    """

    def __init__(self, ray: Any, make: Any) -> None:
        self.ray, self.make = ray, make
        self._actor: Any = None
        self._started: Any = None

    def ready(self) -> bool:
        """Returns True if the cluster has a place for the process."""
        try:
            if self._actor is None:
                self._actor = self.make()
                self._started = self._actor.process.remote()
            found, _ = self.ray.wait([self._started], timeout=0)
            if found:
                self.ray.get(found[0])
            return bool(found)
        except Exception:  # Ray's errors have no common class; the machine may have left
            self._forget()
            return False

    def run(self, assignment: Assignment, report: Report) -> Outcome:
        """See `Place.run`."""
        try:
            running = self._actor.run.remote(assignment)
            while not self.ray.wait([running], timeout=LOOK_SECONDS)[0]:
                self._pass_on(report)
            self._pass_on(report)
            return self.ray.get(running)
        except self.ray.exceptions.RayTaskError as error:
            return Outcome("failed", error=EngineError(f"a trial failed on the cluster: {last_line(error)}"))
        except Exception:  # the process or its machine ended
            self._forget()
            return Outcome("lost")

    def _pass_on(self, report: Report) -> None:
        """Reports the progress, and ends the trial if it should end."""
        for step, score in self.ray.get(self._actor.take.remote()):
            if not report(step, score):
                self._actor.end.remote()

    def close(self) -> None:
        """See `Place.close`."""
        self._forget()

    def _forget(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            with suppress(Exception):
                self.ray.kill(actor)


@contextmanager
def ray_places(problem: Problem, cluster: str, workers: int | None) -> Iterator[Sequence[Actor]]:
    """Connects to a cluster and yields its places.

    Args:
        problem: the part that all trials have in common.
        cluster: address of the cluster, or `"local"`.
        workers: number of trials at the same time; None for one on each core, or on each GPU.

    Raises:
        EngineError: Ray is not installed, or the cluster cannot be used.
    """
    with needs_extra("cluster", "a search on a cluster", EngineError):
        import ray
    count = workers or (os.cpu_count() or 1 if cluster == LOCAL else 1)
    with connected(ray, Workers(count, count, cluster), THREADS):
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if problem.estimator.device != "cpu" else 0
        content = ray.put(pickled(problem))
        actor = ray.remote(Trials).options(
            num_cpus=THREADS,
            num_gpus=1 if gpus else 0,
            max_concurrency=2,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        most = workers or gpus or int(resources.get("CPU", 1)) // THREADS
        yield [Actor(ray, lambda: actor.remote(content)) for _ in range(max(most, 1))]
