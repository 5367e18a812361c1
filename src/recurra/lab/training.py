"""A small training loop: new sequences at every step, Adam, clipped gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator

from .network import Reader
from .problems import Problem, Sample

CHECK_EVERY, CHECK_COUNT, TEST_COUNT = 50, 256, 1000
SOLVED, ENOUGH = 0.1, 0.01  # of the loss of knowing nothing: no other learning rate is tried; training ends


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes:
        rates: learning rates of Adam, tried one after the other until one solves the problem; the best counts.
        steps: greatest number of steps with each.
        batch_size: sequences of a step, new ones each time.
        clip: greatest norm of the gradient.
        seed: of the sequences, and of the first weights.
    """

    rates: tuple[float, ...]
    steps: int
    batch_size: int
    clip: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        network: with the weights that had the smallest loss on sequences set aside.
        rate: the learning rate that it was trained with.
        steps: after so many steps it had these weights.
        loss: its loss on the sequences set aside.
    """

    network: Reader
    rate: float
    steps: int
    loss: float


def train(
    make: Callable[[], Reader], problem: Problem, lag: int, plan: Plan, tell: Callable[[int], None] = lambda steps: None
) -> Trained:
    """Trains a network with each learning rate until one solves the problem, and returns the best.

    Args:
        make: makes the network to begin with, the same one each time.
        problem: what it learns.
        lag: of the problem.
        plan: how.
        tell: is told the number of steps gone by.
    """
    runs: list[Trained] = []
    for i, rate in enumerate(plan.rates):
        runs.append(_train(make(), problem, lag, plan, rate, lambda n, before=i * plan.steps: tell(before + n)))
        if runs[-1].loss <= SOLVED * problem.baseline(lag):
            break
    return min(runs, key=lambda run: run.loss)


def _train(
    network: Reader, problem: Problem, lag: int, plan: Plan, rate: float, tell: Callable[[int], None]
) -> Trained:
    """Trains with one learning rate; the weights with the smallest loss on sequences set aside are kept."""
    aside = problem.draw(lag, CHECK_COUNT, generator(plan.seed, lag, "choose"))
    best, kept, weights = math.inf, 0, _copy(network)
    for step in _fit(network, problem, lag, plan, rate):
        tell(step)
        loss = measure(network, problem, aside)["loss"]
        if loss < best:
            best, kept, weights = loss, step, _copy(network)
        if not math.isfinite(loss) or loss <= ENOUGH * problem.baseline(lag):
            break
    network.load_state_dict(weights)
    return Trained(network, rate, kept, best)


def _fit(network: Reader, problem: Problem, lag: int, plan: Plan, rate: float) -> Iterator[int]:
    """Trains, and stops now and then for its caller to look."""
    random, weights = generator(plan.seed, lag, "train"), list(network.parameters())
    optimiser = torch.optim.Adam(weights, lr=rate)
    for step in range(1, plan.steps + 1):
        x, target = problem.draw(lag, plan.batch_size, random)
        loss = problem.losses(network(x, target.shape[1]), target).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, plan.clip)
        optimiser.step()
        if step % CHECK_EVERY == 0 or step == plan.steps:
            yield step


def examine(network: Reader, problem: Problem, lag: int, seed: int) -> dict[str, float]:
    """Loss and accuracy on a thousand sequences that training has not seen."""
    return measure(network, problem, problem.draw(lag, TEST_COUNT, generator(seed, lag, "test")))


def measure(network: Reader, problem: Problem, sample: Sample) -> dict[str, float]:
    """Loss and accuracy on some sequences."""
    with torch.no_grad():
        scores = network(sample.x, sample.target.shape[1])
        loss = float(problem.losses(scores, sample.target).mean())
    return {"loss": loss, "accuracy": problem.accuracy(scores, sample.target)}


def generator(seed: int, lag: int, use: str) -> Generator:
    """Of the sequences for one of four uses: others for each lag and use, the same ones for every cell."""
    uses = ("train", "choose", "test", "reach")
    return Generator().manual_seed((seed * 1_000_003 + lag) * len(uses) + uses.index(use))


def _copy(network: Reader) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
