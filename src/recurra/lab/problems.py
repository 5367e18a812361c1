"""Problems whose answer lies so many steps back: made anew from a seed, with the loss of knowing nothing."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Sample(NamedTuple):
    """Sequences and their answers.

    Attributes:
        x: `(batch, time, features)`.
        target: of the last steps, `(batch, answers)`.
    """

    x: Tensor
    target: Tensor


class Problem(Protocol):
    """A problem that can be posed at any lag.

    Attributes:
        name: as it is chosen by.
        title: as it is written.
        inputs: features of a step.
        outputs: scores of a step that answers.
        loss: what the loss is, with its unit.
    """

    name: str
    title: str
    inputs: int
    outputs: int
    loss: str

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Makes `count` sequences."""
        ...

    def baseline(self, lag: int) -> float:
        """The loss of the best answer that does not look at the sequence."""
        ...

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Mean loss of each sequence `(batch,)` for scores `(batch, answers, outputs)`."""
        ...

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Share of right answers."""
        ...


class Adding:
    """Two of the numbers are marked, one in each half: what is their sum?

    Hochreiter and Schmidhuber, "Long short-term memory", 1997, in the form of Le, Jaitly and Hinton 2015: `lag` steps,
    each a number from U(0, 1) and a mark, and the answer after the last one. Always answering 1 has a mean squared
    error of 1/6. An answer is right if it is off by at most 0.04, as in 1997.

    Example:
        >>> import torch
        >>> x, target = Adding().draw(10, 2, torch.Generator().manual_seed(0))
        >>> torch.allclose((x[:, :, 0] * x[:, :, 1]).sum(1, keepdim=True), target)
        True
    """

    name, title, inputs, outputs = "adding", "adding problem", 2, 1
    loss = "mean squared error"

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Sequences `(count, lag, 2)` and their sums `(count, 1)`."""
        values, marks = torch.rand(count, lag, generator=generator), torch.zeros(count, lag)
        rows, half = torch.arange(count), lag // 2
        marks[rows, torch.randint(0, half, (count,), generator=generator)] = 1
        marks[rows, torch.randint(half, lag, (count,), generator=generator)] = 1
        return Sample(torch.stack([values, marks], -1), (values * marks).sum(1, keepdim=True))

    def baseline(self, lag: int) -> float:
        """The variance of the sum of two uniform numbers."""
        return 1 / 6

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Squared errors."""
        return (scores[..., 0] - target).square().mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Share of sums that are off by at most 0.04."""
        return float(((scores[..., 0] - target).abs() <= 0.04).float().mean())


class Copying:
    """Ten symbols, `lag` empty steps, and then the ten symbols are to be said again.

    Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks", 2016: eight symbols, a ninth for nothing
    and a tenth that asks for the answer, `lag + 20` steps, an answer at each. Who remembers nothing knows when to be
    silent, and guesses the rest: 10 ln 8 / (lag + 20) nats. Accuracy is that of the ten symbols; guessing gives 1/8.

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
        """Sequences `(count, lag + 20, 10)`, one-hot, and what is to be said `(count, lag + 20)`."""
        nothing, ask = self.symbols, self.symbols + 1
        data = torch.randint(0, self.symbols, (count, self.kept), generator=generator)
        read = torch.full((count, lag + 2 * self.kept), nothing)
        said = read.clone()
        read[:, : self.kept], said[:, -self.kept :] = data, data
        read[:, -self.kept - 1] = ask
        return Sample(functional.one_hot(read, self.inputs).float(), said)

    def baseline(self, lag: int) -> float:
        """Silence where it is due, guesses for the ten symbols."""
        return self.kept * math.log(self.symbols) / (lag + 2 * self.kept)

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, as a mean over the steps given."""
        return functional.cross_entropy(scores.mT, target, reduction="none").mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Share of the ten symbols that are right."""
        right = scores[:, -self.kept :].argmax(-1) == target[:, -self.kept :]
        return float(right.float().mean())


class TemporalOrder:
    """Two signals, X or Y, among other symbols: in which order did they come, XX, XY, YX or YY?

    Hochreiter and Schmidhuber 1997, experiment 6a, with its places scaled to the length: `lag` steps, of which the
    first is a beginning and the last asks; one signal stands between a tenth and two tenths of the way, one between
    five and six tenths, and a random one of four other symbols everywhere else. Guessing costs ln 4 nats and is right
    in 1/4.

    Example:
        >>> import torch
        >>> x, target = TemporalOrder().draw(20, 3, torch.Generator().manual_seed(0))
        >>> tuple(x.shape), x[:, :, 4:6].sum((1, 2)).tolist()
        ((3, 20, 8), [2.0, 2.0, 2.0])
    """

    name, title, inputs, outputs = "order", "temporal order", 8, 4
    loss = "cross-entropy (nats)"

    def draw(self, lag: int, count: int, generator: Generator) -> Sample:
        """Sequences `(count, lag, 8)`, one-hot, and their classes `(count, 1)`."""
        read = torch.randint(0, 4, (count, lag), generator=generator)
        signals = torch.randint(0, 2, (count, 2), generator=generator)
        for i, tenths in enumerate((1, 5)):
            start = max(tenths * lag // 10, 1)
            places = torch.randint(start, max((tenths + 1) * lag // 10, start + 1), (count,), generator=generator)
            read[torch.arange(count), places] = 4 + signals[:, i]
        read[:, 0], read[:, -1] = 6, 7
        return Sample(functional.one_hot(read, self.inputs).float(), 2 * signals[:, :1] + signals[:, 1:])

    def baseline(self, lag: int) -> float:
        """Four equal chances."""
        return math.log(4)

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(scores.mT, target, reduction="none").mean(1)

    def accuracy(self, scores: Tensor, target: Tensor) -> float:
        """Share of the sequences whose order is right."""
        return float((scores.argmax(-1) == target).float().mean())


PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (Adding(), Copying(), TemporalOrder())}
"""By name."""
