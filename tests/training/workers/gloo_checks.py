"""Program of the tests of several processes: one process of a group that `torch.distributed` connects, without Ray."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recurra
from recurra.errors import DataError
from recurra.training import loop
from recurra.training.workers import on_ray, sums
from recurra.training.workers.group import Group

RANK, SIZE, CHECK, FOLDER = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
GROUP = Group(RANK, SIZE)
WORDS = ("good", "bad", "film", "very", "plot", "영화", "재미", "actor", "scene", "dull")
STEPS = 200


def train_together(job: tuple[Any, ...], settings: Any, workers: Any, logs: Any = None) -> Any:
    """Trains in this process and the others, as the workers of Ray do."""
    torch.set_num_threads(1)
    network, objective, batches, valid = job
    return loop.train(network, objective, batches, valid, replace(settings, verbose=0), GROUP)


on_ray.train_on_ray = train_together


def texts(count: int) -> list[str]:
    """Random texts of 1 to 20 words."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(1, 21))) for _ in range(count)]


def estimators() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """A model and training data of each compared task; all have dropout."""
    some = texts(640)
    labels = ["pos" if text.count("good") >= text.count("bad") else "neg" for text in some]
    tags = [["A" if word in WORDS[:3] else "B" for word in text.split()] for text in some]
    series = np.sin(np.arange(900) / 7.0)[:, None] + np.random.default_rng(1).normal(0, 0.1, (900, 2))
    common = {
        "hidden_size": 16,
        "num_layers": 2,
        "dropout": 0.3,
        "verbose": 0,
        "random_state": 0,
        "precision": "float32",
    }
    return {
        "classify": (recurra.SequenceClassifier(**common, epochs=22), (some, labels)),
        "tag": (recurra.SequenceTagger(**common, epochs=12), ([text.split() for text in some], tags)),
        "forecast": (recurra.Forecaster(horizon=6, **common, epochs=10), (series,)),
        "generate": (recurra.LanguageModel(**common, epochs=30), (" ".join(some),)),
    }


def found(model: Any) -> list[dict[str, float]]:
    """The history without times."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in model.history_]


def equal() -> dict[str, Any]:
    """Trains a model of each task."""
    answers = {}
    for name, (model, data) in estimators().items():
        model.fit(*data, **({"workers": SIZE} if SIZE > 1 else {}))
        answers[name] = {"history": found(model), "metrics": model.metrics_["valid"]}
    return answers


def resumed() -> dict[str, Any]:
    """Continues a run of another number of processes; the language model carries its state."""
    answers = {}
    for name in ("classify", "generate"):
        model, data = estimators()[name]
        folder = FOLDER / name
        first = SIZE == 2
        if first:  # ends in the middle of an epoch
            stop_at(13)
        try:
            model.fit(*data, checkpoint=folder, checkpoint_minutes=0, resume=not first, workers=SIZE)
        except Stopped:
            continue
        answers[name] = {"history": found(model), "resumed": model.resumed_}
    return answers


class Stopped(Exception):  # noqa: N818
    """Ends a run."""


def stop_at(step: int) -> None:
    """Ends runs after a step and its checkpoint."""
    save = loop.SaveRun.save

    def and_stop(self: Any, trainer: Any) -> None:
        save(self, trainer)
        if trainer.global_step == step:
            raise Stopped

    loop.SaveRun.save = and_stop


def failing() -> dict[str, Any]:
    """The loss of one sequence is infinite: all processes end with the same kind of error."""
    model = recurra.SequenceRegressor(hidden_size=4, epochs=2, verbose=0, random_state=0, batch_size=4)
    values = [np.full((3, 1), float(i)) for i in range(8)]
    forward = loop.Learner._loss_of_part

    def spoilt(self: Any, batch: Any) -> Any:
        total = forward(self, batch)
        return total * float("nan") if RANK == 1 else total

    def noticed(self: Any, batch: Any) -> Any:
        total = spoilt(self, batch)
        self._part = (self._part[0], total.detach(), self._part[2])
        return total

    loop.Learner._loss_of_part = noticed
    try:
        model.fit(values, list(range(8)), workers=SIZE)
    except DataError as error:
        return {"error": str(error)}
    return {}


def timed() -> dict[str, Any]:
    """The clock of process 0 ends the run, although the other clock is slow."""
    model, data = estimators()["classify"]
    model.set_params(max_minutes=0.02, epochs=None)
    if RANK:
        loop.Clock.measure = lambda self: 0.0
    model.fit(*data, workers=SIZE)
    return {"epochs": len(model.history_)}


def fewer() -> dict[str, Any]:
    """The last batch has fewer sequences than there are processes."""
    model = recurra.SequenceClassifier(hidden_size=4, epochs=3, verbose=0, random_state=0, batch_size=4)
    model.set_params(validation_fraction=0.0)
    model.fit(["a b", "b", "a", "b a", "b b"], ["x", "y", "x", "x", "y"], workers=SIZE)
    return {"loss": model.history_[-1]["loss"]}


def added() -> dict[str, Any]:
    """Sums of random tensors through shared memory, through the network, and where one process has no memory left."""
    reserved, random = sums._reserved, torch.Generator().manual_seed(RANK)
    steps = [[torch.randn(3, 2, generator=random), torch.randn(5, generator=random)] for _ in range(20)]
    answers: dict[str, Any] = {"given": [[t.tolist() for t in step] for step in steps]}
    for name, most, memory in (("shared", 4, reserved), ("sent", 0, reserved), ("full", 4, lambda *_: RANK != 1)):
        sums.MOST_SHARING, sums._reserved = most, memory
        add = sums.Sums(GROUP)
        answers[name] = [[t.tolist() for t in add(step, torch.device("cpu"))] for step in steps]
        answers[f"{name} memory"] = add._shared is not None
    answers["files"] = [str(name) for name in Path("/dev/shm").glob("recurra-*/*")]  # noqa: S108
    return answers


if __name__ == "__main__":
    if SIZE > 1:
        torch.distributed.init_process_group("gloo", f"file://{FOLDER}/{CHECK}-{SIZE}", rank=RANK, world_size=SIZE)
    answer = globals()[CHECK]()
    (FOLDER / f"{CHECK}-{SIZE}-{RANK}.json").write_text(json.dumps(answer))
    if SIZE > 1:
        torch.distributed.destroy_process_group()
