"""Two-directional language model: the context of a step is all steps before it and all steps after it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells import CellLike
from recurra.ops import Linear, linear, uniform
from recurra.ops import dropout as drop

from .encoder import RecurrentSpec

DIRECTIONS = ("both", "forward", "backward")


class ContextNetwork(torch.nn.Module):
    """Predicts every token of a text from the others, all at once.

    One stack reads forward and another backward. At each step the state of the first *before* it and the state of the
    second *after* it are combined; the token itself is in neither. So no token needs to be masked, and a pass
    trains on all of them. The output layer shares its weights with the embedding (Press and Wolf 2017,
    https://aclanthology.org/E17-2025).

    Args:
        input_size: number of different tokens; 0 is the unknown one.
        embedding_size: size of a token's vector.
        cell: see `SequenceEncoder`; with `"none"` the context is only the two neighbours.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other, in each direction.
        direction: `"both"`, or `"forward"` or `"backward"` to see one side only.
        dropout: probability of dropping a feature of an embedding, between layers and of the states, in training.
        token_dropout: probability of hiding a token from the others, in training.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"` or `"recompute"`.
        weight_dropout: probability of dropping a recurrent weight, in training.
        recurrent_dropout: as in `nn.Recurrent`.
        recurrent_dropout_per: as in `nn.Recurrent`.
        zoneout: as in `nn.Recurrent`.

    Example:
        >>> import torch
        >>> network = ContextNetwork(100, 16, hidden_size=8)
        >>> tokens, lengths = torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([2, 3])
        >>> context = network(tokens, lengths)
        >>> tuple(context.shape), tuple(network.logits(context).shape)
        ((2, 3, 16), (2, 3, 100))
        >>> for direction in DIRECTIONS:
        ...     network = ContextNetwork(100, 16, hidden_size=8, direction=direction)
        ...     print(direction, tuple(network(tokens, lengths).shape))
        both (2, 3, 16)
        forward (2, 3, 16)
        backward (2, 3, 16)
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int,
        *,
        cell: CellLike = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        direction: str = "both",
        dropout: float = 0.0,
        token_dropout: float = 0.0,
        engine: str = "auto",
        memory: str = "full",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
    ) -> None:
        super().__init__()
        if direction not in DIRECTIONS:
            raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
        self.dropout, self.token_dropout = dropout, token_dropout
        self.embedding = torch.nn.Embedding(input_size, embedding_size)
        torch.nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)

        options: dict[str, Any] = {
            "engine": engine,
            "memory": memory,
            "weight_dropout": weight_dropout,
            "recurrent_dropout": recurrent_dropout,
            "recurrent_dropout_per": recurrent_dropout_per,
            "zoneout": zoneout,
        }
        spec = RecurrentSpec(cell, hidden_size, num_layers, dropout=dropout, **options)
        self.forwards = None if direction == "backward" else spec.build(embedding_size)
        self.backwards = None if direction == "forward" else spec.build(embedding_size)
        self.combine = Linear((2 if direction == "both" else 1) * hidden_size, embedding_size)
        self.bias = torch.nn.Parameter(torch.zeros(input_size))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Returns the context of each token from the other tokens: `(batch, time, embedding)` for `(batch, time)`."""
        if self.training and self.token_dropout > 0:
            tokens = tokens * (uniform(tokens.shape, tokens.device) >= self.token_dropout)
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        # position of each step, counted from the end of its text
        mirror = (lengths.to(tokens.device).unsqueeze(1) - 1 - steps).clamp(min=0)
        states = []
        if self.forwards is not None:
            states.append(self._states(self.forwards, tokens, lengths))
        if self.backwards is not None:
            after = self._states(self.backwards, tokens.gather(1, mirror), lengths)
            states.append(after.gather(1, mirror.unsqueeze(-1).expand(-1, -1, after.shape[-1])))
        state = drop(torch.cat(states, -1), self.dropout, training=self.training)
        return self.combine(state)

    def logits(self, context: Tensor) -> Tensor:
        """Scores of all tokens `(…, tokens)` for contexts `(…, embedding)`."""
        return linear(context, self.embedding.weight, self.bias)

    def _states(self, stack: torch.nn.Module, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The state before each step, zeros before the first: `(batch, time, hidden)`."""
        values = drop(self.embedding(tokens), self.dropout, training=self.training)
        output, _ = stack(values, lengths=lengths)
        return torch.nn.functional.pad(output, (0, 0, 1, 0))[:, : tokens.shape[1]]
