"""Training loop of the memory experiments: new sequences at every step, Adam, clipped gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator

from .network import ProbeNetwork
from .problems import Problem, Sample

CHECK_EVERY, CHECK_COUNT, TEST_COUNT = 50, 256, 1000
SOLVED, ENOUGH = (
    0.1,
    0.01,
)  # share of the baseline loss at which no other learning rate is tried, and at which training ends


@dataclass(frozen=True)
class Plan:
    """Training options.

    Attributes:
        rates: learning rates of Adam, tried in order until one solves the problem. The best one is used.
        steps: maximum number of steps with each learning rate.
        batch_size: number of new sequences in each step.
        clip: maximum norm of the gradient.
        seed: seed of the sequences and the initial weights.
    """

    rates: tuple[float, ...]
    steps: int
    batch_size: int
    clip: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """Result of training.

    Attributes:
        network: network with the weights of the smallest validation loss.
        rate: its learning rate.
        steps: number of steps until these weights.
        loss: its validation loss.
    """

    network: ProbeNetwork
    rate: float
    steps: int
    loss: float


def train(
    make: Callable[[], ProbeNetwork],
    problem: Problem,
    lag: int,
    plan: Plan,
    tell: Callable[[int], None] = lambda steps: None,
) -> Trained:
    """Trains a network with each learning rate until one solves the problem, and returns the best.

    Args:
        make: creates the initial network, the same one each time.
        problem: the problem to learn.
        lag: lag of the problem.
        plan: training options.
        tell: called with the number of finished steps.
    """
    runs: list[Trained] = []
    for i, rate in enumerate(plan.rates):
        runs.append(_train(make(), problem, lag, plan, rate, lambda n, before=i * plan.steps: tell(before + n)))
        if runs[-1].loss <= SOLVED * problem.baseline(lag):
            break
    return min(runs, key=lambda run: run.loss)


def _train(
    network: ProbeNetwork, problem: Problem, lag: int, plan: Plan, rate: float, tell: Callable[[int], None]
) -> Trained:
    """Trains with one learning rate, and keeps the weights with the smallest validation loss."""
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


def _fit(network: ProbeNetwork, problem: Problem, lag: int, plan: Plan, rate: float) -> Iterator[int]:
    """Trains, and yields the number of steps before each validation."""
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


def examine(network: ProbeNetwork, problem: Problem, lag: int, seed: int) -> dict[str, float]:
    """Returns loss and accuracy on a thousand test sequences."""
    return measure(network, problem, problem.draw(lag, TEST_COUNT, generator(seed, lag, "test")))


def measure(network: ProbeNetwork, problem: Problem, sample: Sample) -> dict[str, float]:
    """Returns loss and accuracy on some sequences."""
    with torch.no_grad():
        scores = network(sample.x, sample.target.shape[1])
        loss = float(problem.losses(scores, sample.target).mean())
    return {"loss": loss, "accuracy": problem.accuracy(scores, sample.target)}


def generator(seed: int, lag: int, use: str) -> Generator:
    """Returns the random generator of the sequences for one use. It depends on lag and use, but not on the cell."""
    uses = ("train", "choose", "test", "reach")
    return Generator().manual_seed((seed * 1_000_003 + lag) * len(uses) + uses.index(use))


def _copy(network: ProbeNetwork) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
