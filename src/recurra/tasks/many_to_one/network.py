"""The network of the many-to-one tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.nn import Pooling, SequenceEncoder, SpectrumMask, init_recurrent_, stack_frames
from recurra.ops import Linear
from recurra.ops import dropout as drop
from recurra.tasks.finite import finite

from .series.frames import SeriesFrames


class PooledNetwork(torch.nn.Module):
    """Encoder, pooling over the steps, and a linear head: one output per sequence.

    Args:
        input_size: number of different tokens, or features of a step.
        embedding_size: size of a token's vector; 0 when the input is features.
        output_size: classes or target values.
        pooling: see `recurra.nn.Pooling`.
        dropout: probability of dropping a feature before each layer and before the head, in training.
        frames: where the input is spectra, how many of them make a step; they are masked in training. 0 for
            other input.
        preset: what the layers read of numeric series, see `recurra.tasks.many_to_one.series.frames.PRESETS`.
        segment: steps of the series in a step of the layers.
        **encoder: further arguments of `recurra.nn.SequenceEncoder`.
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int,
        output_size: int,
        *,
        pooling: str,
        dropout: float,
        frames: int = 0,
        preset: str = "steps",
        segment: int = 1,
        **encoder: Any,
    ) -> None:
        super().__init__()
        self.frames = frames
        self.mask = SpectrumMask() if frames else None
        self.series = None if preset == "steps" else SeriesFrames(input_size, preset, segment)
        size = input_size * max(frames, 1) if self.series is None else self.series.size
        self.encoder = SequenceEncoder(size, embedding_size, dropout=dropout, **encoder)
        if not embedding_size and not frames:
            # series change little from step to step: docs/decisions/0005, which rejects orthogonal weights for them
            init_recurrent_(self.encoder.recurrent, orthogonal=False)
        self.pooling = Pooling(pooling, self.encoder.output_size)
        self.dropout = dropout
        self.head = Linear(self.encoder.output_size, output_size)

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what the layers give: all steps `(batch, steps, size)`, the last state, and the number of steps."""
        if self.mask is not None:
            values, lengths = stack_frames(self.mask(values, lengths), lengths, self.frames)
        if self.series is not None:
            values, lengths = self.series(values, lengths)
        output, last = self.encoder(values, lengths)
        return output, last, lengths.to(output.device)

    def embed(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Returns one vector per sequence, which the head reads, `(batch, size)`."""
        return self.pooling(*self.states(values, lengths))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Outputs `(batch, outputs)` for tokens `(batch, time)` or features `(batch, time, features)`."""
        return self.head(drop(self.embed(values, lengths), self.dropout, training=self.training))


def vectors_of_rows(network: Any, batch: Any) -> list[np.ndarray]:
    """Returns the vector of each sequence that the head of a network reads, `(size,)`."""
    return list(finite(network.embed(batch.values, batch.lengths).float().cpu()).numpy())


def states_of_steps(network: Any, batch: Any) -> list[np.ndarray]:
    """Returns the states after the steps of each sequence, `(steps, size)`."""
    output, _, lengths = network.states(batch.values, batch.lengths)
    values = finite(output.float().cpu()).numpy()
    return [row[:length] for row, length in zip(values, lengths.tolist(), strict=True)]
