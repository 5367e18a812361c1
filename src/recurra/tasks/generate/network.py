"""The network of language models, its loss, and the choice of the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recurra.data.batching.batches import IGNORE
from recurra.errors import UsageError
from recurra.nn import RecurrentSpec, init_recurrent_
from recurra.ops import Linear, linear, uniform
from recurra.ops import dropout as drop
from recurra.tasks.baselines import FEWEST

LABEL_DROPOUT = 0.1  # share of training texts whose label is hidden, so that the model also writes without one
LOGITS = 1 << 22  # scores held at a time where no gradient is needed


class LanguageNetwork(torch.nn.Module):
    """Reads tokens one after the other and scores what comes next.

    Args:
        tokens: number of different tokens.
        embedding_size: size of a token's vector.
        labels: number of labels that a text may have, 0 for none; a label's vector is added to that of every token.
        tied: whether the head scores with the vectors of the tokens themselves, which suits many rare tokens:
            Press and Wolf, "Using the output embedding to improve language models", 2017.
        recurrent: options of the recurrent layers; their dropout is also applied before the head.
        variational: whether dropout before the layers and before the head drops the same features at all steps of a
            window: Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
            2016.
    """

    def __init__(
        self,
        tokens: int,
        embedding_size: int,
        labels: int = 0,
        *,
        tied: bool,
        recurrent: RecurrentSpec,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.dropout, self.variational = recurrent.dropout, variational
        # the head wants vectors of length 1, the recurrent layer numbers of size 1: see `_embed`
        self.scale = embedding_size**0.5 if tied else 1.0
        self.embedding = torch.nn.Embedding(tokens, embedding_size)
        torch.nn.init.normal_(self.embedding.weight, std=1 / self.scale)
        self.label_embedding = None
        if labels:
            self.label_embedding = torch.nn.Embedding(labels + 1, embedding_size)  # 0: no label
            torch.nn.init.normal_(self.label_embedding.weight, std=1 / self.scale)
        self.recurrent = recurrent.build(embedding_size)
        init_recurrent_(self.recurrent)
        self.bottleneck = Linear(recurrent.hidden_size, embedding_size) if tied else None
        self.head = None if tied else Linear(recurrent.hidden_size, tokens)
        self.bias = torch.nn.Parameter(torch.zeros(tokens)) if tied else None

    def forward(self, values: Tensor, lengths: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        """Features of what comes after each step, for `score`.

        Args:
            values: token numbers `(batch, time)`, with labels `(batch, time, 2)` of token and label numbers.
            lengths: `(batch,)`, or None where all are equal.
            state: what the window before returned; None to begin.

        Returns:
            `(batch, time, features)`, and the state after the last step as the recurrent layer returns it.
        """
        output, state = self.recurrent(self._embed(values), state, lengths=lengths)
        return self._finish(output), state

    def step(self, values: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Features after one step, `(batch, features)`, for token numbers `(batch,)` or `(batch, 2)`; see `forward`."""
        output, state = self.recurrent.step(self._embed(values.unsqueeze(1))[:, 0], state)
        return self._finish(output), state

    def score(self, features: Tensor) -> Tensor:
        """Logits of every token, `(…, tokens)`."""
        return linear(features, self.embedding.weight, self.bias) if self.head is None else self.head(features)

    def _embed(self, values: Tensor) -> Tensor:
        tokens = values
        if self.label_embedding is not None:
            tokens, labels = values.unbind(-1)
            if self.training:
                labels = labels * (uniform((len(labels), 1), labels.device) >= LABEL_DROPOUT)
            return self._drop(self.scale * (self.embedding(tokens) + self.label_embedding(labels)))
        return self._drop(self.scale * self.embedding(tokens))

    def _finish(self, output: Tensor) -> Tensor:
        output = self._drop(output)
        return output if self.bottleneck is None else self.bottleneck(output)

    def _drop(self, values: Tensor) -> Tensor:
        if self.variational and self.training:
            return values * drop(torch.ones_like(values[:, :1]), self.dropout)
        return drop(values, self.dropout, training=self.training)


class NextToken:
    """Loss and metrics of language models.

    Where windows follow each other, the state goes on from one to the next, its gradient does not: truncated
    back-propagation through time.

    Args:
        characters: how many characters begin in each token `(tokens,)`.
    """

    monitor = "loss"
    monitor_mode = "min"
    perfect: float | None = None

    def __init__(self, characters: np.ndarray) -> None:
        self.characters = torch.from_numpy(characters)
        self._training: Any = None
        self._reading: Any = None

    def loss(self, network: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Sum over the steps of the negative log-probability of what came next, and their number."""
        features, self._training = _read(network, batch, self._training)
        real = batch.targets != IGNORE
        losses = cross_entropy(network.score(features[real]), batch.targets[real].long(), reduction="sum")
        return losses, self.weight(batch)

    def weight(self, batch: Any) -> Tensor:
        """Number of the steps with a target."""
        return (batch.targets != IGNORE).sum().float()

    def observe(self, network: Any, batch: Any) -> tuple[float, float, float]:
        """Summed loss, tokens and characters of a batch."""
        features, self._reading = _read(network, batch, self._reading)
        targets = batch.targets[batch.targets != IGNORE]
        losses = token_losses(network, features, batch.targets)
        return float(losses.double().sum()), len(targets), float(self.characters[targets.long().cpu()].sum())

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Nats per token (`loss`), the perplexity per token that it means, and bits per character."""
        total, tokens, characters = (math.fsum(column) for column in zip(*observed, strict=True))
        loss = total / tokens
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_character": total / math.log(2) / max(characters, 1.0),
        }

    def items(self, observed: list[Any]) -> np.ndarray | None:
        """Loss and tokens of each batch, `(batches, 2)`; None where they are too few to say how much varies."""
        return np.array([row[:2] for row in observed]) if len(observed) >= FEWEST else None

    def carried(self) -> Any:
        """The state that training carries from window to window."""
        return self._training

    def carry(self, state: Any) -> None:
        """Continues from a state."""
        self._training = state


def token_losses(network: Any, features: Tensor, targets: Tensor) -> Tensor:
    """Negative log-probability of each target that is not `IGNORE`, one behind the other; without gradient."""
    real = targets != IGNORE
    features, targets = features[real], targets[real].long()
    rows = max(LOGITS // network.embedding.num_embeddings, 1)
    losses = [
        cross_entropy(network.score(features[i : i + rows]).float(), targets[i : i + rows], reduction="none")
        for i in range(0, len(targets), rows)
    ]
    return torch.cat(losses) if losses else features.new_zeros(0)


def _read(network: Any, batch: Any, state: Any) -> tuple[Tensor, Any]:
    """Features of a batch, and the state to carry on where the batch is a window of streams."""
    first = getattr(batch, "first", True)
    if first:
        state = None
    elif state is not None:
        state = moved(state, batch.values.device)
    features, state = network(batch.values, batch.lengths, state)
    return features, moved(state, None) if hasattr(batch, "first") else None


def moved(state: Any, device: torch.device | None) -> Any:
    """The tensors of a state without their history, on a device if one is named."""
    if isinstance(state, tuple | list):
        return tuple(moved(s, device) for s in state)
    return state.detach() if device is None else state.detach().to(device)


def check_sampling(length: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Checks how tokens are to be drawn.

    Raises:
        UsageError: an argument is out of its range.
    """
    if length < 0:
        raise UsageError(f"length must be at least 0, got {length}")
    if not 0 <= temperature < math.inf:
        raise UsageError(f"temperature must be 0 or more, got {temperature}")
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise UsageError(f"top_p must lie in (0, 1], got {top_p}")


def draw(
    logits: np.ndarray, random: np.random.Generator, temperature: float, top_k: int | None, top_p: float | None
) -> int:
    """Draws a token number.

    Args:
        logits: `(tokens,)`, minus infinity for what must not be drawn.
        random: where the chance comes from; one number is taken.
        temperature: what the logits are divided by; 0 takes the most probable token.
        top_k: draw among so many of the most probable; of equals at the border those with the smaller number.
        top_p: draw among the most probable that together reach this probability (nucleus sampling: Holtzman and
            others, "The curious case of neural text degeneration", 2020); taken after `top_k`.

    Example:
        >>> import numpy as np
        >>> draw(np.array([0.0, 5.0, -np.inf]), np.random.default_rng(0), 1.0, 1, None)
        1
    """
    chance = random.random()
    if temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")
    scores = logits[order].astype(np.float64)
    # differences first: a tiny temperature must not make infinity minus infinity of them
    weights = np.exp((scores - scores[0]) / temperature)
    if top_k is not None:
        weights[top_k:] = 0
    reached = np.cumsum(weights)
    if top_p is not None:
        kept = int(np.searchsorted(reached, top_p * reached[-1])) + 1
        weights[kept:] = 0
        reached = np.cumsum(weights)
    found = int(np.searchsorted(reached, chance * reached[-1], side="right"))
    return int(order[min(found, int(np.count_nonzero(weights)) - 1)])


def most_probable(words: Sequence[bytes], chances: np.ndarray, k: int) -> list[tuple[str, float]]:
    """Returns at most `k` tokens as text with their probabilities, best first, without impossible ones.

    Args:
        words: bytes of each token in UTF-8.
        chances: probability of each token, `(tokens,)`.
        k: greatest number of tokens.

    Example:
        >>> most_probable([b"a", b"b", b"c"], np.array([0.25, 0.75, 0.0]), 3)
        [('b', 0.75), ('a', 0.25)]
    """
    some = np.arange(len(chances))
    if k < len(chances):  # sorting all tokens takes longer than the network
        some = np.flatnonzero(chances >= np.partition(chances, -k)[-k])
    best = some[np.argsort(-chances[some], kind="stable")[:k]]
    return [(words[i].decode("utf-8", "replace"), float(chances[i])) for i in best if chances[i] > 0]
