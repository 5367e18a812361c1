"""Synthetic problems with long-term dependencies, generated from a seed, with their baseline losses."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Sample(NamedTuple):
    """Sequences and their targets.

    Attributes:
        x: `(batch, time, features)`.
        target: targets of the last steps, `(batch, targets)`.
    """

    x: Tensor
    target: Tensor


class Problem(Protocol):
    """A problem with an adjustable lag.

    Attributes:
        name: name as an argument.
        title: name in titles and messages.
        inputs: number of features per time step.
        outputs: number of scores per time step.
        loss: name of the loss, with its unit.
    """

    name: str
    title: str
    inputs: int
    outputs: int
    loss: str

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Generates `count` sequences."""
        ...

    def baseline(self, lag: int) -> float:
        """Returns the loss of the best constant prediction."""
        ...

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Returns the mean loss of each sequence `(batch,)` for scores `(batch, targets, outputs)`."""
        ...

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Returns the share of correct predictions."""
        ...


class Adding:
    """Adding problem: the sum of two marked numbers, one in each half of the sequence.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, in the form of Le, Jaitly and Hinton 2015. A
    sequence has `lag` steps, each with a number from U(0, 1) and a mark. The target is at the last step. The constant
    prediction 1 has a mean squared error of 1/6. As in 1997, a prediction is correct if its error is at most 0.04.

    Example:
        >>> import torch
        >>> x, target = Adding().draw(10, 2, torch.Generator().manual_seed(0))
        >>> torch.allclose((x[:, :, 0] * x[:, :, 1]).sum(1, keepdim=True), target)
        True
    """

    name, title, inputs, outputs = "adding", "adding problem", 2, 1
    loss = "mean squared error"

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Generates sequences `(count, lag, 2)` and their sums `(count, 1)`."""
        values, marks = torch.rand(count, lag, generator=generator), torch.zeros(count, lag)
        rows, half = torch.arange(count), lag // 2
        marks[rows, torch.randint(0, half, (count,), generator=generator)] = 1
        marks[rows, torch.randint(half, lag, (count,), generator=generator)] = 1
        return Sample(torch.stack([values, marks], -1), (values * marks).sum(1, keepdim=True))

    def baseline(self, lag: int) -> float:
        """Returns the variance of the sum of two uniform numbers."""
        return 1 / 6

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Returns squared errors."""
        return (scores[..., 0] - target).square().mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Returns the share of sums with an error of at most 0.04."""
        return float(((scores[..., 0] - target).abs() <= 0.04).float().mean())


class Copying:
    """Copy problem: repeat ten symbols after `lag` blank steps.

    Source: Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks", 2016. The alphabet has eight
    symbols, a blank, and a signal to repeat the symbols. A sequence has `lag + 20` steps, each with a target. A model
    without memory predicts the blanks and guesses the symbols; its loss is 10 ln 8 / (lag + 20) nats. Accuracy is the
    share of correct symbols among the ten; guessing gives 1/8.

    Example:
        >>> import torch
        >>> x, target = Copying().draw(5, 1, torch.Generator().manual_seed(0))
        >>> x.shape[1], torch.equal(x[:, :10].argmax(-1), target[:, -10:]), x[0, :, 9].nonzero().item()
        (25, True, 14)
    """

    name, title, inputs, outputs = "copy", "copy problem", 10, 10
    loss = "cross-entropy (nats a step)"
    symbols, kept = 8, 10

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Generates one-hot sequences `(count, lag + 20, 10)` and targets `(count, lag + 20)`."""
        nothing, ask = self.symbols, self.symbols + 1
        data = torch.randint(0, self.symbols, (count, self.kept), generator=generator)
        read = torch.full((count, lag + 2 * self.kept), nothing)
        said = read.clone()
        read[:, : self.kept], said[:, -self.kept :] = data, data
        read[:, -self.kept - 1] = ask
        return Sample(functional.one_hot(read, self.inputs).float(), said)

    def baseline(self, lag: int) -> float:
        """Returns the loss of predicting all blanks and guessing the ten symbols."""
        return self.kept * math.log(self.symbols) / (lag + 2 * self.kept)

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Returns the cross-entropy, as a mean over the steps of `scores`."""
        return functional.cross_entropy(scores.mT, target, reduction="none").mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Returns the share of correct symbols among the ten."""
        right = scores[:, -self.kept :].argmax(-1) == target[:, -self.kept :]
        return float(right.float().mean())


class TemporalOrder:
    """Temporal order problem: the class is the order of two signals X or Y among other symbols (XX, XY, YX or YY).

    Source: Hochreiter and Schmidhuber 1997, experiment 6a, with positions scaled to the length. A sequence has `lag`
    steps: a start symbol is first and an end symbol last. One signal is between one and two tenths of the length, the
    other between five and six tenths. All other steps are random, from four symbols. Guessing has a loss of ln 4 nats
    and an accuracy of 1/4.

    Example:
        >>> import torch
        >>> x, target = TemporalOrder().draw(20, 3, torch.Generator().manual_seed(0))
        >>> tuple(x.shape), x[:, :, 4:6].sum((1, 2)).tolist()
        ((3, 20, 8), [2.0, 2.0, 2.0])
    """

    name, title, inputs, outputs = "order", "temporal order", 8, 4
    loss = "cross-entropy (nats)"

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Generates one-hot sequences `(count, lag, 8)` and their classes `(count, 1)`."""
        read = torch.randint(0, 4, (count, lag), generator=generator)
        signals = torch.randint(0, 2, (count, 2), generator=generator)
        for i, tenths in enumerate((1, 5)):
            start = max(tenths * lag // 10, 1)
            places = torch.randint(start, max((tenths + 1) * lag // 10, start + 1), (count,), generator=generator)
            read[torch.arange(count), places] = 4 + signals[:, i]
        read[:, 0], read[:, -1] = 6, 7
        return Sample(functional.one_hot(read, self.inputs).float(), 2 * signals[:, :1] + signals[:, 1:])

    def baseline(self, lag: int) -> float:
        """Returns the loss of four equal probabilities."""
        return math.log(4)

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(scores.mT, target, reduction="none").mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Returns the share of sequences whose order is predicted correctly."""
        return float((scores.argmax(-1) == target).float().mean())


PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (Adding(), Copying(), TemporalOrder())}
"""Problems by name."""
