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

LABEL_DROPOUT = 0.1  # share of training texts whose label is hidden, so that the model also works without a label
LOGITS = 1 << 22  # scores in memory at the same time, if no gradient is needed


class LanguageNetwork(torch.nn.Module):
    """Recurrent network that reads tokens and computes a score of each possible next token.

    Args:
        tokens: number of different tokens.
        embedding_size: size of a token's vector.
        labels: number of labels that a text may have, 0 for none. Its vector is added to that of each token.
        tied: whether the vectors of the tokens are also the weights of the head, which is better for many rare tokens:
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
        # vectors of the head should have length 1, inputs of the recurrent layer numbers of size 1: see `_embed`
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
        """Returns features of each step from which `score` predicts the next token.

        Args:
            values: token numbers `(batch, time)`, with labels `(batch, time, 2)` of token and label numbers.
            lengths: `(batch,)`, or None if all are equal.
            state: the state that the previous window returned; None for the first one.

        Returns:
            `(batch, time, features)`, and the state after the last step as the recurrent layer returns it.
        """
        output, state = self.recurrent(self._embed(values), state, lengths=lengths)
        return self._finish(output), state

    def step(self, values: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Returns features of one step, `(batch, features)`, for tokens `(batch,)` or `(batch, 2)`; see `forward`."""
        output, state = self.recurrent.step(self._embed(values.unsqueeze(1))[:, 0], state)
        return self._finish(output), state

    def score(self, features: Tensor) -> Tensor:
        """Returns the logits of all tokens, `(…, tokens)`."""
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

    In a running text, the state passes from one window to the next, but the gradient does not: truncated
    back-propagation through time.

    Args:
        characters: number of characters that begin in each token, `(tokens,)`.
    """

    monitor = "loss"
    monitor_mode = "min"
    perfect: float | None = None

    def __init__(self, characters: np.ndarray) -> None:
        self.characters = torch.from_numpy(characters)
        self._training: Any = None
        self._reading: Any = None

    def loss(self, network: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns the sum of the negative log-probabilities of the next tokens, and their number."""
        features, self._training = _read(network, batch, self._training)
        real = batch.targets != IGNORE
        losses = cross_entropy(network.score(features[real]), batch.targets[real].long(), reduction="sum")
        return losses, self.weight(batch)

    def weight(self, batch: Any) -> Tensor:
        """Returns the number of steps with a target."""
        return (batch.targets != IGNORE).sum().float()

    def observe(self, network: Any, batch: Any) -> tuple[float, float, float]:
        """Returns the summed loss, the tokens and the characters of a batch."""
        features, self._reading = _read(network, batch, self._reading)
        targets = batch.targets[batch.targets != IGNORE]
        losses = token_losses(network, features, batch.targets)
        return float(losses.double().sum()), len(targets), float(self.characters[targets.long().cpu()].sum())

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Returns nats per token (`loss`), perplexity per token, and bits per character."""
        total, tokens, characters = (math.fsum(column) for column in zip(*observed, strict=True))
        loss = total / tokens
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_character": total / math.log(2) / max(characters, 1.0),
        }

    def items(self, observed: list[Any]) -> np.ndarray | None:
        """Returns loss and tokens of each batch, `(batches, 2)`; None for too few batches to estimate the variance."""
        return np.array([row[:2] for row in observed]) if len(observed) >= FEWEST else None

    def carried(self) -> Any:
        """Returns the state that training passes from window to window."""
        return self._training

    def carry(self, state: Any) -> None:
        """Continues from a state."""
        self._training = state


def token_losses(network: Any, features: Tensor, targets: Tensor) -> Tensor:
    """Returns the negative log-probability of each target that is not `IGNORE`, `(targets,)`, without gradient."""
    real = targets != IGNORE
    features, targets = features[real], targets[real].long()
    rows = max(LOGITS // network.embedding.num_embeddings, 1)
    losses = [
        cross_entropy(network.score(features[i : i + rows]).float(), targets[i : i + rows], reduction="none")
        for i in range(0, len(targets), rows)
    ]
    return torch.cat(losses) if losses else features.new_zeros(0)


def _read(network: Any, batch: Any, state: Any) -> tuple[Tensor, Any]:
    """Returns the features of a batch and, if it is a window of streams, the state for the next window."""
    first = getattr(batch, "first", True)
    if first:
        state = None
    elif state is not None:
        state = _moved(state, batch.values.device)
    features, state = network(batch.values, batch.lengths, state)
    return features, _moved(state, None) if hasattr(batch, "first") else None


def _moved(state: Any, device: torch.device | None) -> Any:
    """Returns the tensors of a state without gradient, on a device if one is given."""
    if isinstance(state, tuple | list):
        return tuple(_moved(s, device) for s in state)
    return state.detach() if device is None else state.detach().to(device)


def check_sampling(length: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Checks the options of sampling.

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
        logits: `(tokens,)`, minus infinity for tokens that must not be drawn.
        random: source of random numbers; one number is drawn.
        temperature: the logits are divided by it; 0 takes the most probable token.
        top_k: draw among this number of most probable tokens. Of equally probable ones, those with the smaller number.
        top_p: draw among the most probable tokens that together reach this probability (nucleus sampling: Holtzman and
            others, "The curious case of neural text degeneration", 2020); applied after `top_k`.

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
    # differences first: with a tiny temperature the quotients may be infinite
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
